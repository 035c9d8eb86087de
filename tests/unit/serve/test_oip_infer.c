// SPDX-License-Identifier: Apache-2.0
//
// The Open Inference Protocol: every datatype in JSON and as bytes gives the same bits as the
// others, what converts without loss does, and what lies is refused by the input's name (K1-K4).
#include "serve_cases.h"

#include <string.h>

#define INFER "/v2/models/toy/infer"

// One input in JSON.
static const char *infer_one(serve_case *self, int status, const char *input)
{
    char body[4096];
    (void)snprintf(body, sizeof(body), "{\"inputs\":[%s]}", input);
    return serve_case_expect(self, status, INFER, body);
}

// The data of output `name` in the last reply, as text.
static void take_data(const serve_case *self, const char *name, char ret_text[256])
{
    char mark[64];
    (void)snprintf(mark, sizeof(mark), "{\"name\":\"%s\"", name);
    const char *at = strstr(self->reply.data, mark);
    ASSERT(at != NULL);
    at = strstr(at, "\"data\":[");
    ASSERT(at != NULL);
    const size_t size = strcspn(at, "]");
    ASSERT(size < 256);
    memcpy(ret_text, at, size);
    ret_text[size] = '\0';
}

typedef struct packed {
    const char *datatype;
    const char *bytes;
    size_t size;
    const char *same_as; // the same value in JSON, for the same column
} packed;

static void ask_packed(serve_case *self, const char *column, const packed *one, int status)
{
    char body[1024];
    const int size = snprintf(body, sizeof(body),
                              "{\"inputs\":[{\"name\":\"%s\",\"shape\":[1],\"datatype\":\"%s\","
                              "\"parameters\":{\"binary_data_size\":%zu}}]}",
                              column, one->datatype, one->size);
    memcpy(body + size, one->bytes, one->size);
    char header[64];
    (void)snprintf(header, sizeof(header), "Inference-Header-Content-Length: %d\r\n", size);
    const int got = serve_case_ask(self, &(serve_ask){.path = INFER,
                                                      .headers = header,
                                                      .body = body,
                                                      .body_size = (size_t)size + one->size});
    if (got != status) {
        test_fail(__FILE__, __LINE__, "%s %s: status %d, want %d: %s", column, one->datatype, got,
                  status, self->reply.data);
    }
}

static void check_packed(serve_case *self, const char *column, const packed *one)
{
    char got[256];
    char want[256];
    ask_packed(self, column, one, 200);
    take_data(self, "probability", got);
    infer_one(self, 200, one->same_as);
    take_data(self, "probability", want);
    ASSERT_EQ_STR(got, want);
}

#define JSON_INPUT(name, datatype, data)                                                           \
    "{\"name\":\"" name "\",\"shape\":[1],\"datatype\":\"" datatype "\",\"data\":[" data "]}"

static void test_packed_values_are_those_of_json(void)
{
    static const packed ages[] = {
        {"INT8", "\x28", 1, JSON_INPUT("age", "INT8", "40")},
        {"INT8", "\xff", 1, JSON_INPUT("age", "INT8", "-1")},
        {"UINT8", "\xff", 1, JSON_INPUT("age", "UINT8", "255")},
        {"INT16", "\x28\x00", 2, JSON_INPUT("age", "INT64", "40")},
        {"INT32", "\xfe\xff\xff\xff", 4, JSON_INPUT("age", "INT64", "-2")},
        {"INT64", "\x28\0\0\0\0\0\0\0", 8, JSON_INPUT("age", "INT64", "40")},
        {"UINT64", "\x28\0\0\0\0\0\0\0", 8, JSON_INPUT("age", "UINT64", "40")},
        {"FP64", "\0\0\0\0\0\0\x44\x40", 8, JSON_INPUT("age", "FP64", "40")},
        {"FP32", "\0\0\x20\x42", 4, JSON_INPUT("age", "FP32", "40")},
        {"FP16", "\x00\x51", 2, JSON_INPUT("age", "INT64", "40")},
        {"BF16", "\x20\x42", 2, JSON_INPUT("age", "INT64", "40")},
        {"BOOL", "\x01", 1, JSON_INPUT("age", "BOOL", "true")},
        {"FP64", "\0\0\0\0\0\0\xf8\x7f", 8, JSON_INPUT("age", "FP64", "null")},
        {"FP16", "\x00\x7e", 2, JSON_INPUT("age", "FP64", "null")},
    };
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        check_packed(&self, "age", &ages[i]);
    }
    check_packed(&self, "city",
                 &(packed){"BYTES", "\x04\0\0\0Oslo", 8, JSON_INPUT("city", "BYTES", "\"Oslo\"")});
    check_packed(&self, "city",
                 &(packed){"BYTES", "\0\0\0\0", 4, JSON_INPUT("city", "BYTES", "null")});
    check_packed(&self, "joined",
                 &(packed){"BYTES",
                           "\x0a\0\0\0"
                           "2020-03-07",
                           14, JSON_INPUT("joined", "BYTES", "\"2020-03-07\"")});
    check_packed(&self, "income",
                 &(packed){"FP16", "\x00\x3c", 2, JSON_INPUT("income", "FP64", "1")});
    check_packed(
        &self, "income",
        &(packed){"FP16", "\x01\x00", 2, JSON_INPUT("income", "FP64", "5.9604644775390625e-8")});
    check_packed(&self, "income",
                 &(packed){"FP32", "\xcd\xcc\xcc\x3d", 4, JSON_INPUT("income", "FP32", "0.1")});
    check_packed(
        &self, "member",
        &(packed){"FP64", "\0\0\0\0\0\0\xf0\x3f", 8, JSON_INPUT("member", "BOOL", "true")});
    serve_case_deinit(&self);
}

