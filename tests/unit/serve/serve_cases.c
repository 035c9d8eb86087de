// SPDX-License-Identifier: Apache-2.0
//
// Models and requests for tests: see serve_cases.h.
#include "serve_cases.h"

#include "base/tp_random.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/train.h>

enum { ROW_COUNT = 400 };

static void write_rows(const char *path, serve_model_kind kind, unsigned seed)
{
    static const char *const cities[] = {"Ghent", "Lima", "Oslo", "Pune"};
    static const char *const colors[] = {"red", "green", "\"deep\"\" blue\""};
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    (void)fprintf(file, "age,income,city,joined,member,%s\n",
                  kind == SERVE_CASE_BINARY ? "bought" : "color");
    for (uint64_t i = 0; i < ROW_COUNT; i++) {
        const uint64_t age = 18 + tp_random_below(seed, 0, i, 60);
        const uint64_t city = tp_random_below(seed, 1, i, 4);
        const uint64_t noise = tp_random_below(seed, 2, i, 30);
        const uint64_t month = 1 + tp_random_below(seed, 3, i, 12);
        const uint64_t score = age + 10 * city + noise;
        (void)fprintf(file, "%llu,%llu.25,%s,2020-%02llu-07,%s,", (unsigned long long)age,
                      (unsigned long long)(1000 + 37 * noise), cities[city],
                      (unsigned long long)month, noise % 2 == 0 ? "true" : "false");
        if (kind == SERVE_CASE_BINARY) {
            (void)fprintf(file, "%d\n", score > 75);
        } else {
            (void)fprintf(file, "%s\n", colors[score < 60 ? 0 : score < 85 ? 1 : 2]);
        }
    }
    ASSERT(fclose(file) == 0);
}

static void write_spec(const char *path, serve_model_kind kind)
{
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    (void)fprintf(file,
                  "name: %s\n"
                  "data:\n"
                  "  train: rows.csv\n"
                  "  split: {by: random, test: 0.2}\n"
                  "target: %s\n"
                  "features: |\n"
                  "  age = age\n"
                  "  wealth = log1p(income)\n"
                  "  city = category(city, min_count = 5)\n"
                  "  month = month(joined)\n"
                  "  member = if(member, 1, 0)\n"
                  "model: {learner: gbt, trees: 10, leaves: 7}\n",
                  kind == SERVE_CASE_BINARY ? "toy" : "colors",
                  kind == SERVE_CASE_BINARY ? "{column: bought, positive: 1}" : "{column: color}");
    ASSERT(fclose(file) == 0);
}

const char *serve_case_bundle(serve_model_kind kind, unsigned seed)
{
    static char bundle[512];
    char path[512];
    const char *folder = test_temp_dir();
    (void)snprintf(path, sizeof(path), "%s/rows.csv", folder);
    write_rows(path, kind, seed);
    (void)snprintf(path, sizeof(path), "%s/spec.yaml", folder);
    write_spec(path, kind);
    (void)snprintf(bundle, sizeof(bundle), "%s/model.tapeout", folder);
    char home[512];
    (void)snprintf(home, sizeof(home), "%s/home", folder);
    tapeout_context_options context_options;
    tapeout_context_options_init(&context_options);
    context_options.home = home;
    context_options.thread_count = 1;
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&context_options, &context, &test_err));
    tapeout_train_options options;
    tapeout_train_options_init(&options);
    options.out_path = bundle;
    char *json = NULL;
    ASSERT_OK(tapeout_train(context, path, &options, &json, &test_err));
    tapeout_text_free(context, json);
    tapeout_context_free(context);
    return bundle;
}

static void on_request(void *user, tp_http_connection *connection)
{
    serve_case *self = user;
    serve_exchange *exchange = &self->exchange;
    tp_serve_exchange_begin(exchange, &connection->request);
    tp_serve_exchange_run(exchange);
    tp_serve_auth_settle(exchange);
    self->status = exchange->reply.status;
    tp_buffer_clear(&self->reply);
    tp_buffer_append_str(&self->reply, tp_buffer_view(&exchange->reply.body));
    tp_buffer_append_char(&self->reply, '\0');
    self->reply.size--;
    tp_buffer_clear(&self->headers);
    tp_buffer_append_str(&self->headers, tp_buffer_view(&exchange->reply.headers));
    tp_buffer_append_char(&self->headers, '\0');
    tp_http_connection_reply(connection, &exchange->reply);
    tp_serve_exchange_clear(exchange);
}

