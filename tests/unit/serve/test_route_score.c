// SPDX-License-Identifier: Apache-2.0
//
// Raw records and MLflow's forms: what converts, what is missing, what is ignored, and what is
// refused with a sentence (D1, D2). Every form gives the same bits for the same rows.
#include "serve_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_file.h"

#include <dirent.h>
#include <string.h>

#define RECORD                                                                                     \
    "{\"age\":40,\"income\":1234.5,\"city\":\"Oslo\",\"joined\":\"2020-03-07\",\"member\":true}"

// The text behind `"probability":` up to the next comma or brace.
static void take_probability(const char *reply, char ret_text[40])
{
    const char *at = strstr(reply, "\"probability\":");
    ASSERT(at != NULL);
    at += strlen("\"probability\":");
    const size_t size = strcspn(at, ",}]");
    ASSERT(size > 0 && size < 40);
    memcpy(ret_text, at, size);
    ret_text[size] = '\0';
}

static void test_a_record_is_answered_with_all_that_was_noticed(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    serve_case_expect(&self, 200, "/score", RECORD);
    ASSERT(serve_case_has(&self, "{\"prediction\":"));
    ASSERT(serve_case_has(&self, "\"model\":\"toy\",\"version\":\"1\",\"sha256\":\""));
    ASSERT(serve_case_has(&self, "\"unseen\":[],\"missing\":[],\"ignored\":[]"));
    serve_case_expect(&self, 200, "/score",
                      "{\"city\":\"Atlantis\",\"age\":null,\"shoe\":43,\"hat\":[1,{\"a\":2}]}");
    ASSERT(serve_case_has(&self, "\"unseen\":[\"city\"]"));
    ASSERT(serve_case_has(&self, "\"ignored\":[\"shoe\",\"hat\"]"));
    ASSERT(serve_case_has(&self, "\"age\""));
    ASSERT(serve_case_has(&self, "\"income\""));
    ASSERT(!serve_case_has(&self, "\"missing\":[]"));
    serve_case_deinit(&self);
}

static void test_every_form_has_the_same_bits(void)
{
    static const char *const bodies[][2] = {
        {"/score", "[" RECORD "]"},
        {"/score", "{\"instances\":[" RECORD "]}"},
        {"/invocations", "{\"dataframe_records\":[" RECORD "]}"},
        {"/invocations", "{\"instances\":[" RECORD "]}"},
        {"/invocations", "{\"dataframe_split\":{\"columns\":[\"member\",\"age\",\"income\","
                         "\"city\",\"joined\"],\"index\":[7],\"data\":[[true,40,1234.5,\"Oslo\","
                         "\"2020-03-07\"]]}}"},
        {"/invocations", "{\"inputs\":{\"age\":[40],\"income\":[[1234.5]],\"city\":[\"Oslo\"],"
                         "\"joined\":[\"2020-03-07\"],\"member\":[true]}}"},
        {"/invocations", "{\"inputs\":{\"age\":40,\"income\":1234.5,\"city\":\"Oslo\","
                         "\"joined\":\"2020-03-07\",\"member\":true}}"},
        {"/v1/models/toy:predict", "{\"instances\":[" RECORD "]}"},
        {"/score", "{\"age\":\"40\",\"income\":\"1234.5\",\"city\":\"Oslo\","
                   "\"joined\":\"2020-03-07\",\"member\":\"true\"}"},
        {"/score", "{\"age\":40.0,\"income\":12345e-1,\"city\":\"\\u004fslo\","
                   "\"joined\":\"2020-03-07\",\"member\":1}"},
    };
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    char want[40];
    take_probability(serve_case_expect(&self, 200, "/score", RECORD), want);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char got[40];
        take_probability(serve_case_expect(&self, 200, bodies[i][0], bodies[i][1]), got);
        ASSERT_EQ_STR(got, want);
    }
    ASSERT_EQ_INT(serve_case_ask(&self, &(serve_ask){.path = "/invocations",
                                                     .headers = "content-type: text/csv\r\n",
                                                     .body = "age,income,city,joined,member\n"
                                                             "40,1234.5,Oslo,2020-03-07,true\n"}),
                  200);
    char got[40];
    take_probability(self.reply.data, got);
    ASSERT_EQ_STR(got, want);
    serve_case_deinit(&self);
}

static void test_a_clean_answer_holds_predictions_alone(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    const char *reply =
        serve_case_expect(&self, 200, "/invocations", "{\"instances\":[" RECORD "," RECORD "]}");
    ASSERT_EQ_INT(strncmp(reply, "{\"predictions\":[{\"prediction\":", 30), 0);
    ASSERT(strcmp(reply + strlen(reply) - 3, "}]}") == 0);
    ASSERT(strstr(self.headers.data, "x-tapeout-model: toy;version=1;sha256=") != NULL);
    serve_case_expect(&self, 200, "/invocations", "{\"instances\":[{\"age\":1,\"shoe\":2}]}");
    ASSERT(serve_case_has(&self, "\"ignored\":[\"shoe\"]"));
    ASSERT(serve_case_has(&self, "\"missing\":["));
    serve_case_deinit(&self);
}

