// SPDX-License-Identifier: Apache-2.0
//
// Registering, finding, listing and removing; numbers without a gap over threads and processes.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "registry_cases.h"
#include "test.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_register_and_resolve(void)
{
    const char *directory = test_temp_dir();
    const char *home = cases_file(directory, "unused", "");
    ASSERT_EQ_INT(unlink(home), 0); // a home that is not there yet
    const char *first = cases_file(directory, "first.tapeout", "first bundle");
    const char *second = cases_file(directory, "second.tapeout", "second bundle");
    tp_registry *registry = cases_open(home);
    tapeout_registration what = cases_registration("flight-delay", first);
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 1);
    ASSERT_EQ_STR(ref.name, "flight-delay");
    // printf 'first bundle' | sha256sum
    ASSERT_EQ_STR(ref.sha256, "d0d2804d6f941b21a21e4adabc7bbc953f30265a5b0c76320263cce42f3e8c09");
    ASSERT(ref.is_registered && !ref.is_refused);
    cases_assert_content(ref.path, "first bundle");
    struct stat info;
    ASSERT_EQ_INT(stat(ref.path, &info), 0);
    ASSERT_EQ_INT(info.st_mode & 0777, 0444);
    ASSERT_EQ_UINT(cases_register(registry, "flight-delay", second), 2);
    ASSERT_EQ_UINT(cases_register(registry, "other", second), 1);
    tp_registry_close(&registry);
    ASSERT(registry == NULL);

    registry = cases_open_as(home, TP_REGISTRY_READ);
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("flight-delay"), &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 2);
    cases_assert_content(ref.path, "second bundle");
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("flight-delay:1"), &ref, &test_err));
    ASSERT_EQ_STR(ref.name, "flight-delay");
    cases_assert_content(ref.path, "first bundle");
    tp_registry_close(&registry);
}

static void test_not_found(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    const char *bundle = cases_file(directory, "b", "x");
    ASSERT_EQ_UINT(cases_register(registry, "flight-delay", bundle), 1);
    tapeout_model_ref ref = {.version = 77};
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("flight-dalay"), &ref, &test_err),
                 TAPEOUT_E_NOT_FOUND, "did you mean \"flight-delay\"?");
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("entirely-different"), &ref, &test_err),
                 TAPEOUT_E_NOT_FOUND, "tapeout list");
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("flight-delay:2"), &ref, &test_err),
                 TAPEOUT_E_NOT_FOUND, "newest is flight-delay:1");
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("flight-delay@prod"), &ref, &test_err),
                 TAPEOUT_E_NOT_FOUND, "no alias \"prod\"");
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("a b"), &ref, &test_err), TAPEOUT_E_INVALID,
                 "no name");
    ASSERT_EQ_UINT(ref.version, 77);
    tp_registry_close(&registry);
    ASSERT_FAILS(
        cases_try_open(cases_file(directory, "f", ""), TP_REGISTRY_READ, &registry, &test_err),
        TAPEOUT_E_NOT_FOUND, "nothing is registered");
    ASSERT(registry == NULL);
}

// A refused version is there by its number, and its bare name leads past it.
static void test_refused(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    const char *bundle = cases_file(directory, "b", "x");
    tapeout_registration what = cases_registration("m", bundle);
    what.is_refused = true;
    what.reason = "auc is 0.61, wanted >= 0.70";
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    ASSERT(ref.is_refused);
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err), TAPEOUT_E_GATE,
                 "m:1");
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m:1"), &ref, &test_err));
    ASSERT(ref.is_refused);
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 2);
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 3);
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 2);
    tp_registry_close(&registry);
}

static void test_list(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    ASSERT_EQ_STR(cases_list(registry), "{\"models\":[]}");
    const char *bundle = cases_file(directory, "b", "abc");
    ASSERT_EQ_UINT(cases_register(registry, "z", bundle), 1);
    tapeout_registration what = cases_registration("a", bundle);
    what.gates = "[{\"name\":\"auc\",\"want\":\">= 0.70\",\"got\":0.70000000000000001,"
                 "\"passed\":true}]";
    what.timings = "{\"train\":1e-3}";
    what.facts = "{\"cpu\":\"a \\\"quoted\\\" one\"}";
    what.reason = "none, really";
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    const char *json = cases_list(registry);
    ASSERT(strstr(json, "{\"name\":\"a\"") < strstr(json, "{\"name\":\"z\""));
    ASSERT(strstr(json, "\"got\":0.70000000000000001,") != NULL); // as it was written
    ASSERT(strstr(json, "\"timings\":{\"train\":1e-3}") != NULL);
    ASSERT(strstr(json, "\"facts\":{\"cpu\":\"a \\\"quoted\\\" one\"}") != NULL);
    ASSERT(strstr(json, "\"version\":1,\"sha256\":\"ba7816bf") != NULL); // of "abc", FIPS 180
    ASSERT(strstr(json, "\"size\":3") != NULL);
    ASSERT(strstr(json, "\"refused\":false,\"reason\":\"none, really\",\"aliases\":[]") != NULL);
    ASSERT(strstr(json, ref.path) != NULL);
    tp_registry_close(&registry);
}

