// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the registry's tests; see registry_cases.h.
#include "registry_cases.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

const char *cases_file(const char *directory, const char *name, const char *text)
{
    static char paths[8][4200];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT_EQ_UINT(fwrite(text, 1, strlen(text), file), strlen(text));
    ASSERT_EQ_INT(fclose(file), 0);
    return path;
}

bool cases_is_postgres(void)
{
    return getenv("TAPEOUT_TEST_STORE") != NULL;
}

tapeout_status cases_try_open(const char *home, tp_registry_mode mode, tp_registry **ret_registry,
                              tapeout_error *err)
{
    char world[32];
    (void)snprintf(world, sizeof(world), "%016llx",
                   (unsigned long long)tp_str_hash(tp_str_from(home)));
    const char *blobs = getenv("TAPEOUT_TEST_BLOBS");
    const tp_registry_options options = {.home = home,
                                         .store = getenv("TAPEOUT_TEST_STORE"),
                                         .blobs = blobs,
                                         .world =
                                             cases_is_postgres() || blobs != NULL ? world : NULL,
                                         .mode = mode};
    return tp_registry_open_with(tp_allocator_default(), &options, ret_registry, err);
}

tp_registry *cases_open_as(const char *home, tp_registry_mode mode)
{
    tp_registry *registry = NULL;
    ASSERT_OK(cases_try_open(home, mode, &registry, &test_err));
    return registry;
}

tp_registry *cases_open(const char *home)
{
    return cases_open_as(home, TP_REGISTRY_WRITE);
}

tapeout_registration cases_registration(const char *name, const char *bundle)
{
    tapeout_registration what;
    tapeout_registration_init(&what);
    what.name = name;
    what.bundle = bundle;
    return what;
}

uint64_t cases_register(tp_registry *registry, const char *name, const char *bundle)
{
    const tapeout_registration what = cases_registration(name, bundle);
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    return ref.version;
}

void cases_assert_content(const char *path, const char *text)
{
    char content[4096];
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL);
    const size_t size = fread(content, 1, sizeof(content), file);
    ASSERT_EQ_INT(fclose(file), 0);
    ASSERT_EQ_BYTES(content, size, text, strlen(text));
}

const char *cases_list(tp_registry *registry)
{
    static char text[65536];
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), sizeof(text) - 1);
    ASSERT_OK(tp_registry_list(registry, &json, &test_err));
    ASSERT_OK(tp_buffer_check(&json, "list", &test_err));
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    tp_buffer_deinit(&json);
    return text;
}

int64_t cases_number(tp_registry *registry, const char *sql)
{
    tp_rows rows;
    tp_store_query(tp_registry_store(registry), &rows, sql, TP_SQL_NONE);
    ASSERT(tp_rows_next(&rows));
    const int64_t number = tp_rows_int(&rows, 0);
    ASSERT_OK(tp_rows_close(&rows, &test_err));
    return number;
}

void cases_run(tp_registry *registry, const char *sql)
{
    ASSERT_OK(tp_store_run(tp_registry_store(registry), sql, TP_SQL_NONE, NULL, &test_err));
}