static void test_classes_of_text(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_COLORS);
    serve_case_expect(&self, 200, "/score", RECORD);
    ASSERT(serve_case_has(&self, "\"p_red\":"));
    ASSERT(serve_case_has(&self, "\"p_deep\\\" blue\":"));
    ASSERT(serve_case_has(&self, "{\"prediction\":\""));
    serve_case_deinit(&self);
}

typedef struct refusal {
    const char *path;
    const char *body;
    int status;
    const char *part; // of the message
} refusal;

static const refusal refusals[] = {
    {"/score", "", 400, "no body"},
    {"/score", "7", 400, "record"},
    {"/score", "[7]", 400, "record 1"},
    {"/score", "{\"age\":1,\"age\":2}", 400, "age"},
    {"/score", "{\"x\":{\"b\":1,\"b\":2}}", 400, "twice"},
    {"/score", "{\"age\":40.5}", 400, "\\\"age\\\""},
    {"/score", "{\"age\":9223372036854775808}", 400, "\\\"age\\\""},
    {"/score", "{\"age\":1e300}", 400, "\\\"age\\\""},
    {"/score", "{\"age\":\"forty\"}", 400, "\\\"age\\\""},
    {"/score", "{\"age\":[1]}", 400, "\\\"age\\\""},
    {"/score", "{\"age\":{}}", 400, "\\\"age\\\""},
    {"/score", "{\"city\":7}", 400, "\\\"city\\\""},
    {"/score", "{\"city\":true}", 400, "\\\"city\\\""},
    {"/score", "{\"joined\":20200307}", 400, "\\\"joined\\\""},
    {"/score", "{\"joined\":\"2020-13-01\"}", 400, "\\\"joined\\\""},
    {"/score", "{\"member\":2}", 400, "\\\"member\\\""},
    {"/score", "{\"member\":\"yes\"}", 400, "\\\"member\\\""},
    {"/score", "{\"income\":1e400}", 400, "JSON"},
    {"/score", "{\"city\":\"\\ud800\"}", 400, "JSON"},
    {"/score", "{\"city\":\"\\udc00\\ud800\"}", 400, "JSON"},
    {"/score", "{\"city\":\"\xc0\xaf\"}", 400, "JSON"},
    {"/score", "{'age':1}", 400, "JSON"},
    {"/score", "{\"age\":NaN}", 400, "JSON"},
    {"/score", "{\"age\":1,}", 400, "JSON"},
    {"/score", "{\"age\":1} x", 400, "JSON"},
    {"/score", "// no\n{\"age\":1}", 400, "JSON"},
    {"/invocations", "[]", 400, "exactly one"},
    {"/invocations", "{}", 400, "exactly one"},
    {"/invocations", RECORD, 400, "exactly one"},
    {"/invocations", "{\"instances\":[],\"inputs\":[]}", 400, "exactly one"},
    {"/invocations", "{\"instances\":7}", 400, "list"},
    {"/invocations", "{\"instances\":[[1,2]]}", 400, "2 values"},
    {"/invocations", "{\"dataframe_records\":{}}", 400, "list"},
    {"/invocations", "{\"dataframe_split\":[]}", 400, "dataframe_split"},
    {"/invocations", "{\"dataframe_split\":{\"data\":[[1]],\"more\":1}}", 400, "only"},
    {"/invocations", "{\"dataframe_split\":{\"columns\":[\"age\",\"age\"],\"data\":[]}}", 400,
     "twice"},
    {"/invocations", "{\"dataframe_split\":{\"columns\":[\"age\"],\"data\":[[1,2]]}}", 400,
     "2 values"},
    {"/invocations", "{\"inputs\":{\"age\":[1,2],\"income\":[1]}}", 400, "income"},
    {"/v1/models/toy:predict", "{}", 400, "instances"},
    {"/v1/models/toy:predict", "{\"instances\":[],\"inputs\":[]}", 400, "not both"},
    {"/v1/models/none:predict", "{\"instances\":[]}", 404, "none"},
};

static void test_refusals_say_what_is_wrong(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const refusal *one = &refusals[i];
        const char *reply = serve_case_expect(&self, one->status, one->path, one->body);
        const bool is_mlflow = strcmp(one->path, "/invocations") == 0;
        ASSERT_EQ_INT(strncmp(reply, is_mlflow ? "{\"error_code\":\"" : "{\"error\":\"", 10), 0);
        if (strstr(reply, one->part) == NULL) {
            test_fail(__FILE__, __LINE__, "%s: no \"%s\" in %s", one->body, one->part, reply);
        }
    }
    serve_case_deinit(&self);
}

