// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of ours fails in turn while a version is registered, found, listed and removed.
// (SQLite takes its memory from the C library and has such tests of its own.)
#include "base/tp_alloc.h"
#include "registry_cases.h"
#include "test.h"

#include <unistd.h>

typedef struct places {
    char home[4200];
    char bundle[4200];
    int round;
} places;

static tapeout_status use_registry(tp_registry *registry, const places *where,
                                   const tapeout_allocator *alloc, tapeout_error *err)
{
    const tapeout_registration what = cases_registration("m", where->bundle);
    tapeout_model_ref ref;
    tapeout_status status = tp_registry_register(registry, &what, &ref, err);
    if (status == TAPEOUT_OK) {
        status = tp_registry_resolve(registry, TP_STR("m"), &ref, err);
    }
    tp_buffer json;
    tp_buffer_init(&json, alloc, 65536);
    if (status == TAPEOUT_OK) {
        status = tp_registry_list(registry, &json, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&json, "list", err);
    }
    tp_buffer_deinit(&json);
    if (status == TAPEOUT_OK) {
        // Looks for the nearest name, which takes memory too.
        tapeout_model_ref none;
        status = tp_registry_resolve(registry, TP_STR("mm"), &none, err);
        status = status == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : status;
    }
    if (status == TAPEOUT_OK) {
        char model[32];
        const int size = snprintf(model, sizeof(model), "m:%llu", (unsigned long long)ref.version);
        status = tp_registry_remove(registry, (tp_str){model, (size_t)size}, err);
    }
    return status;
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    places *where = user;
    char home[4300];
    (void)snprintf(home, sizeof(home), "%s/%d", where->home, where->round++);
    tp_registry *registry = NULL;
    tapeout_status status = tp_registry_open(alloc, home, TP_REGISTRY_WRITE, &registry, err);
    ASSERT_EQ_INT(status == TAPEOUT_OK, registry != NULL);
    if (status == TAPEOUT_OK) {
        status = use_registry(registry, where, alloc, err);
        tp_registry_close(&registry);
    }
    return status;
}

static void test_all(void)
{
    places where = {.round = 0};
    (void)snprintf(where.home, sizeof(where.home), "%s", test_temp_dir());
    (void)snprintf(where.bundle, sizeof(where.bundle), "%s",
                   cases_file(where.home, "bundle", "bytes"));
    test_out_of_memory(scenario, &where);
}

TEST_MAIN(TEST_SLOW(test_all, 120))