void serve_case_init(serve_case *self, serve_model_kind kind)
{
    static const tp_metric_family none[] = {
        {"tapeout_test_total", "None.", TP_METRIC_COUNTER, false, 1, {NULL}}};
    memset(self, 0, sizeof(*self));
    test_allocator_init(&self->allocator);
    self->env = tp_env_plain();
    self->env.alloc = &self->allocator.base;
    self->state.env = &self->env;
    self->state.max_body_bytes = 8 << 20;
    self->state.max_rows = TP_MAX_SERVE_ROWS;
    atomic_store(&self->state.is_ready, true);
    ASSERT_OK(tp_monitor_new(self->env.alloc, none, 1, 1, &self->state.monitor, &test_err));
    const tp_engine_options options = {0};
    ASSERT_OK(tp_engine_new(&self->env, &options, &self->state.engine, &test_err));
    const tp_model_spec spec = {.path = serve_case_bundle(kind, 1)};
    ASSERT_OK(tp_engine_install(self->state.engine, &spec, 1, NULL, &test_err));
    const tp_principal_spec everybody = {.id = TP_STR("anonymous"), .grants = TP_STR("admin")};
    ASSERT_OK(tp_principal_new(self->env.alloc, &everybody, &self->state.anonymous, &test_err));
    tp_serve_exchange_init(&self->exchange, &self->state);
    self->shared = (tp_http_shared){.alloc = self->env.alloc,
                                    .max_body_bytes = self->state.max_body_bytes,
                                    .id_seed = 1,
                                    .handle = on_request,
                                    .user = self};
    tp_http_connection_init(&self->connection, &self->shared);
    tp_buffer_init(&self->reply, self->env.alloc, 64 << 20);
    tp_buffer_init(&self->headers, self->env.alloc, 1 << 20);
}

void serve_case_deinit(serve_case *self)
{
    tp_http_connection_deinit(&self->connection);
    tp_serve_exchange_deinit(&self->exchange);
    tp_principal_unref(self->state.anonymous);
    tp_engine_free(self->state.engine);
    tp_monitor_free(self->state.monitor);
    tp_buffer_deinit(&self->reply);
    tp_buffer_deinit(&self->headers);
    ASSERT_EQ_UINT(self->allocator.live, 0);
}

int serve_case_ask(serve_case *self, const serve_ask *ask)
{
    const size_t size = ask->body_size > 0  ? ask->body_size
                        : ask->body != NULL ? strlen(ask->body)
                                            : 0;
    char head[1024];
    const int head_size =
        snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nhost: a\r\n%scontent-length: %zu\r\n\r\n",
                 ask->method == NULL ? "POST" : ask->method, ask->path,
                 ask->headers == NULL ? "" : ask->headers, size);
    ASSERT(head_size > 0 && (size_t)head_size < sizeof(head));
    self->status = 0;
    tp_http_connection_feed(&self->connection, head, (size_t)head_size);
    if (size > 0) {
        tp_http_connection_feed(&self->connection, ask->body, size);
    }
    tp_buffer_clear(&self->connection.out);
    ASSERT_EQ_INT(self->connection.state, TP_HTTP_IDLE);
    return self->status;
}

int serve_case_post(serve_case *self, const char *path, const char *body)
{
    return serve_case_ask(self, &(serve_ask){.path = path, .body = body});
}

const char *serve_case_expect(serve_case *self, int status, const char *path, const char *body)
{
    const int got = serve_case_post(self, path, body);
    if (got != status) {
        test_fail(__FILE__, __LINE__, "%s %.200s: status %d, want %d: %.300s", path, body, got,
                  status, self->reply.data);
    }
    return self->reply.data;
}

bool serve_case_has(const serve_case *self, const char *part)
{
    return strstr(self->reply.data, part) != NULL;
}
