// SPDX-License-Identifier: Apache-2.0
//
// What trust costs. Over HTTP: one raw record at a time on a connection a turn, by turns to a
// server that knows nobody, to one with a key, its limits and the audit log, and to one that writes
// receipts as well; a median each, and the median of what they cost beside the turn of the first
// that lies next to theirs, since neither the machine nor the threads' places are the same all the
// time. Further: an alias among 100,000 versions, and the audit log read and checked, by wall time
// with as many threads as the machine has.
//
//   trust http FOLDER      {"plain_us", "trust_us", "receipts_us", "trust_x", "receipts_x"}
//   trust alias FOLDER     {"alias_ms", "alias_99_ms"}
//   trust audit FOLDER     {"records_per_s", "records_per_cpu_s"}
#include "bench.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "bench_http.h"
#include "registry/tp_registry.h"
#include "registry/tp_store.h"
#include "trust/tp_audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapeout/access.h>
#include <tapeout/audit.h>
#include <unistd.h>

enum {
    TURNS = 150,
    TURN_REQUESTS = 150,
    TURN_SKIPPED = 50, // of a turn, while caches warm
    ALIAS_LOOKUPS = 5000,
    AUDIT_BATCHES = 120
};

static _Noreturn void fail(const char *what, const tapeout_error *err)
{
    (void)fprintf(stderr, "bench trust: %s: %s\n", what, err->message);
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double at)
{
    qsort(values, count, sizeof(*values), by_size);
    return values[(size_t)((double)count * at)];
}

// -- over HTTP -----------------------------------------------------------------------------------
typedef struct subject {
    tapeout_context *context;
    bench_server server;
    bench_client client;
    char request[2048];
    size_t size;
    double turn_us[TURNS]; // medians
} subject;

static void write_request(subject *self, const char *key)
{
    self->size = (size_t)snprintf(
        self->request, sizeof(self->request),
        "POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "%s%s%sContent-Length: %zu\r\n\r\n%s",
        key == NULL ? "" : "Authorization: Bearer ", key == NULL ? "" : key,
        key == NULL ? "" : "\r\n", strlen(tp_bench_record), tp_bench_record);
}

// A key with limits that are counted and never reached.
static void make_key(tapeout_context *context, char ret_key[64])
{
    tapeout_access_spec spec;
    tapeout_error err = {0};
    char *json = NULL;
    tapeout_access_spec_init(&spec);
    spec.kind = TAPEOUT_ACCESS_KEY;
    spec.name = "bench";
    spec.roles = "scorer";
    spec.limits = "requests=100000000/60,rows=1000000000/60";
    if (tapeout_access_new(context, &spec, &json, &err) != TAPEOUT_OK) {
        fail("key", &err);
    }
    const char *begin = strstr(json, "tpk_");
    (void)snprintf(ret_key, 64, "%.*s", (int)strcspn(begin, "\""), begin);
    tapeout_text_free(context, json);
}

static void start(subject *self, const char *folder, const char *name)
{
    char key[64];
    tapeout_serve_options options;
    const bool is_plain = strcmp(name, "plain") == 0;
    self->context = tp_bench_context(folder, name);
    tapeout_serve_options_init(&options);
    options.no_auth = is_plain;
    options.no_audit = is_plain;
    options.receipts = strcmp(name, "receipts") == 0;
    if (!is_plain) {
        make_key(self->context, key);
    }
    write_request(self, is_plain ? NULL : key);
    tp_bench_serve(self->context, folder, &options, &self->server);
}

static void end(subject *self)
{
    tp_bench_serve_end(&self->server);
    tapeout_context_free(self->context);
}