static void test_numbers_at_the_edge_of_int64(void)
{
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    serve_case_expect(&self, 200, "/score", "{\"age\":9223372036854775807}");
    serve_case_expect(&self, 200, "/score", "{\"age\":-9223372036854775808}");
    serve_case_expect(&self, 400, "/score", "{\"age\":-9223372036854775809}");
    serve_case_expect(&self, 200, "/score", "{\"income\":-0.0}");
    serve_case_expect(&self, 200, "/score", "{\"income\":\"nan\"}");
    ASSERT(serve_case_has(&self, "\"prediction\""));
    serve_case_deinit(&self);
}

static void test_deep_nesting_and_long_numbers(void)
{
    enum { SIZE = 200000 };
    static char body[SIZE + 1];
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    memset(body, '[', SIZE);
    serve_case_expect(&self, 400, "/score", body);
    memset(body, '[', SIZE / 2);
    memset(body + SIZE / 2, ']', SIZE / 2);
    serve_case_expect(&self, 400, "/score", body);
    ASSERT(serve_case_has(&self, "nested deeper"));
    memset(body, '9', 420);
    memcpy(body, "{\"income\":", 10);
    memcpy(body + 410, "}", 2);
    serve_case_expect(&self, 400, "/score", body);
    serve_case_deinit(&self);
}

static void test_content_types(void)
{
    static const char *const good[] = {"", "content-type: application/json\r\n",
                                       "Content-Type: Application/JSON\r\n",
                                       "content-type: application/json; charset=utf-8\r\n",
                                       "content-type: application/json;charset=UTF-8\r\n"};
    static const char *const bad[] = {
        "content-type: image/png\r\n", "content-type: application/json; charset=latin-1\r\n",
        "content-type: application/json; x=y\r\n", "content-type: text/plain\r\n",
        "content-type: application/vnd.apache.parquet\r\n"};
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    for (size_t i = 0; i < 5; i++) {
        serve_ask ask = {
            .path = "/invocations", .headers = good[i], .body = "{\"instances\":[{\"age\":1}]}"};
        ASSERT_EQ_INT(serve_case_ask(&self, &ask), 200);
        ask.headers = bad[i];
        ASSERT_EQ_INT(serve_case_ask(&self, &ask), 415);
    }
    serve_case_deinit(&self);
}

// D1: y_ must be read, n_ refused, i_ answered; a key twice is always refused here.
static void test_json_test_suite(void)
{
    const char *shared = test_shared_dir();
    if (shared == NULL) {
        test_skip("../shared is not there");
    }
    char folder[512];
    (void)snprintf(folder, sizeof(folder), "%s/corpora/json", shared);
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        test_skip("the JSON corpus is not there");
    }
    serve_case self;
    serve_case_init(&self, SERVE_CASE_BINARY);
    const tapeout_allocator *alloc = tp_allocator_default();
    int counts[3] = {0, 0, 0};
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        const char kind = entry->d_name[0];
        if (entry->d_name[1] != '_') {
            continue;
        }
        char path[1024];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        tp_str text = {NULL, 0};
        ASSERT_OK(tp_file_read(alloc, path, 1 << 20, &text, &test_err));
        // As the value of a key that is no column: what is no JSON spoils the whole.
        tp_buffer body;
        tp_buffer_init(&body, alloc, 2 << 20);
        tp_buffer_append_text(&body, "{\"other\":");
        tp_buffer_append_str(&body, text);
        tp_buffer_append_char(&body, '}');
        const int status = serve_case_ask(
            &self, &(serve_ask){.path = "/score", .body = body.data, .body_size = body.size});
        const bool is_twice = strstr(entry->d_name, "y_object_duplicated_key") != NULL;
        const bool is_right = kind == 'y'   ? status == (is_twice ? 400 : 200)
                              : kind == 'n' ? status == 400
                                            : status == 200 || status == 400;
        if (!is_right) {
            test_fail(__FILE__, __LINE__, "%s: status %d", entry->d_name, status);
        }
        counts[kind == 'y' ? 0 : kind == 'n' ? 1 : 2]++;
        tp_buffer_deinit(&body);
        tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    }
    (void)closedir(directory);
    ASSERT_EQ_INT(counts[0], 95);
    ASSERT_EQ_INT(counts[1], 188);
    ASSERT_EQ_INT(counts[2], 35);
    serve_case_deinit(&self);
}

TEST_MAIN(TEST(test_a_record_is_answered_with_all_that_was_noticed),
          TEST(test_every_form_has_the_same_bits),
          TEST(test_a_clean_answer_holds_predictions_alone), TEST(test_classes_of_text),
          TEST(test_refusals_say_what_is_wrong), TEST(test_numbers_at_the_edge_of_int64),
          TEST(test_deep_nesting_and_long_numbers), TEST(test_content_types),
          TEST(test_json_test_suite))
