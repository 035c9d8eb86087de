// SPDX-License-Identifier: Apache-2.0
//
// The one table of routes. A handler that stands in no line can't be reached, and a line has a
// right: the column is positional, so leaving it out does not compile. Who asks is looked at by the
// line before the handler runs, and before the body is (serve_auth.c). HEAD is served by GET's line
// and OPTIONS by all of a path's.
#include "serve/mlflow_calls.h"
#include "serve/mlflow_routes.h"
#include "serve/serve_handlers.h"

#include <string.h>

#define PLAIN SERVE_FAMILY_PLAIN
#define MLFLOW SERVE_FAMILY_MLFLOW
#define OPENAI SERVE_FAMILY_OPENAI

// X(method, pattern, right, family of errors, handler, summary)
#define SERVE_ROUTE_MAP(X)                                                                         \
    X(GET, "/", PROBE, PLAIN, tp_serve_root, "The server is alive")                                \
    X(GET, "/livez", PROBE, PLAIN, tp_serve_live, "The process answers")                           \
    X(GET, "/readyz", PROBE, PLAIN, tp_serve_ready, "Models are loaded and no drain has begun")    \
    X(GET, "/health", PROBE, OPENAI, tp_serve_health, "200 when ready, with a body in JSON")       \
    X(GET, "/v1/health", PROBE, OPENAI, tp_serve_health, "The same")                               \
    X(GET, "/ping", PROBE, PLAIN, tp_serve_ping, "200 when ready, for SageMaker and MLflow")       \
    X(GET, "/version", PROBE, PLAIN, tp_serve_version, "The version of tapeout as text")           \
    X(GET, "/metrics", WATCH, PLAIN, tp_serve_metrics, "Metrics in Prometheus' text format")       \
    X(GET, "/api/3.0/mlflow/server-info", PROBE, MLFLOW, tp_serve_mlflow_info,                     \
      "What MLflow's clients ask of a server")                                                     \
    X(GET, "/openapi.json", READ, PLAIN, tp_serve_openapi, "This document")                        \
    X(POST, "/score", SCORE, PLAIN, tp_serve_score, "Raw records in, predictions and notes out")   \
    X(POST, "/invocations", SCORE, MLFLOW, tp_serve_invocations, "MLflow's scoring protocol")      \
    X(GET, "/v1/models", READ, OPENAI, tp_serve_v1_list, "Names of the models")                    \
    X(GET, "/v1/models/{model}", READ, OPENAI, tp_serve_v1_model, "Whether a model is ready")      \
    X(POST, "/v1/models/{model}:predict", SCORE, PLAIN, tp_serve_v1_predict,                       \
      "KServe v1 prediction")                                                                      \
    X(GET, "/v2", READ, PLAIN, tp_serve_v2_server, "Name, version and extensions")                 \
    X(GET, "/v2/health/live", PROBE, PLAIN, tp_serve_v2_live, "The process answers")               \
    X(GET, "/v2/health/ready", PROBE, PLAIN, tp_serve_v2_ready, "Models are loaded")               \
    X(GET, "/v2/models", READ, PLAIN, tp_serve_v2_list, "Names of the models")                     \
    X(GET, "/v2/models/stats", READ, PLAIN, tp_serve_v2_stats, "Statistics of all models")         \
    X(GET, "/v2/models/{model}", READ, PLAIN, tp_serve_v2_model, "Inputs and outputs of a model")  \
    X(GET, "/v2/models/{model}/versions/{version}", READ, PLAIN, tp_serve_v2_model,                \
      "Inputs and outputs of a version")                                                           \
    X(GET, "/v2/models/{model}/ready", READ, PLAIN, tp_serve_v2_model_ready,                       \
      "Whether it is ready")                                                                       \
    X(GET, "/v2/models/{model}/versions/{version}/ready", READ, PLAIN, tp_serve_v2_model_ready,    \
      "Whether a version is ready")                                                                \
    X(GET, "/v2/models/{model}/config", READ, PLAIN, tp_serve_v2_config, "Configuration")          \
    X(GET, "/v2/models/{model}/versions/{version}/config", READ, PLAIN, tp_serve_v2_config,        \
      "Configuration of a version")                                                                \
    X(GET, "/v2/models/{model}/stats", READ, PLAIN, tp_serve_v2_stats, "Statistics of a model")    \
    X(GET, "/v2/models/{model}/versions/{version}/stats", READ, PLAIN, tp_serve_v2_stats,          \
      "Statistics of a version")                                                                   \
    X(POST, "/v2/models/{model}/infer", SCORE, PLAIN, tp_serve_v2_infer,                           \
      "Open Inference Protocol")                                                                   \
    X(POST, "/v2/models/{model}/versions/{version}/infer", SCORE, PLAIN, tp_serve_v2_infer,        \
      "Open Inference Protocol, a given version")                                                  \
    X(POST, "/v2/repository/index", READ, PLAIN, tp_serve_v2_index, "Models and their states")     \
    X(POST, "/tokenize", SCORE, OPENAI, tp_serve_tokenize, "Text to tokens")                       \
    X(POST, "/detokenize", SCORE, OPENAI, tp_serve_detokenize, "Tokens to text")                   \
    X(GET, "/api/version", PROBE, PLAIN, tp_serve_ollama_version, "Ollama: the version")           \
    X(GET, "/api/tags", READ, PLAIN, tp_serve_ollama_tags, "Ollama: the models")                   \
    X(GET, "/api/ps", READ, PLAIN, tp_serve_ollama_ps, "Ollama: the models in memory")             \
    X(POST, "/api/show", READ, PLAIN, tp_serve_ollama_show, "Ollama: what a model is")             \
    X(POST, "/api/pull", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")                  \
    X(POST, "/api/push", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")                  \
    X(POST, "/api/create", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")                \
    X(POST, "/api/copy", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")                  \
    X(DELETE, "/api/delete", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")              \
    X(POST, "/api/blobs/{digest}", ADMIN, PLAIN, tp_serve_ollama_refuse, "Ollama: refused")

// The same for those that take long enough to keep a loop: on another thread, always.
#define SERVE_LONG_MAP(X)                                                                          \
    X(POST, "/v1/embeddings", SCORE, OPENAI, tp_serve_embeddings, "Vectors of texts")              \
    X(POST, "/v2/repository/models/{model}/load", ADMIN, PLAIN, tp_serve_v2_load,                  \
      "Load a model that was unloaded")                                                            \
    X(POST, "/v2/repository/models/{model}/unload", ADMIN, PLAIN, tp_serve_v2_unload,              \
      "Give a model's memory back")                                                                \
    X(POST, "/registry/models/{model}/aliases/{alias}/promote", APPROVE, PLAIN, tp_serve_promote,  \
      "Let an alias lead to a version, through the gate")                                          \
    X(POST, "/registry/models/{model}/aliases/{alias}/rollback", ROLLBACK, PLAIN,                  \
      tp_serve_roll_back, "Lead an alias back to where it pointed before")                         \
    X(POST, "/api/embed", SCORE, PLAIN, tp_serve_ollama_embed, "Ollama: vectors of texts")         \
    X(POST, "/api/embeddings", SCORE, PLAIN, tp_serve_ollama_embeddings,                           \
      "Ollama: the vector of a text")

// And for those whose reply comes later.
#define SERVE_LATER_MAP(X)                                                                         \
    X(POST, "/v1/chat/completions", SCORE, OPENAI, tp_serve_chat_completions,                      \
      "OpenAI's chat completions")                                                                 \
    X(POST, "/v1/completions", SCORE, OPENAI, tp_serve_completions, "OpenAI's completions")        \
    X(POST, "/v1/responses", SCORE, OPENAI, tp_serve_responses, "OpenAI's responses")

// And on another thread as well: they may have to load a model.
#define SERVE_SLOW_MAP(X)                                                                          \
    X(POST, "/api/chat", SCORE, PLAIN, tp_serve_ollama_chat, "Ollama: chat")                       \
    X(POST, "/api/generate", SCORE, PLAIN, tp_serve_ollama_generate, "Ollama: one prompt")

#define SERVE_NOW_LINE(method, pattern, right, family, handler, summary)                           \
    {TP_HTTP_##method, pattern, TP_RIGHT_##right, family, SERVE_NOW, handler, summary, NULL},
#define SERVE_LONG_LINE(method, pattern, right, family, handler, summary)                          \
    {TP_HTTP_##method, pattern, TP_RIGHT_##right, family, SERVE_LONG, handler, summary, NULL},
#define SERVE_LATER_LINE(method, pattern, right, family, handler, summary)                         \
    {TP_HTTP_##method, pattern, TP_RIGHT_##right, family, SERVE_LATER, handler, summary, NULL},
#define SERVE_SLOW_LINE(method, pattern, right, family, handler, summary)                          \
    {TP_HTTP_##method, pattern, TP_RIGHT_##right, family, SERVE_SLOW, handler, summary, NULL},
// MLflow's tracking is for who may see all there is; its registry goes model by model.
#define SERVE_TRACKING_LINE(method, pattern, right, call)                                          \
    {TP_HTTP_##method, "/api/2.0" pattern, TP_RIGHT_##right,    MLFLOW,                            \
     SERVE_LONG,       tp_serve_mlflow,    "MLflow's tracking", call},
#define SERVE_REGISTRY_LINE(method, pattern, right, call)                                          \
    {TP_HTTP_##method, "/api/2.0" pattern,    TP_RIGHT_##right,    MLFLOW,                         \
     SERVE_LONG,       tp_serve_mlflow_model, "MLflow's registry", call},
// Whose body is taken in pieces. All of them are PUT, so that others need not be looked for.
#define SERVE_UPLOAD_LINE(pattern, right, call)                                                    \
    {TP_HTTP_PUT,  "/api/2.0" pattern, TP_RIGHT_##right,    MLFLOW,                                \
     SERVE_UPLOAD, tp_serve_mlflow,    "MLflow's tracking", call},
// Files, at the server's root, as MLflow's own pages ask for them.
#define SERVE_FILE_LINE(method, pattern, right, handler, call, summary)                            \
    {TP_HTTP_##method, pattern, TP_RIGHT_##right, MLFLOW, SERVE_LONG, handler, summary, call},
const serve_route tp_serve_routes[] = {
    SERVE_ROUTE_MAP(SERVE_NOW_LINE) SERVE_LONG_MAP(SERVE_LONG_LINE)
        SERVE_LATER_MAP(SERVE_LATER_LINE) SERVE_SLOW_MAP(SERVE_SLOW_LINE) SERVE_MLFLOW_TRACKING_MAP(
            SERVE_TRACKING_LINE) SERVE_MLFLOW_UPLOAD_MAP(SERVE_UPLOAD_LINE)
            SERVE_MLFLOW_REGISTRY_MAP(SERVE_REGISTRY_LINE) SERVE_MLFLOW_FILE_MAP(SERVE_FILE_LINE)};
#undef SERVE_TRACKING_LINE
#undef SERVE_UPLOAD_LINE
#undef SERVE_REGISTRY_LINE
#undef SERVE_FILE_LINE
#undef SERVE_NOW_LINE
#undef SERVE_LONG_LINE
#undef SERVE_LATER_LINE
#undef SERVE_SLOW_LINE
const uint32_t tp_serve_route_count = sizeof(tp_serve_routes) / sizeof(tp_serve_routes[0]);

// One segment of a pattern against one of a path. "{model}:predict" takes what stands before its
// tail, which must be something.
static bool segment_matches(tp_str pattern, tp_str segment, tp_str *params, uint32_t *param_count)
{
    if (pattern.size == 0 || pattern.data[0] != '{') {
        return tp_str_equal(pattern, segment);
    }
    const char *end = memchr(pattern.data, '}', pattern.size);
    const size_t name_size = (size_t)(end - pattern.data) + 1;
    const tp_str tail = {pattern.data + name_size, pattern.size - name_size};
    if (segment.size <= tail.size || !tp_str_has_suffix(segment, tail)) {
        return false;
    }
    params[(*param_count)++] = (tp_str){segment.data, segment.size - tail.size};
    return true;
}

// Whether the path is one that a client of MLflow's API asks, whether it is there or not.
bool tp_serve_is_mlflow(const tp_http_request *request)
{
    return request->segment_count > 1 &&
           (tp_str_equal(request->segments[0], TP_STR("api")) ||
            tp_str_equal(request->segments[0], TP_STR("ajax-api"))) &&
           (tp_str_equal(request->segments[1], TP_STR("2.0")) ||
            tp_str_equal(request->segments[1], TP_STR("3.0")));
}

// MLflow's pages ask the same routes under another prefix.
static bool is_ajax(const tp_http_request *request)
{
    return request->segment_count > 1 && tp_str_equal(request->segments[0], TP_STR("ajax-api")) &&
           tp_serve_is_mlflow(request);
}

// "{path...}" at the end stands for all segments that are left, one at least; its handler reads
// them from the request.
static bool route_matches(const serve_route *route, const tp_http_request *request, tp_str *params)
{
    const char *at = route->pattern + 1;
    uint32_t param_count = 0;
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const char *slash = strchr(at, '/');
        const size_t size = slash == NULL ? strlen(at) : (size_t)(slash - at);
        if (tp_str_has_suffix((tp_str){at, size}, TP_STR("...}"))) {
            return true;
        }
        if (i == 0 && is_ajax(request) && size == 3 && memcmp(at, "api", 3) == 0) {
            at += 4; // as it would be without the prefix
            continue;
        }
        if (size == 0 || (slash == NULL) != (i + 1 == request->segment_count) ||
            !segment_matches((tp_str){at, size}, request->segments[i], params, &param_count)) {
            return false;
        }
        at += size + (slash != NULL);
    }
    return *at == '\0';
}

const serve_route *tp_serve_route_find(const tp_http_request *request, tp_str *ret_params,
                                       uint32_t *ret_allowed)
{
    const tp_http_method method = request->method == TP_HTTP_HEAD ? TP_HTTP_GET : request->method;
    *ret_allowed = 0;
    for (uint32_t i = 0; i < tp_serve_route_count; i++) {
        tp_str params[SERVE_MAX_PARAMS] = {{NULL, 0}};
        if (!route_matches(&tp_serve_routes[i], request, params)) {
            continue;
        }
        if (tp_serve_routes[i].method == method) {
            memcpy(ret_params, params, sizeof(params));
            return &tp_serve_routes[i];
        }
        *ret_allowed |= 1u << tp_serve_routes[i].method;
    }
    return NULL;
}