static void test_packed_values_that_do_not_fit_are_refused(void)
{
    static const struct {
        const char *column;
        packed value;
    } wrong[] = {
        {"age", {"BOOL", "\x02", 1, NULL}},
        {"age", {"UINT64", "\0\0\0\0\0\0\0\x80", 8, NULL}}, // 2^63
        {"age", {"FP64", "\0\0\0\0\0\0\xe0\x43", 8, NULL}}, // 2^63
        {"age", {"FP64", "\0\0\0\0\0\0\xe0\x3f", 8, NULL}}, // 0.5
        {"age", {"FP64", "\0\0\0\0\0\0\xf0\x7f", 8, NULL}}, // infinity
        {"age",
         {"BYTES",
          "\x02\0\0\0"
          "40",
          6, NULL}},
        {"age", {"INT64", "\x28\0\0\0\0\0\0", 7, NULL}},
        {"age", {"INT64", "\x28\0\0\0\0\0\0\0\0", 9, NULL}},
        {"income", {"INT64", "\x01\0\0\0\0\0\x20\0", 8, NULL}},             // 2^53 + 1
        {"income", {"INT64", "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, NULL}}, // 2^63 - 1
        {"income", {"UINT64", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, NULL}},
        {"city", {"FP64", "\0\0\0\0\0\0\xf0\x3f", 8, NULL}},
        {"city", {"BYTES", "\x05\0\0\0Oslo", 8, NULL}},
        {"city", {"BYTES", "\xff\xff\xff\xffOslo", 8, NULL}},
        {"city", {"BYTES", "\x03\0\0\0Oslo", 8, NULL}},
        {"city", {"BYTES", "\x01\0\0", 3, NULL}},
        {"city", {"BYTES", "\x02\0\0\0\xc0\xaf", 6, NULL}},
        {"joined", {"BYTES", "\x01\0\0\0x", 5, NULL}},
        {"member", {"INT8", "\x02", 1, NULL}},
    };
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ask_packed(&self, wrong[i].column, &wrong[i].value, 400);
        ASSERT(serve_case_has(&self, wrong[i].column));
    }
    serve_case_deinit(&self);
}

static void test_infinity_is_a_float(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    ask_packed(&self, "income", &(packed){"FP64", "\0\0\0\0\0\0\xf0\x7f", 8, NULL}, 200);
    serve_case_deinit(&self);
}

static const char *const wrong_inputs[] = {
    // Shapes: K1.
    "{\"name\":\"age\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1,2]}",
    "{\"name\":\"age\",\"shape\":[-1],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":1,\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[1.0],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[\"1\"],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[4611686018427387904,4],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[18446744073709551615],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[18446744073709551616],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[1,2],\"datatype\":\"INT64\",\"data\":[1,2]}",
    "{\"name\":\"age\",\"shape\":[1,1,1],\"datatype\":\"INT64\",\"data\":[1]}",
    "{\"name\":\"age\",\"datatype\":\"INT64\",\"data\":[1]}",
    // Datatypes: K2.
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT65\",\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[1],\"data\":[1]}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":7,\"data\":[1]}",
    JSON_INPUT("age", "INT64", "9223372036854775808"),
    JSON_INPUT("age", "INT8", "128"),
    JSON_INPUT("age", "INT8", "-129"),
    JSON_INPUT("age", "UINT8", "256"),
    JSON_INPUT("age", "UINT8", "-1"),
    JSON_INPUT("age", "INT64", "1.0"),
    JSON_INPUT("age", "INT64", "\"1\""),
    JSON_INPUT("age", "BOOL", "2"),
    JSON_INPUT("age", "FP32", "\"1\""),
    JSON_INPUT("age", "FP64", "0.5"),
    JSON_INPUT("age", "FP16", "1"),
    JSON_INPUT("age", "BF16", "1"),
    JSON_INPUT("age", "BYTES", "\"1\""),
    JSON_INPUT("income", "FP32", "1e300"),
    JSON_INPUT("income", "INT64", "9007199254740993"),
    JSON_INPUT("city", "BYTES", "7"),
    JSON_INPUT("city", "INT64", "7"),
    JSON_INPUT("city", "BYTES", "[\"a\"]"),
    "{\"name\":\"age\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[[1],[2]]}",
    "{\"name\":\"age\",\"shape\":[2,1],\"datatype\":\"INT64\",\"data\":[[1],2]}",
    "{\"name\":\"age\",\"shape\":[2,1],\"datatype\":\"INT64\",\"data\":[[1],[2,3]]}",
    "{\"name\":\"age\",\"shape\":[2,1],\"datatype\":\"INT64\",\"data\":[[[1]],[[2]]]}",
    // Names and places: K3.
    JSON_INPUT("age", "INT64", "1") "," JSON_INPUT("age", "INT64", "1"),
    JSON_INPUT("age", "INT64",
               "1") ","
                    "{\"name\":\"income\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[1,2]}",
    JSON_INPUT("shoe", "INT64", "1"),
    JSON_INPUT("bought", "INT64", "1"),
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\"}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1],"
    "\"parameters\":{\"binary_data_size\":8}}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\","
    "\"parameters\":{\"binary_data_size\":8}}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\","
    "\"parameters\":{\"binary_data_size\":-8}}",
    "{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\","
    "\"parameters\":{\"shared_memory_region\":\"x\"}}",
    "{\"shape\":[1],\"datatype\":\"INT64\",\"data\":[1]}",
    "7",
    "",
};

static void test_tensors_that_lie_are_refused(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < sizeof(wrong_inputs) / sizeof(wrong_inputs[0]); i++) {
        const char *reply = infer_one(&self, 400, wrong_inputs[i]);
        ASSERT_EQ_INT(strncmp(reply, "{\"error\":\"", 10), 0);
        if (strstr(wrong_inputs[i], "\"name\":\"age\"") == wrong_inputs[i] + 1) {
            ASSERT(strstr(reply, "input \\\"") != NULL);
        }
    }
    serve_case_expect(&self, 400, INFER, "[]");
    serve_case_expect(&self, 400, INFER, "{}");
    serve_case_expect(&self, 400, INFER, "{\"inputs\":{}}");
    serve_case_expect(&self, 400, INFER,
                      "{\"id\":7,\"inputs\":[" JSON_INPUT("age", "INT64", "1") "]}");
    serve_case_deinit(&self);
}

static void test_a_hundred_thousand_inputs_or_outputs(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    tp_buffer body;
    tp_buffer_init(&body, self.env.alloc, 64 << 20);
    tp_buffer_append_text(&body, "{\"inputs\":[" JSON_INPUT("age", "INT64", "1") "],\"outputs\":[");
    for (int i = 0; i < 100000; i++) {
        tp_buffer_append_text(&body, i == 0 ? "" : ",");
        tp_buffer_append_text(&body, "{\"name\":\"prediction\"}");
    }
    tp_buffer_append_text(&body, "]}");
    ASSERT_EQ_INT(
        serve_case_ask(&self,
                       &(serve_ask){.path = INFER, .body = body.data, .body_size = body.size}),
        400);
    tp_buffer_clear(&body);
    tp_buffer_append_text(&body, "{\"inputs\":[");
    for (int i = 0; i < 100000; i++) {
        tp_buffer_append_text(&body, i == 0 ? "" : ",");
        tp_buffer_append_text(&body, JSON_INPUT("age", "INT64", "1"));
    }
    tp_buffer_append_text(&body, "]}");
    ASSERT_EQ_INT(
        serve_case_ask(&self,
                       &(serve_ask){.path = INFER, .body = body.data, .body_size = body.size}),
        400);
    tp_buffer_deinit(&body);
    serve_case_deinit(&self);
}

static void test_outputs_as_asked_for(void)
{
    static const char input[] = "{\"id\":\"a/1\",\"inputs\":[" JSON_INPUT("age", "INT64", "40") "]";
    char body[512];
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    (void)snprintf(body, sizeof(body), "%s}", input);
    serve_case_expect(&self, 200, INFER, body);
    ASSERT(
        serve_case_has(&self, "{\"model_name\":\"toy\",\"model_version\":\"1\",\"id\":\"a/1\","));
    ASSERT(serve_case_has(&self, "{\"name\":\"prediction\",\"datatype\":\"FP64\",\"shape\":[1],"));
    ASSERT(strstr(self.headers.data, "inference-header-content-length") == NULL);
    (void)snprintf(body, sizeof(body), "%s,\"outputs\":[{\"name\":\"probability\"}]}", input);
    serve_case_expect(&self, 200, INFER, body);
    ASSERT(!serve_case_has(&self, "\"prediction\""));
    (void)snprintf(
        body, sizeof(body),
        "%s,\"outputs\":[{\"name\":\"probability\",\"parameters\":{\"binary_data\":true}},"
        "{\"name\":\"prediction\"}]}",
        input);
    serve_case_expect(&self, 200, INFER, body);
    ASSERT(serve_case_has(&self, "\"parameters\":{\"binary_data_size\":8}}"));
    const char *mark = "inference-header-content-length: ";
    const char *header = strstr(self.headers.data, mark);
    ASSERT(header != NULL);
    uint64_t size = 0;
    const size_t digits = strcspn(header + strlen(mark), "\r");
    ASSERT(tp_str_to_uint64((tp_str){header + strlen(mark), digits}, &size));
    ASSERT_EQ_UINT(size + 8, self.reply.size);
    ASSERT_EQ_INT(self.reply.data[size - 1], '}');
    (void)snprintf(body, sizeof(body), "%s,\"parameters\":{\"binary_data_output\":true}}", input);
    serve_case_ask(&self, &(serve_ask){.path = INFER, .body = body});
    ASSERT_EQ_INT(self.status, 200);
    ASSERT(strstr(self.headers.data, mark) != NULL);
    static const char *const wrong[] = {
        "[{\"name\":\"price\"}]", "[{\"name\":\"prediction\"},{\"name\":\"prediction\"}]", "[7]",
        "[{\"name\":\"prediction\",\"parameters\":{\"classification\":1}}]"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(body, sizeof(body), "%s,\"outputs\":%s}", input, wrong[i]);
        serve_case_expect(&self, 400, INFER, body);
    }
    serve_case_deinit(&self);
}

static void test_header_lengths_that_lie(void)
{
    static const char body[] = "{\"inputs\":[" JSON_INPUT("age", "INT64", "40") "]}";
    static const char *const headers[] = {
        "Inference-Header-Content-Length: 5\r\n",
        "Inference-Header-Content-Length: 100000\r\n",
        "Inference-Header-Content-Length: -1\r\n",
        "Inference-Header-Content-Length: x\r\n",
        "Inference-Header-Content-Length:\r\n",
        "Inference-Header-Content-Length: 18446744073709551615\r\n",
        "Inference-Header-Content-Length: 74\r\nInference-Header-Content-Length: 74\r\n"};
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        ASSERT_EQ_INT(
            serve_case_ask(&self, &(serve_ask){.path = INFER, .headers = headers[i], .body = body}),
            400);
    }
    serve_case_deinit(&self);
}

