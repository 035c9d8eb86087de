// SPDX-License-Identifier: Apache-2.0
//
// The OpenAPI 3.0 document, written from the table of routes, so that it can't name one that is not
// there. Bodies are described in docs/serve.md; here they are objects.
#include "serve/serve_priv.h"

#include "table/tp_json.h"

#include <string.h>

static const char *method_word(tp_http_method method)
{
    switch (method) {
    case TP_HTTP_GET:
        return "get";
    case TP_HTTP_HEAD:
        return "head";
    case TP_HTTP_POST:
        return "post";
    case TP_HTTP_PUT:
        return "put";
    case TP_HTTP_PATCH:
        return "patch";
    case TP_HTTP_DELETE:
        return "delete";
    case TP_HTTP_OPTIONS:
    case TP_HTTP_OTHER:
    case TP_HTTP_METHOD_COUNT:
        break;
    }
    return "options";
}

static void write_parameters(tp_buffer *json, const char *pattern)
{
    bool is_begun = false;
    for (const char *open = strchr(pattern, '{'); open != NULL; open = strchr(open + 1, '{')) {
        const char *close = strchr(open, '}');
        tp_buffer_append_text(json, is_begun ? "," : ",\"parameters\":[");
        tp_buffer_append_text(json, "{\"name\":");
        tp_json_append_str(json, (tp_str){open + 1, (size_t)(close - open) - 1});
        tp_buffer_append_text(
            json, ",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}");
        is_begun = true;
    }
    if (is_begun) {
        tp_buffer_append_char(json, ']');
    }
}

static void write_operation(tp_buffer *json, const serve_route *route)
{
    tp_json_append_str(json, tp_str_from(method_word(route->method)));
    tp_buffer_append_text(json, ":{\"summary\":");
    tp_json_append_str(json, tp_str_from(route->summary));
    tp_buffer_append_text(json, ",\"x-tapeout-right\":");
    tp_json_append_str(json, tp_str_from(tp_right_name(route->right)));
    if (route->right == TP_RIGHT_PROBE) {
        tp_buffer_append_text(json, ",\"security\":[]");
    }
    write_parameters(json, route->pattern);
    if (route->method == TP_HTTP_POST) {
        tp_buffer_append_text(json, ",\"requestBody\":{\"content\":{\"application/json\":"
                                    "{\"schema\":{}}}}");
    }
    tp_buffer_append_text(json, ",\"responses\":{\"200\":{\"description\":\"The answer\"},"
                                "\"default\":{\"description\":\"An error, in JSON\"}}}");
}

void tp_serve_openapi_write(tp_buffer *ret_json)
{
    tp_buffer_append_text(ret_json, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"tapeout\","
                                    "\"version\":");
    tp_json_append_str(ret_json, tp_str_from(tapeout_version()));
    tp_buffer_append_text(ret_json,
                          "},\"security\":[{\"bearer\":[]},{\"basic\":[]},{\"key\":[]}],"
                          "\"components\":{\"securitySchemes\":{"
                          "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
                          "\"basic\":{\"type\":\"http\",\"scheme\":\"basic\"},"
                          "\"key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\"}"
                          "}},\"paths\":{");
    for (uint32_t i = 0; i < tp_serve_route_count; i++) {
        const serve_route *route = &tp_serve_routes[i];
        const char *const before = i > 0 ? tp_serve_routes[i - 1].pattern : "";
        // Lines of one path stand together.
        if (strcmp(before, route->pattern) == 0) {
            tp_buffer_append_char(ret_json, ',');
        } else {
            tp_buffer_append_text(ret_json, i > 0 ? "}," : "");
            tp_json_append_str(ret_json, tp_str_from(route->pattern));
            tp_buffer_append_text(ret_json, ":{");
        }
        write_operation(ret_json, route);
    }
    tp_buffer_append_text(ret_json, "}}}");
}
