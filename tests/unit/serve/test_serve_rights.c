// SPDX-License-Identifier: Apache-2.0
//
// The matrix of authorisation (T22): every route × method × role × tenant, asked for real. What is
// expected stands in two tables that are written here by hand: the right of each route, and the
// roles that have it. A route that is in the program and not here, or here and not there, fails.
#include "access_cases.h"

#include <string.h>

// Method, pattern, right. Keep it in the order of src/serve/routes.c.
static const struct {
    const char *method;
    const char *pattern;
    const char *right;
} declared[] = {
    {"GET", "/", "probe"},
    {"GET", "/livez", "probe"},
    {"GET", "/readyz", "probe"},
    {"GET", "/health", "probe"},
    {"GET", "/v1/health", "probe"},
    {"GET", "/ping", "probe"},
    {"GET", "/version", "probe"},
    {"GET", "/metrics", "watch"},
    {"GET", "/openapi.json", "read"},
    {"POST", "/score", "score"},
    {"POST", "/invocations", "score"},
    {"GET", "/api/3.0/mlflow/server-info", "probe"},
    {"GET", "/v1/models", "read"},
    {"GET", "/v1/models/{model}", "read"},
    {"POST", "/v1/models/{model}:predict", "score"},
    {"GET", "/v2", "read"},
    {"GET", "/v2/health/live", "probe"},
    {"GET", "/v2/health/ready", "probe"},
    {"GET", "/v2/models", "read"},
    {"GET", "/v2/models/stats", "read"},
    {"GET", "/v2/models/{model}", "read"},
    {"GET", "/v2/models/{model}/versions/{version}", "read"},
    {"GET", "/v2/models/{model}/ready", "read"},
    {"GET", "/v2/models/{model}/versions/{version}/ready", "read"},
    {"GET", "/v2/models/{model}/config", "read"},
    {"GET", "/v2/models/{model}/versions/{version}/config", "read"},
    {"GET", "/v2/models/{model}/stats", "read"},
    {"GET", "/v2/models/{model}/versions/{version}/stats", "read"},
    {"POST", "/v2/models/{model}/infer", "score"},
    {"POST", "/v2/models/{model}/versions/{version}/infer", "score"},
    {"POST", "/v2/repository/index", "read"},
    {"POST", "/tokenize", "score"},
    {"POST", "/detokenize", "score"},
    {"GET", "/api/version", "probe"},
    {"GET", "/api/tags", "read"},
    {"GET", "/api/ps", "read"},
    {"POST", "/api/show", "read"},
    {"POST", "/api/pull", "admin"},
    {"POST", "/api/push", "admin"},
    {"POST", "/api/create", "admin"},
    {"POST", "/api/copy", "admin"},
    {"DELETE", "/api/delete", "admin"},
    {"POST", "/api/blobs/{digest}", "admin"},
    {"POST", "/v1/embeddings", "score"},
    {"POST", "/v2/repository/models/{model}/load", "admin"},
    {"POST", "/v2/repository/models/{model}/unload", "admin"},
    {"POST", "/api/embed", "score"},
    {"POST", "/api/embeddings", "score"},
    {"POST", "/v1/chat/completions", "score"},
    {"POST", "/v1/completions", "score"},
    {"POST", "/v1/responses", "score"},
    {"POST", "/api/chat", "score"},
    {"POST", "/api/generate", "score"},
    {"POST", "/api/2.0/mlflow/experiments/create", "publish"},
    {"GET", "/api/2.0/mlflow/experiments/get", "read"},
    {"GET", "/api/2.0/mlflow/experiments/get-by-name", "read"},
    {"POST", "/api/2.0/mlflow/experiments/search", "read"},
    {"GET", "/api/2.0/mlflow/experiments/search", "read"},
    {"POST", "/api/2.0/mlflow/experiments/update", "publish"},
    {"POST", "/api/2.0/mlflow/experiments/delete", "publish"},
    {"POST", "/api/2.0/mlflow/experiments/restore", "publish"},
    {"POST", "/api/2.0/mlflow/experiments/set-experiment-tag", "publish"},
    {"POST", "/api/2.0/mlflow/experiments/delete-experiment-tag", "publish"},
    {"POST", "/api/2.0/mlflow/runs/create", "publish"},
    {"GET", "/api/2.0/mlflow/runs/get", "read"},
    {"POST", "/api/2.0/mlflow/runs/update", "publish"},
    {"POST", "/api/2.0/mlflow/runs/delete", "publish"},
    {"POST", "/api/2.0/mlflow/runs/restore", "publish"},
    {"POST", "/api/2.0/mlflow/runs/log-metric", "publish"},
    {"POST", "/api/2.0/mlflow/runs/log-parameter", "publish"},
    {"POST", "/api/2.0/mlflow/runs/log-batch", "publish"},
    {"POST", "/api/2.0/mlflow/runs/log-model", "publish"},
    {"POST", "/api/2.0/mlflow/runs/log-inputs", "publish"},
    {"POST", "/api/2.0/mlflow/runs/outputs", "publish"},
    {"POST", "/api/2.0/mlflow/runs/set-tag", "publish"},
    {"POST", "/api/2.0/mlflow/runs/delete-tag", "publish"},
    {"POST", "/api/2.0/mlflow/runs/search", "read"},
    {"GET", "/api/2.0/mlflow/metrics/get-history", "read"},
    {"GET", "/api/2.0/mlflow/metrics/get-history-bulk-interval", "read"},
    {"GET", "/api/2.0/mlflow/artifacts/list", "read"},
    {"POST", "/api/2.0/mlflow/logged-models", "publish"},
    {"POST", "/api/2.0/mlflow/logged-models/search", "read"},
    {"GET", "/api/2.0/mlflow/logged-models/{model_id}", "read"},
    {"PATCH", "/api/2.0/mlflow/logged-models/{model_id}", "publish"},
    {"DELETE", "/api/2.0/mlflow/logged-models/{model_id}", "publish"},
    {"PATCH", "/api/2.0/mlflow/logged-models/{model_id}/tags", "publish"},
    {"DELETE", "/api/2.0/mlflow/logged-models/{model_id}/tags/{key}", "publish"},
    {"POST", "/api/2.0/mlflow/logged-models/{model_id}/params", "publish"},
    {"GET", "/api/2.0/mlflow/logged-models/{model_id}/artifacts/directories", "read"},
    {"GET", "/api/2.0/mlflow-artifacts/artifacts", "read"},
    {"GET", "/api/2.0/mlflow-artifacts/artifacts/{path...}", "read"},
    {"DELETE", "/api/2.0/mlflow-artifacts/artifacts/{path...}", "publish"},
    {"POST", "/api/2.0/mlflow-artifacts/mpu/{path...}", "publish"},
    {"GET", "/api/2.0/mlflow-artifacts/presigned/{path...}", "read"},
    {"PUT", "/api/2.0/mlflow-artifacts/artifacts/{path...}", "publish"},
    {"POST", "/api/2.0/mlflow/registered-models/create", "publish"},
    {"GET", "/api/2.0/mlflow/registered-models/get", "read"},
    {"PATCH", "/api/2.0/mlflow/registered-models/update", "publish"},
    {"POST", "/api/2.0/mlflow/registered-models/rename", "publish"},
    {"DELETE", "/api/2.0/mlflow/registered-models/delete", "publish"},
    {"GET", "/api/2.0/mlflow/registered-models/search", "read"},
    {"POST", "/api/2.0/mlflow/registered-models/get-latest-versions", "read"},
    {"GET", "/api/2.0/mlflow/registered-models/get-latest-versions", "read"},
    {"POST", "/api/2.0/mlflow/registered-models/set-tag", "publish"},
    {"DELETE", "/api/2.0/mlflow/registered-models/delete-tag", "publish"},
    {"POST", "/api/2.0/mlflow/registered-models/alias", "publish"},
    {"GET", "/api/2.0/mlflow/registered-models/alias", "read"},
    {"DELETE", "/api/2.0/mlflow/registered-models/alias", "publish"},
    {"POST", "/api/2.0/mlflow/model-versions/create", "publish"},
    {"GET", "/api/2.0/mlflow/model-versions/get", "read"},
    {"PATCH", "/api/2.0/mlflow/model-versions/update", "publish"},
    {"DELETE", "/api/2.0/mlflow/model-versions/delete", "publish"},
    {"POST", "/api/2.0/mlflow/model-versions/transition-stage", "publish"},
    {"GET", "/api/2.0/mlflow/model-versions/search", "read"},
    {"GET", "/api/2.0/mlflow/model-versions/get-download-uri", "read"},
    {"POST", "/api/2.0/mlflow/model-versions/set-tag", "publish"},
    {"DELETE", "/api/2.0/mlflow/model-versions/delete-tag", "publish"},
    {"GET", "/get-artifact", "read"},
    {"GET", "/model-versions/get-artifact", "read"},
    {"POST", "/registry/models/{model}/aliases/{alias}/promote", "approve"},
    {"POST", "/registry/models/{model}/aliases/{alias}/rollback", "rollback"},
};
enum { DECLARED = sizeof(declared) / sizeof(declared[0]) };