static void test_classes_of_text_are_bytes(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_COLORS);
    serve_case_expect(&self, 200, "/v2/models/colors/infer",
                      "{\"inputs\":[" JSON_INPUT("age", "INT64", "40") "]}");
    ASSERT(serve_case_has(&self, "{\"name\":\"prediction\",\"datatype\":\"BYTES\",\"shape\":[1],"));
    ASSERT(serve_case_has(&self, "{\"name\":\"p_red\",\"datatype\":\"FP64\""));
    ASSERT(serve_case_has(&self, "{\"name\":\"p_deep\\\" blue\""));
    serve_case_deinit(&self);
}

static int get(serve_case *self, const char *path)
{
    return serve_case_ask(self, &(serve_ask){.method = "GET", .path = path});
}

static void test_metadata_and_routes(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy"), 200);
    ASSERT(serve_case_has(&self, "{\"name\":\"toy\",\"versions\":[\"1\"],\"platform\":"));
    ASSERT(serve_case_has(&self, "{\"name\":\"age\",\"datatype\":\"INT64\",\"shape\":[-1]}"));
    ASSERT(serve_case_has(&self, "{\"name\":\"joined\",\"datatype\":\"BYTES\",\"shape\":[-1]}"));
    ASSERT(!serve_case_has(&self, "bought"));
    ASSERT_EQ_INT(get(&self, "/v2/models/toy/versions/1"), 200);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy/versions/2"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy/versions/1/ready"), 200);
    ASSERT_EQ_INT(get(&self, "/v2/models/none/ready"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy/config"), 200);
    ASSERT(serve_case_has(&self, "\"data_type\":\"TYPE_STRING\""));
    ASSERT_EQ_INT(get(&self, "/v2/models/stats"), 200);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy/stats"), 200);
    ASSERT_EQ_INT(get(&self, "/v1/models"), 200);
    ASSERT(serve_case_has(&self,
                          "{\"object\":\"list\",\"data\":[{\"id\":\"toy\",\"object\":\"model\""));
    ASSERT(serve_case_has(&self, "],\"models\":[\"toy\"]}"));
    ASSERT_EQ_INT(get(&self, "/v1/models/toy"), 200);
    ASSERT(serve_case_has(&self, "\"ready\":true,\"id\":\"toy\""));
    ASSERT_EQ_INT(serve_case_post(&self, "/v2/repository/index", NULL), 200);
    ASSERT_EQ_STR(self.reply.data,
                  "[{\"name\":\"toy\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"}]");
    ASSERT_EQ_INT(get(&self, "/openapi.json"), 200);
    for (uint32_t i = 0; i < tp_serve_route_count; i++) {
        ASSERT(serve_case_has(&self, tp_serve_routes[i].pattern));
        ASSERT(tp_serve_routes[i].right >= TP_RIGHT_PROBE);
    }
    ASSERT_EQ_INT(serve_case_post(&self, "/v2/repository/models/none/load", "{}"), 404);
    // K4: off means not there; tables are never loaded or unloaded at run time.
    ASSERT_EQ_INT(serve_case_post(&self, "/v2/repository/models/toy/load", "{}"), 404);
    ASSERT_EQ_INT(serve_case_post(&self, "/v2/repository/models/toy/unload", "{}"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/models/toy"), 200);
    ASSERT_EQ_INT(get(&self, "/v2/systemsharedmemory/status"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/cudasharedmemory/status"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/logging"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/trace/setting"), 404);
    ASSERT_EQ_INT(get(&self, "/v2/models/a%2Fb"), 404);
    ASSERT(!serve_case_has(&self, "/tmp"));
    ASSERT_EQ_INT(get(&self, "/score"), 405);
    ASSERT(strstr(self.headers.data, "allow: OPTIONS, POST\r\n") != NULL);
    ASSERT_EQ_INT(serve_case_ask(&self, &(serve_ask){.method = "OPTIONS", .path = "/v2"}), 204);
    ASSERT(strstr(self.headers.data, "allow: OPTIONS, GET, HEAD\r\n") != NULL);
    serve_case_deinit(&self);
}

TEST_MAIN(TEST(test_packed_values_are_those_of_json),
          TEST(test_packed_values_that_do_not_fit_are_refused), TEST(test_infinity_is_a_float),
          TEST(test_tensors_that_lie_are_refused), TEST(test_a_hundred_thousand_inputs_or_outputs),
          TEST(test_outputs_as_asked_for), TEST(test_header_lengths_that_lie),
          TEST(test_classes_of_text_are_bytes), TEST(test_metadata_and_routes))