static void test_refused_registrations(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    const char *bundle = cases_file(directory, "b", "x");
    tapeout_model_ref ref = {.version = 77};
    tapeout_registration what = cases_registration("../up", bundle);
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_INVALID,
                 "no name");
    what = cases_registration("m", bundle);
    what.gates = "[1,";
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_INVALID,
                 "gates: not JSON");
    what = cases_registration("m", bundle);
    what.reason = "\xff";
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_INVALID,
                 "UTF-8");
    what = cases_registration("m", bundle);
    what.sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_CORRUPT,
                 "it was changed");
    what = cases_registration("m", "/no/such/file");
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_NOT_FOUND,
                 "/no/such/file");
    ASSERT_EQ_UINT(ref.version, 77);
    // Nothing of these stands in the registry: no row, no number, no blob.
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM models"), 0);
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 1);
    tp_registry_close(&registry);
}

static void test_remove(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    const char *bundle = cases_file(directory, "b", "shared");
    const char *lone = cases_file(directory, "c", "alone");
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 1);
    ASSERT_EQ_UINT(cases_register(registry, "m", lone), 2);
    ASSERT_EQ_UINT(cases_register(registry, "n", bundle), 1);
    tapeout_model_ref shared;
    tapeout_model_ref alone;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("n"), &shared, &test_err));
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &alone, &test_err));

    ASSERT_OK(tp_registry_remove(registry, TP_STR("m:2"), &test_err));
    ASSERT(!tp_path_exists(alone.path));
    ASSERT_OK(tp_registry_remove(registry, TP_STR("m:1"), &test_err));
    ASSERT(tp_path_exists(shared.path)); // n:1 has the same bytes
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("m:1"), &test_err), TAPEOUT_E_NOT_FOUND, "m");
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("n"), &test_err), TAPEOUT_E_INVALID, "n:1");
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("n@prod"), &test_err), TAPEOUT_E_INVALID,
                 "which");
    ASSERT_OK(tp_registry_remove(registry, TP_STR("n:1"), &test_err));
    ASSERT(!tp_path_exists(shared.path));
    ASSERT_EQ_STR(cases_list(registry), "{\"models\":[]}");
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 3); // numbers are not given again
    tp_registry_close(&registry);
}

static void test_aliases(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = cases_open(directory);
    const char *bundle = cases_file(directory, "b", "x");
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 1);
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 2);
    cases_run(registry, "INSERT INTO aliases SELECT id, 'prod', 1 FROM models WHERE name = 'm'");
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m@prod"), &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 1);
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("m:1"), &test_err), TAPEOUT_E_BUSY,
                 "an alias points to m:1");
    ASSERT(tp_path_exists(ref.path));
    ASSERT(strstr(cases_list(registry), "\"aliases\":[\"prod\"]") != NULL);
    ASSERT_OK(tp_registry_remove(registry, TP_STR("m:2"), &test_err));
    tp_registry_close(&registry);
}

// -- many at once --------------------------------------------------------------------------------
enum { WRITERS = 64 };

typedef struct writer {
    const char *home;
    char bundle[4200];
    uint64_t version;
    tapeout_status status;
} writer;

static void *register_one(void *argument)
{
    writer *it = argument;
    tp_registry *registry = NULL;
    it->status = cases_try_open(it->home, TP_REGISTRY_WRITE, &registry, NULL);
    if (it->status == TAPEOUT_OK) {
        const tapeout_registration what = cases_registration("same", it->bundle);
        tapeout_model_ref ref;
        it->status = tp_registry_register(registry, &what, &ref, NULL);
        it->version = ref.version;
        tp_registry_close(&registry);
    }
    return NULL;
}