static double take_turn(subject *self)
{
    double took_us[TURN_REQUESTS - TURN_SKIPPED];
    bool is_ok = false;
    self->client.fd = tp_bench_connect(self->server.port); // to whichever of the server's threads
    for (int i = 0; i < TURN_REQUESTS; i++) {
        const uint64_t begin_ns = tp_clock_monotonic_ns();
        tp_bench_send(&self->client, self->request, self->size);
        while (!tp_bench_take(&self->client, true, &is_ok)) {
        }
        if (i >= TURN_SKIPPED) {
            took_us[i - TURN_SKIPPED] = (double)(tp_clock_monotonic_ns() - begin_ns) * 1e-3;
        }
    }
    (void)close(self->client.fd);
    return quantile(took_us, TURN_REQUESTS - TURN_SKIPPED, 0.5);
}

// The median over the turns of what `self` took beside `plain`.
static double cost(const subject *self, const subject *plain)
{
    double ratios[TURNS];
    for (int turn = 0; turn < TURNS; turn++) {
        ratios[turn] = self->turn_us[turn] / plain->turn_us[turn];
    }
    return quantile(ratios, TURNS, 0.5);
}

static int http(const char *folder)
{
    static subject subjects[3];
    static const char *const names[3] = {"plain", "trust", "receipts"};
    double medians[3];
    tapeout_context *home = tp_bench_context(folder, "home");
    tapeout_text_free(home, tp_bench_train(home, folder));
    tapeout_context_free(home);
    for (int i = 0; i < 3; i++) {
        start(&subjects[i], folder, names[i]);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < 3; i++) {
            subject *next = &subjects[(turn + i) % 3];
            next->turn_us[turn] = take_turn(next);
        }
    }
    const double trust_x = cost(&subjects[1], &subjects[0]);
    const double receipts_x = cost(&subjects[2], &subjects[0]);
    for (int i = 0; i < 3; i++) {
        medians[i] = quantile(subjects[i].turn_us, TURNS, 0.5);
    }
    (void)printf("{\"plain_us\": %.2f, \"trust_us\": %.2f, \"receipts_us\": %.2f, "
                 "\"trust_x\": %.4f, \"receipts_x\": %.4f}\n",
                 medians[0], medians[1], medians[2], trust_x, receipts_x);
    for (int i = 0; i < 3; i++) {
        end(&subjects[i]);
    }
    return 0;
}

// -- an alias ------------------------------------------------------------------------------------
static void run_sql(tp_registry *registry, const char *sql)
{
    tapeout_error err = {0};
    if (tp_store_run(tp_registry_store(registry), sql, TP_SQL_NONE, NULL, &err) != TAPEOUT_OK) {
        fail("registry", &err);
    }
}

// 1,000 models of 100 versions, all of one small file.
static tp_registry *fill_registry(const char *home, const char *bundle)
{
    tapeout_error err = {0};
    tapeout_registration what;
    tapeout_model_ref ref;
    tp_registry *registry = NULL;
    tapeout_registration_init(&what);
    what.name = "m0";
    what.bundle = bundle;
    if (tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry, &err) !=
            TAPEOUT_OK ||
        tp_registry_register(registry, &what, &ref, &err) != TAPEOUT_OK) {
        fail("registry", &err);
    }
    run_sql(registry, "INSERT INTO models(name, created_us, updated_us, last_version) "
                      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                      "WHERE i < 999) SELECT 'm' || i, 1, 1, 100 FROM n");
    run_sql(registry, "INSERT INTO versions(model_id, version, sha256, size, created_us, "
                      "updated_us, refused, reason, gates, timings, facts) "
                      "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n "
                      "WHERE i < 101) SELECT m.id, n.i, v.sha256, v.size, 1, 1, 0, '', '[]', "
                      "'{}', '{}' FROM models m, n, versions v");
    run_sql(registry, "INSERT INTO aliases(model_id, alias, version) "
                      "SELECT id, 'live', 50 FROM models");
    return registry;
}

