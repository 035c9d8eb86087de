// SPDX-License-Identifier: Apache-2.0
//
// The context: defaults, where home is, options of another size, cancellation, errors at start.
#include "base/tp_context.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <stdlib.h>

static void clear_environment(void)
{
    ASSERT(unsetenv("TAPEOUT_HOME") == 0 && unsetenv("XDG_DATA_HOME") == 0 &&
           unsetenv("HOME") == 0 && unsetenv("TAPEOUT_DUCKDB") == 0);
}

static tapeout_context *make(const tapeout_context_options *options)
{
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(options, &context, &test_err));
    return context;
}

static void check_home(const tapeout_context_options *options, const char *want)
{
    tapeout_context *context = make(options);
    ASSERT_EQ_STR(tp_context_home(context), want);
    tapeout_context_free(context);
}

static void test_home(void)
{
    clear_environment();
    check_home(NULL, ".tapeout");
    ASSERT(setenv("HOME", "/h", 1) == 0);
    check_home(NULL, "/h/.local/share/tapeout");
    ASSERT(setenv("XDG_DATA_HOME", "relative", 1) == 0);
    check_home(NULL, "/h/.local/share/tapeout");
    ASSERT(setenv("XDG_DATA_HOME", "/xdg/", 1) == 0);
    check_home(NULL, "/xdg/tapeout");
    ASSERT(setenv("TAPEOUT_HOME", "/own", 1) == 0);
    check_home(NULL, "/own");
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    check_home(&options, "/own");
    options.home = "/option";
    check_home(&options, "/option");
}

static void test_duckdb(void)
{
    clear_environment();
    tapeout_context *context = make(NULL);
    ASSERT(tp_context_duckdb(context) == NULL);
    tapeout_context_free(context);
    ASSERT(setenv("TAPEOUT_DUCKDB", "/lib/d.so", 1) == 0);
    context = make(NULL);
    ASSERT_EQ_STR(tp_context_duckdb(context), "/lib/d.so");
    tapeout_context_free(context);
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.duckdb_library = "/other.so";
    context = make(&options);
    ASSERT_EQ_STR(tp_context_duckdb(context), "/other.so");
    tapeout_context_free(context);
}

static void listen(void *user, const char *phase, double fraction)
{
    (void)phase;
    *(double *)user = fraction;
}

static void test_env_is_wired(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    double heard = 0;
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.thread_count = 3;
    options.allocator = &allocator.base;
    options.progress = listen;
    options.progress_user = &heard;
    tapeout_context *context = make(&options);
    const tp_env *env = tp_context_env(context);
    ASSERT_EQ_UINT(tp_pool_worker_count(env->pool), 3);
    tp_free(env->alloc, tp_alloc(env->alloc, 5), 5);
    tp_env_progress(env, "read", 0.75);
    ASSERT_EQ_F64(heard, 0.75);
    ASSERT_OK(tp_env_check(env, &test_err));
    tapeout_context_cancel(context);
    ASSERT_FAILS(tp_env_check(env, &test_err), TAPEOUT_E_CANCELLED, NULL);
    tapeout_context_free(context);
    tapeout_context_free(NULL);
    ASSERT(allocator.count > 0);
    ASSERT_EQ_UINT(allocator.live, 0);
}

// A caller that was compiled against an older, shorter struct.
static void test_shorter_options(void)
{
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.struct_size = offsetof(tapeout_context_options, home);
    options.thread_count = 2;
    options.home = "/beyond its end";
    options.progress = (tapeout_progress_fn)(uintptr_t)1; // must not be read either
    ASSERT(setenv("TAPEOUT_HOME", "/own", 1) == 0);
    tapeout_context *context = make(&options);
    ASSERT_EQ_STR(tp_context_home(context), "/own");
    ASSERT_EQ_UINT(tp_pool_worker_count(tp_context_env(context)->pool), 2);
    ASSERT(tp_context_env(context)->progress == NULL);
    tapeout_context_free(context);
}

static void test_refusals(void)
{
    tapeout_context *context = NULL;
    tapeout_context_options options = {0};
    ASSERT_FAILS(tapeout_context_new(&options, &context, &test_err), TAPEOUT_E_INVALID,
                 "struct_size is 0");
    tapeout_context_options_init(&options);
    options.thread_count = 1000;
    ASSERT_FAILS(tapeout_context_new(&options, &context, &test_err), TAPEOUT_E_LIMIT, "1000");
    ASSERT_FAILS(tapeout_context_new(NULL, NULL, &test_err), TAPEOUT_E_INVALID, "ret_context");
    ASSERT(context == NULL);
}

static void test_wrong_cpu(void)
{
    ASSERT(setenv("TAPEOUT_CPU", "pentium", 1) == 0);
    tapeout_context *context = NULL;
    ASSERT_FAILS(tapeout_context_new(NULL, &context, &test_err), TAPEOUT_E_INVALID, "pentium");
    ASSERT(context == NULL);
}

static void test_version(void)
{
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    ASSERT(sscanf(tapeout_version(), "%u.%u.%u", &major, &minor, &patch) == 3);
}

TEST_MAIN(TEST(test_home), TEST(test_duckdb), TEST(test_env_is_wired), TEST(test_shorter_options),
          TEST(test_refusals), TEST(test_wrong_cpu), TEST(test_version))