static void make_writers(writer *writers, const char *home)
{
    for (int i = 0; i < WRITERS; i++) {
        char name[16];
        char text[16];
        (void)snprintf(name, sizeof(name), "b%d", i);
        (void)snprintf(text, sizeof(text), "bundle %d", i % 8); // some have the same bytes
        writers[i] = (writer){.home = home};
        (void)snprintf(writers[i].bundle, sizeof(writers[i].bundle), "%s",
                       cases_file(home, name, text));
    }
}

// R1: 64 different numbers, no gap, on a registry that none of them finds made.
static void test_threads(void)
{
    static writer writers[WRITERS];
    pthread_t threads[WRITERS];
    make_writers(writers, test_temp_dir());
    for (int i = 0; i < WRITERS; i++) {
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, register_one, &writers[i]), 0);
    }
    bool seen[WRITERS + 1] = {false};
    for (int i = 0; i < WRITERS; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
        ASSERT_EQ_INT(writers[i].status, TAPEOUT_OK);
        ASSERT(writers[i].version >= 1 && writers[i].version <= WRITERS);
        ASSERT(!seen[writers[i].version]);
        seen[writers[i].version] = true;
    }
}

static void test_processes(void)
{
    static writer writers[WRITERS];
    pid_t processes[WRITERS];
    const char *home = test_temp_dir();
    make_writers(writers, home);
    for (int i = 0; i < WRITERS; i++) {
        processes[i] = fork();
        ASSERT(processes[i] >= 0);
        if (processes[i] == 0) {
            (void)register_one(&writers[i]);
            _exit(writers[i].status == TAPEOUT_OK ? (int)writers[i].version : 0);
        }
    }
    bool seen[WRITERS + 1] = {false};
    for (int i = 0; i < WRITERS; i++) {
        int how = 0;
        ASSERT_EQ_INT(waitpid(processes[i], &how, 0), processes[i]);
        ASSERT(WIFEXITED(how));
        const int version = WEXITSTATUS(how);
        ASSERT(version >= 1 && version <= WRITERS);
        ASSERT(!seen[version]);
        seen[version] = true;
    }
    tp_registry *registry = cases_open(home);
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(DISTINCT sha256) FROM versions"), 8);
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), WRITERS);
    tp_registry_close(&registry);
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
    char *json = NULL;
    ASSERT_OK(tapeout_registry_list(context, &json, &test_err));
    ASSERT_EQ_STR(json, "{\"models\":[]}");
    tapeout_text_free(context, json);
    tapeout_model_ref ref;
    ASSERT_FAILS(tapeout_registry_resolve(context, "m", &ref, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no file and no registered model named \"m\"");
    ASSERT_FAILS(tapeout_registry_remove(context, "m:1", &test_err), TAPEOUT_E_NOT_FOUND, home);

    tapeout_registration what = cases_registration("m", cases_file(home, "b", "x"));
    ASSERT_OK(tapeout_registry_register(context, &what, &ref, &test_err));
    ASSERT_EQ_UINT(ref.version, 1);
    ASSERT_OK(tapeout_registry_resolve(context, "m:1", &ref, &test_err));
    ASSERT(ref.is_registered);
    ASSERT_OK(tapeout_registry_list(context, &json, &test_err));
    ASSERT(strstr(json, "\"version\":1") != NULL);
    tapeout_text_free(context, json);
    // A slash, or the name of a file that is there, makes a path.
    ASSERT_OK(tapeout_registry_resolve(context, "./m", &ref, &test_err));
    ASSERT(!ref.is_registered);
    ASSERT_EQ_STR(ref.path, "./m");
    ASSERT_EQ_INT(chdir(home), 0);
    ASSERT_OK(tapeout_registry_resolve(context, "b", &ref, &test_err));
    ASSERT(!ref.is_registered);
    ASSERT_EQ_STR(ref.path, "b");
    ASSERT_OK(tapeout_registry_remove(context, "m:1", &test_err));
    ASSERT_FAILS(tapeout_registry_resolve(context, "m", &ref, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no model named \"m\"");
    what.struct_size = 0;
    ASSERT_FAILS(tapeout_registry_register(context, &what, &ref, &test_err), TAPEOUT_E_INVALID,
                 "tapeout_registration_init");
    tapeout_context_free(context);
}

TEST_MAIN(TEST(test_register_and_resolve), TEST(test_not_found), TEST(test_refused),
          TEST(test_list), TEST(test_refused_registrations), TEST(test_remove), TEST(test_aliases),
          TEST_SLOW(test_threads, 120), TEST_SLOW(test_processes, 120), TEST(test_public))