// Which roles have a right; "watch" in the operator's tenant alone.
static const struct {
    const char *right;
    const char *roles;
} holders[] = {
    {"probe", "nobody viewer scorer publisher approver admin"},
    {"read", "viewer scorer publisher approver admin"},
    {"score", "scorer publisher admin"},
    {"publish", "publisher admin"},
    {"approve", "approver admin"},
    {"rollback", "approver admin"},
    {"admin", "admin"},
    {"watch", "viewer admin"},
};

static bool holds(const char *role, const char *right)
{
    for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
        if (strcmp(holders[i].right, right) == 0) {
            return strstr(holders[i].roles, role) != NULL;
        }
    }
    test_fail(__FILE__, __LINE__, "no line for the right \"%s\"", right);
}

static void test_tables_agree(void)
{
    for (uint32_t i = 0; i < tp_serve_route_count; i++) {
        const serve_route *route = &tp_serve_routes[i];
        size_t found = 0;
        while (found < DECLARED &&
               (strcmp(declared[found].pattern, route->pattern) != 0 ||
                strcmp(declared[found].method, tp_http_method_name(route->method)) != 0)) {
            found++;
        }
        if (found == DECLARED) {
            test_fail(__FILE__, __LINE__, "%s %s is not declared here: who may ask it?",
                      tp_http_method_name(route->method), route->pattern);
        }
        ASSERT_EQ_STR(tp_right_name(route->right), declared[found].right);
    }
    ASSERT_EQ_UINT(tp_serve_route_count, DECLARED);
}