static int alias(const char *folder)
{
    static double took_ms[ALIAS_LOOKUPS];
    char home[4096];
    char bundle[4096];
    tapeout_error err = {0};
    (void)snprintf(home, sizeof(home), "%s/registry", folder);
    (void)snprintf(bundle, sizeof(bundle), "%s/small", folder);
    FILE *file = fopen(bundle, "w");
    if (file == NULL || fputs("small", file) < 0 || fclose(file) != 0) {
        return 1;
    }
    tp_registry *registry = fill_registry(home, bundle);
    for (int i = 0; i < ALIAS_LOOKUPS; i++) {
        char model[32];
        tapeout_model_ref ref;
        const int size = snprintf(model, sizeof(model), "m%d@live", i * 7 % 1000);
        const uint64_t begin_ns = tp_clock_monotonic_ns();
        if (tp_registry_resolve(registry, (tp_str){model, (size_t)size}, &ref, &err) !=
            TAPEOUT_OK) {
            fail("alias", &err);
        }
        took_ms[i] = (double)(tp_clock_monotonic_ns() - begin_ns) * 1e-6;
    }
    tp_registry_close(&registry);
    (void)printf("{\"alias_ms\": %.4f, \"alias_99_ms\": %.4f}\n",
                 quantile(took_ms, ALIAS_LOOKUPS, 0.5), quantile(took_ms, ALIAS_LOOKUPS, 0.99));
    return 0;
}

// -- the log -------------------------------------------------------------------------------------
// Entries as a registered model's are, in batches as large as there may be.
static void fill_log(const char *home)
{
    static const char what[] =
        "{\"model\":\"flight-delay\",\"version\":\"17\",\"bundle\":"
        "\"47bd920e54d28fcf47bd920e54d28fcf47bd920e54d28fcf47bd920e54d28fcf\",\"refused\":\"no\"}";
    static tp_audit_event events[TP_MAX_AUDIT_BATCH_ENTRIES];
    tapeout_error err = {0};
    tp_audit *audit = NULL;
    for (size_t i = 0; i < TP_MAX_AUDIT_BATCH_ENTRIES; i++) {
        events[i] = (tp_audit_event){.kind = "model.registered",
                                     .who = TP_STR("key:ab12cd34"),
                                     .what = {what, sizeof(what) - 1}};
    }
    if (tp_audit_open(tp_allocator_default(), home, &audit, &err) != TAPEOUT_OK) {
        fail("audit", &err);
    }
    for (int i = 0; i < AUDIT_BATCHES; i++) {
        if (tp_audit_append_many(audit, events, TP_MAX_AUDIT_BATCH_ENTRIES, NULL, &err) !=
            TAPEOUT_OK) {
            fail("audit", &err);
        }
    }
    tp_audit_close(&audit);
}

static int audit(const char *folder)
{
    char home[4096];
    char *json = NULL;
    tapeout_error err = {0};
    tapeout_audit_verify_options options;
    tapeout_context *context = tp_bench_context(folder, "log");
    (void)snprintf(home, sizeof(home), "%s/log", folder);
    fill_log(home);
    tapeout_audit_verify_options_init(&options);
    const double begin_cpu_s = tp_bench_cpu_seconds();
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    if (tapeout_audit_verify(context, &options, &json, &err) != TAPEOUT_OK) {
        fail("audit", &err);
    }
    const double wall_s = (double)(tp_clock_monotonic_ns() - begin_ns) * 1e-9;
    const double cpu_s = tp_bench_cpu_seconds() - begin_cpu_s;
    const double count = (double)AUDIT_BATCHES * TP_MAX_AUDIT_BATCH_ENTRIES;
    tapeout_text_free(context, json);
    tapeout_context_free(context);
    (void)printf("{\"records_per_s\": %.0f, \"records_per_cpu_s\": %.0f}\n", count / wall_s,
                 count / cpu_s);
    return 0;
}

int tp_bench_trust(int argc, char **argv)
{
    if (argc < 3) {
        (void)fputs("usage: trust http|alias|audit FOLDER\n", stderr);
        return 2;
    }
    return strcmp(argv[1], "http") == 0    ? http(argv[2])
           : strcmp(argv[1], "alias") == 0 ? alias(argv[2])
                                           : audit(argv[2]);
}
