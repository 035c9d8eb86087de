// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of inspecting, planning, quantising and importing a language model fails in
// turn: it is said, and neither memory nor a file is left behind.
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "test.h"

#include <stdio.h>
#include <tapeout/doctor.h>
#include <tapeout/import.h>

static char model_path[4096];
static char out_path[4096];
static char partial_path[4096]; // of a file that is being written
static char home_path[4096];

static void set_paths(void)
{
    (void)snprintf(model_path, sizeof(model_path), "%s/tests/conformance/llm_tiny/llama-f16.gguf",
                   test_source_dir());
    (void)snprintf(out_path, sizeof(out_path), "%s/out", test_temp_dir());
    (void)snprintf(partial_path, sizeof(partial_path), "%s/.out.partial", test_temp_dir());
    (void)snprintf(home_path, sizeof(home_path), "%s/home", test_temp_dir());
}

typedef tapeout_status api_call(tapeout_context *context, char **ret_json, tapeout_error *err);

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    api_call *const *call = user;
    tapeout_context_options options;
    tapeout_context *context = NULL;
    char *json = NULL;
    tapeout_context_options_init(&options);
    options.allocator = alloc;
    options.thread_count = 1;
    options.home = home_path;
    TP_TRY(tapeout_context_new(&options, &context, err));
    const tapeout_status status = (*call)(context, &json, err);
    ASSERT((json != NULL) == (status == TAPEOUT_OK));
    ASSERT(!tp_path_exists(partial_path));
    tapeout_text_free(context, json);
    tapeout_context_free(context);
    return status;
}

static void check(api_call *call)
{
    set_paths();
    test_out_of_memory(scenario, &call);
}

static tapeout_status inspect(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    return tapeout_llm_inspect(context, model_path, ret_json, err);
}

static tapeout_status plan(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tapeout_plan_options options;
    tapeout_plan_options_init(&options);
    return tapeout_doctor_model(context, model_path, &options, ret_json, err);
}

static tapeout_status quantize(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tapeout_quantize_options options;
    tapeout_quantize_options_init(&options);
    options.type = "Q4_0";
    options.out_path = out_path;
    ASSERT_OK(tp_file_remove(out_path, &test_err));
    return tapeout_llm_quantize(context, model_path, &options, ret_json, err);
}

static void test_inspect(void)
{
    check(inspect);
}

static void test_plan(void)
{
    check(plan);
}

static void test_quantize(void)
{
    check(quantize);
}

// Import is not among them: it works in a process of its own, whose allocations this one does not
// count. Its parts are tried where they are (test_import_oom, test_gguf_oom).
TEST_MAIN(TEST_SLOW(test_inspect, 300), TEST_SLOW(test_plan, 300), TEST_SLOW(test_quantize, 300))