// The pattern with a model's name and something for all else.
static void fill_path(char *path, size_t size, const char *pattern, const char *model)
{
    size_t at = 0;
    for (const char *c = pattern; *c != '\0'; c++) {
        const char *value = NULL;
        if (strncmp(c, "{model}", 7) == 0) {
            value = model;
        } else if (*c == '{') {
            value = "1";
        }
        if (value == NULL) {
            path[at++] = *c;
        } else {
            at += (size_t)snprintf(path + at, size - at, "%s", value);
            c = strchr(c, '}');
        }
        ASSERT(at + 1 < size);
    }
    path[at] = '\0';
}

static void expect(bool is_right, size_t route, const char *who, const char *model, int status)
{
    if (!is_right) {
        test_fail(__FILE__, __LINE__, "%s %s as %s for %s: status %d", declared[route].method,
                  declared[route].pattern, who, model, status);
    }
}

static void check_caller(access_case *self, const char *role, const char *tenant, const char *key)
{
    static const char *const models[] = {"toy", "theirs", "none"};
    const bool is_operator = tenant == NULL;
    for (size_t i = 0; i < DECLARED; i++) {
        // What is registered lies in each tenant's own registry, of which there is none here.
        const bool has_model = strstr(declared[i].pattern, "{model}") != NULL &&
                               strncmp(declared[i].pattern, "/registry/", 10) != 0;
        const bool is_watch = strcmp(declared[i].right, "watch") == 0;
        const bool may = holds(role, declared[i].right) && (!is_watch || is_operator);
        for (size_t m = 0; m < (has_model ? 3 : 1); m++) {
            char path[256];
            fill_path(path, sizeof(path), declared[i].pattern, models[m]);
            const int status = access_case_ask(self, declared[i].method, path, key);
            const bool is_own = strcmp(models[m], is_operator ? "toy" : "theirs") == 0;
            if (key == NULL) {
                expect(may ? status != 401 && status != 403 : status == 401, i, role, models[m],
                       status);
            } else if (!may) {
                expect(status == 403, i, role, models[m], status);
            } else if (has_model && !is_own) {
                expect(status == 404, i, role, models[m], status); // as if it were not there
            } else {
                expect(status != 401 && status != 403 && status != 429, i, role, models[m], status);
            }
        }
    }
}

