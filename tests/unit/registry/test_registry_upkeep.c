// SPDX-License-Identifier: Apache-2.0
//
// Collecting what nobody names, backup and restore, and the public calls for aliases and tags.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "registry/tp_entry.h"
#include "registry_cases.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *collect(tp_registry *registry, uint64_t grace_s)
{
    static char text[512];
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), sizeof(text) - 1);
    ASSERT_OK(tp_registry_collect(registry, grace_s, &json, &test_err));
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    tp_buffer_deinit(&json);
    return text;
}

// A blob that a crash left behind: put and never named.
static void put_orphan(tp_registry *registry, const char *text)
{
    bool is_new = false;
    const tp_str data = tp_str_from(text);
    const blob_source source = {.data = data, .hash = tp_sha256_of(data.data, data.size)};
    ASSERT_OK(tp_store_begin(registry->store, TP_STORE_ALONE, &test_err));
    ASSERT_OK(tp_blob_put(registry, &source, &is_new, &test_err));
    tp_store_rollback(registry->store);
    ASSERT(is_new || registry->s3 != NULL);
}

static void test_collect(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    ASSERT_EQ_UINT(cases_register(registry, "m", cases_file(home, "b", "kept")), 1);
    put_orphan(registry, "left");
    // Young enough to belong to a writer that is about to name it.
    ASSERT_EQ_STR(collect(registry, 3600),
                  "{\"removed\":0,\"removed_bytes\":0,\"kept\":2,\"answers_removed\":0}");
    ASSERT_EQ_STR(collect(registry, 0),
                  "{\"removed\":1,\"removed_bytes\":4,\"kept\":1,\"answers_removed\":0}");
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    cases_assert_content(ref.path, "kept");
    tp_registry_close(&registry);
}

// -- collecting while others register ------------------------------------------------------------
typedef struct collector {
    const char *home;
    atomic_bool is_done;
} collector;

static void *collect_for_ever(void *argument)
{
    collector *it = argument;
    tp_registry *registry = cases_open(it->home);
    while (!atomic_load(&it->is_done)) {
        tp_buffer json;
        tp_buffer_init(&json, tp_allocator_default(), 4096);
        ASSERT_OK(tp_registry_collect(registry, 0, &json, &test_err));
        tp_buffer_deinit(&json);
    }
    tp_registry_close(&registry);
    return NULL;
}

// Even without a grace time no acknowledged blob is taken.
static void test_collect_beside_writers(void)
{
    collector it = {.home = test_temp_dir()};
    tp_registry *registry = cases_open(it.home);
    pthread_t thread;
    ASSERT_EQ_INT(pthread_create(&thread, NULL, collect_for_ever, &it), 0);
    for (int i = 0; i < 60; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "bundle %d", i % 20);
        const tapeout_registration what = cases_registration("m", cases_file(it.home, "b", text));
        tapeout_model_ref ref;
        ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
        cases_assert_content(ref.path, text);
        if (i >= 20) { // the same bytes go with one version and come with another
            char model[32];
            const int size = snprintf(model, sizeof(model), "m:%d", i - 19);
            ASSERT_OK(tp_registry_remove(registry, (tp_str){model, (size_t)size}, &test_err));
        }
    }
    atomic_store(&it.is_done, true);
    ASSERT_EQ_INT(pthread_join(thread, NULL), 0);
    for (int i = 41; i <= 60; i++) {
        char model[32];
        const int size = snprintf(model, sizeof(model), "m:%d", i);
        tapeout_model_ref ref;
        ASSERT_OK(tp_registry_resolve(registry, (tp_str){model, (size_t)size}, &ref, &test_err));
    }
    tp_registry_close(&registry);
}

// -- backup --------------------------------------------------------------------------------------
typedef struct writer {
    const char *home;
    const char *outside;
    atomic_bool is_done;
    int count;
} writer;

static void *register_for_ever(void *argument)
{
    writer *it = argument;
    tp_registry *registry = cases_open(it->home);
    while (!atomic_load(&it->is_done)) {
        char text[32];
        (void)snprintf(text, sizeof(text), "written %d", it->count);
        (void)cases_register(registry, "w", cases_file(it->outside, "w", text));
        it->count++;
    }
    tp_registry_close(&registry);
    return NULL;
}

static void backup(tp_registry *registry, const char *folder)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), 4096);
    ASSERT_OK(tp_registry_backup(registry, folder, &json, &test_err));
    ASSERT(tp_str_has_prefix(tp_buffer_view(&json), TP_STR("{\"format\":1,")));
    tp_buffer_deinit(&json);
}

static tapeout_status restore(const char *folder, const char *home, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), 4096);
    const tp_registry_options options = {.home = home};
    const tapeout_status status =
        tp_registry_restore(tp_allocator_default(), folder, &options, &json, err);
    tp_buffer_deinit(&json);
    return status;
}

