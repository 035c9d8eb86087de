// SPDX-License-Identifier: Apache-2.0
//
// A registry of 100,000 versions: how long an alias takes to lead to its version. The limit of 1 ms
// is SQLite's; over a connection the figure is printed.
#include "base/tp_clock.h"
#include "registry/tp_entry.h"
#include "registry_cases.h"
#include "test.h"

#include <stdlib.h>

enum { MODELS = 1000, VERSIONS = 100, LOOKUPS = 2000 };

static void fill(tp_registry *registry, const char *bundle)
{
    ASSERT_EQ_UINT(cases_register(registry, "m0", bundle), 1);
    cases_run(registry, "INSERT INTO models(name, created_us, updated_us, last_version) "
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                        "WHERE i < 999) SELECT 'm' || i, 1, 1, 100 FROM n");
    cases_run(registry,
              "INSERT INTO versions(model_id, version, sha256, size, created_us, updated_us, "
              "refused, reason, gates, timings, facts) "
              "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 101) "
              "SELECT m.id, n.i, v.sha256, v.size, 1, 1, 0, '', '[]', '{}', '{}' "
              "FROM models m, n, versions v");
    cases_run(registry, "INSERT INTO aliases(model_id, alias, version) "
                        "SELECT id, 'live', 50 FROM models");
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_alias_lookup(void)
{
    static uint64_t took_ns[LOOKUPS];
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    fill(registry, cases_file(home, "b", "x"));
    ASSERT(cases_number(registry, "SELECT count(*) FROM versions") > MODELS * VERSIONS);
    for (int i = 0; i < LOOKUPS; i++) {
        char model[32];
        tapeout_model_ref ref;
        const int size = snprintf(model, sizeof(model), "m%d@live", i * 7 % MODELS);
        const uint64_t start_ns = tp_clock_monotonic_ns();
        ASSERT_OK(tp_registry_resolve(registry, (tp_str){model, (size_t)size}, &ref, &test_err));
        took_ns[i] = tp_clock_monotonic_ns() - start_ns;
        ASSERT_EQ_UINT(ref.version, 50);
    }
    qsort(took_ns, LOOKUPS, sizeof(took_ns[0]), by_size);
    (void)printf("# 100,001 versions, alias to path: median %.3f ms, 99 %% %.3f ms\n",
                 (double)took_ns[LOOKUPS / 2] / 1e6, (double)took_ns[LOOKUPS * 99 / 100] / 1e6);
    ASSERT(cases_is_postgres() || took_ns[LOOKUPS / 2] < 1000000);
    tp_registry_close(&registry);
}

TEST_MAIN(TEST_SLOW(test_alias_lookup, 500))