static void test_matrix(void)
{
    static const char *const roles[] = {"viewer", "scorer", "publisher", "approver", "admin"};
    static const char *const tenants[] = {NULL, "acme"};
    access_case self;
    access_case_init(&self);
    const char *keys[5][2];
    for (size_t r = 0; r < 5; r++) {
        for (size_t t = 0; t < 2; t++) {
            keys[r][t] =
                access_case_key(&self, &(access_key){.tenant = tenants[t], .roles = roles[r]});
        }
    }
    access_case_install(&self);
    check_caller(&self, "nobody", NULL, NULL);
    for (size_t r = 0; r < 5; r++) {
        for (size_t t = 0; t < 2; t++) {
            check_caller(&self, roles[r], tenants[t], keys[r][t]);
        }
    }
    access_case_deinit(&self);
}

// A grant by name: its own model and no other, of which nothing is learned, not even whether it is
// there.
static void test_grants_by_name(void)
{
    access_case self;
    access_case_init(&self);
    const char *own = access_case_key(&self, &(access_key){.roles = "scorer:toy"});
    const char *other = access_case_key(&self, &(access_key){.roles = "scorer:other"});
    const char *mixed = access_case_key(&self, &(access_key){.roles = "viewer,scorer:other"});
    access_case_install(&self);
    char absent[512];
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models/toy", own), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/score", own), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models/tox", other), 404);
    (void)snprintf(absent, sizeof(absent), "%s", self.serve.reply.data);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models/toy", other), 404);
    *strstr(absent, "tox") = 't';
    memcpy(strstr(absent, "to"), "toy", 3);
    ASSERT_EQ_STR(self.serve.reply.data, absent);
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v1/models/toy:predict", other), 404);
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v1/models/tox:predict", other), 404);
    // Who may read it may know that it may not ask it.
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v1/models/toy:predict", mixed), 403);
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v1/models/tox:predict", mixed), 404);
    // Lists show what may be known.
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", other), 200);
    ASSERT_EQ_STR(self.serve.reply.data, "{\"models\":[]}");
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", own), 200);
    ASSERT_EQ_STR(self.serve.reply.data, "{\"models\":[\"toy\"]}");
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models/stats", other), 200);
    ASSERT_EQ_STR(self.serve.reply.data, "{\"model_stats\":[]}");
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v2/repository/index", other), 200);
    ASSERT_EQ_STR(self.serve.reply.data, "[]");
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/score", other), 400); // none of its own
    access_case_deinit(&self);
}

// Tenants see their own, by every list.
static void test_tenants(void)
{
    access_case self;
    access_case_init(&self);
    const char *ours = access_case_key(&self, &(access_key){.roles = "admin"});
    const char *acme = access_case_key(&self, &(access_key){.tenant = "acme", .roles = "admin"});
    const char *empty = access_case_key(&self, &(access_key){.tenant = "x", .roles = "admin"});
    access_case_install(&self);
    static const char *const lists[] = {"/v1/models", "/v2/models", "/v2/models/stats"};
    for (size_t i = 0; i < 3; i++) {
        ASSERT_EQ_INT(access_case_ask(&self, "GET", lists[i], ours), 200);
        ASSERT(serve_case_has(&self.serve, "toy") && !serve_case_has(&self.serve, "theirs"));
        ASSERT_EQ_INT(access_case_ask(&self, "GET", lists[i], acme), 200);
        ASSERT(!serve_case_has(&self.serve, "toy") && serve_case_has(&self.serve, "theirs"));
        ASSERT_EQ_INT(access_case_ask(&self, "GET", lists[i], empty), 200);
        ASSERT(!serve_case_has(&self.serve, "toy") && !serve_case_has(&self.serve, "theirs"));
    }
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/score", acme), 200);
    ASSERT(access_case_has_header(&self, "x-tapeout-model: theirs;"));
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/score", ours), 200);
    ASSERT(access_case_has_header(&self, "x-tapeout-model: toy;"));
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/metrics", acme), 403);
    access_case_deinit(&self);
}

TEST_MAIN(TEST(test_tables_agree), TEST_SLOW(test_matrix, 120), TEST(test_grants_by_name),
          TEST(test_tenants))