static void test_backup_while_others_write(void)
{
    char home[4200];
    char folder[4300];
    char other[4300];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    (void)snprintf(folder, sizeof(folder), "%s/copy", home);
    (void)snprintf(other, sizeof(other), "%s/other", home);
    tp_registry *registry = cases_open(home);
    const char *bundle = cases_file(home, "b", "kept");
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 1);
    writer it = {.home = home, .outside = home};
    pthread_t thread;
    ASSERT_EQ_INT(pthread_create(&thread, NULL, register_for_ever, &it), 0);
    for (int i = 0; i < 5; i++) {
        backup(registry, folder);
    }
    atomic_store(&it.is_done, true);
    ASSERT_EQ_INT(pthread_join(thread, NULL), 0);
    tp_registry_close(&registry);
    ASSERT(it.count > 0);

    ASSERT_OK(restore(folder, other, &test_err));
    registry = cases_open(other);
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    cases_assert_content(ref.path, "kept");
    const int64_t versions = cases_number(registry, "SELECT count(*) FROM versions");
    for (int64_t i = 1; i < versions; i++) { // every row has its bytes
        char model[32];
        const int size = snprintf(model, sizeof(model), "w:%lld", (long long)i);
        ASSERT_OK(tp_registry_resolve(registry, (tp_str){model, (size_t)size}, &ref, &test_err));
    }
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 2); // goes on from there
    tp_registry_close(&registry);
}

static void test_restore_is_careful(void)
{
    char home[4200];
    char folder[4300];
    char other[4300];
    char path[4400];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    (void)snprintf(folder, sizeof(folder), "%s/copy", home);
    (void)snprintf(other, sizeof(other), "%s/other", home);
    tp_registry *registry = cases_open(home);
    ASSERT_EQ_UINT(cases_register(registry, "m", cases_file(home, "b", "kept")), 1);
    ASSERT_FAILS(restore(folder, other, &test_err), TAPEOUT_E_NOT_FOUND, "is no backup");
    backup(registry, folder);
    ASSERT_FAILS(restore(folder, home, &test_err), TAPEOUT_E_EXISTS, "there already");
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    tp_registry_close(&registry);
    // One byte of a blob, then one of the rows.
    ASSERT_OK(tp_blob_path(folder, tp_str_from(ref.sha256), path, &test_err));
    ASSERT_EQ_INT(truncate(path, 3), 0);
    ASSERT_FAILS(restore(folder, other, &test_err), TAPEOUT_E_CORRUPT, "is damaged");
    ASSERT_FAILS(cases_try_open(other, TP_REGISTRY_READ, &registry, &test_err), TAPEOUT_E_NOT_FOUND,
                 "nothing is registered"); // no half a registry
    registry = cases_open(home);
    ASSERT_EQ_INT(unlink(path), 0);
    backup(registry, folder);
    tp_registry_close(&registry);
    (void)snprintf(path, sizeof(path), "%s/registry.sqlite", folder);
    FILE *file = fopen(path, "r+b");
    ASSERT(file != NULL);
    ASSERT_EQ_INT(fseek(file, 60, SEEK_SET), 0);
    ASSERT_EQ_INT(fputc(1, file), 1);
    ASSERT_EQ_INT(fclose(file), 0);
    ASSERT_FAILS(restore(folder, other, &test_err), TAPEOUT_E_CORRUPT,
                 "registry.sqlite is damaged");
}

// -- the public calls ----------------------------------------------------------------------------
static void test_public(void)
{
    char home[4200];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = home;
    options.thread_count = 1;
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    ASSERT_FAILS(tapeout_registry_alias_set(context, "m:1", "staging", NULL, &test_err),
                 TAPEOUT_E_NOT_FOUND, "nothing is registered");
    tapeout_registration what = cases_registration("m", cases_file(home, "b", "x"));
    tapeout_model_ref ref;
    ASSERT_OK(tapeout_registry_register(context, &what, &ref, &test_err));
    ASSERT_FAILS(tapeout_registry_alias_set(context, "m", "staging", NULL, &test_err),
                 TAPEOUT_E_INVALID, "say which");
    ASSERT_OK(tapeout_registry_alias_set(context, "m:1", "staging", "ann", &test_err));
    ASSERT_OK(tapeout_registry_resolve(context, "m@staging", &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 1);
    ASSERT_OK(tapeout_registry_tag(context, "m:1", "licence", "MIT", &test_err));
    ASSERT_FAILS(tapeout_registry_tag(context, "m@staging", "k", "v", &test_err), TAPEOUT_E_INVALID,
                 "may move");
    char *json = NULL;
    ASSERT_OK(tapeout_registry_list(context, &json, &test_err));
    ASSERT(strstr(json, "\"aliases\":[\"staging\"]") != NULL);
    ASSERT(strstr(json, "\"tags\":{\"licence\":\"MIT\"}") != NULL);
    tapeout_text_free(context, json);
    ASSERT_OK(tapeout_registry_tag(context, "m:1", "licence", NULL, &test_err));
    ASSERT_OK(tapeout_registry_alias_remove(context, "m", "staging", "bob", &test_err));
    ASSERT_OK(tapeout_registry_alias_history(context, "m", NULL, &json, &test_err));
    ASSERT(strstr(json, "\"kind\":\"set\",\"from\":0,\"to\":1,\"who\":\"ann\"") != NULL);
    ASSERT(strstr(json, "\"kind\":\"remove\",\"from\":1,\"to\":0,\"who\":\"bob\"") != NULL);
    tapeout_text_free(context, json);
    ASSERT_FAILS(tapeout_registry_alias_history(context, "n", NULL, &json, &test_err),
                 TAPEOUT_E_NOT_FOUND, "\"n\"");
    ASSERT_OK(tapeout_registry_collect(context, 0, &json, &test_err));
    ASSERT(strstr(json, "\"kept\":1") != NULL);
    tapeout_text_free(context, json);
    tapeout_context_free(context);
}

TEST_MAIN(TEST(test_collect), TEST_SLOW(test_collect_beside_writers, 120),
          TEST_SLOW(test_backup_while_others_write, 120), TEST(test_restore_is_careful),
          TEST(test_public))
