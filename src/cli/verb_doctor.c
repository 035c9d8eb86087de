// SPDX-License-Identifier: Apache-2.0
//
// tapeout doctor: what this machine offers and what is missing. It fails only where something is
// broken; what is merely not there is said, with what it would take.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/doctor.h>
#include <yyjson.h>

enum { BYTES_PER_MIB = 1 << 20 };

static uint64_t mebibytes(yyjson_val *memory, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(memory, key)) / BYTES_PER_MIB;
}

static void print_checks(yyjson_val *root)
{
    yyjson_val *check = NULL;
    size_t index = 0;
    size_t count = 0;
    yyjson_arr_foreach(yyjson_obj_get(root, "checks"), index, count, check)
    {
        (void)printf("%-8s %-14s %s\n", cli_text(check, "state"), cli_text(check, "name"),
                     cli_text(check, "words"));
    }
}

static void print_machine(yyjson_val *root)
{
    yyjson_val *build = yyjson_obj_get(root, "build");
    yyjson_val *memory = yyjson_obj_get(root, "memory");
    (void)printf("tapeout %s (%s, %s)\n", cli_text(root, "version"), cli_text(build, "type"),
                 cli_text(build, "compiler"));
    (void)printf("%llu processors, %llu threads; %llu MiB of memory, %llu MiB free\n",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "processors")),
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "threads")),
                 (unsigned long long)mebibytes(memory, "total_bytes"),
                 (unsigned long long)mebibytes(memory, "available_bytes"));
}

// -- a model -------------------------------------------------------------------------------------
static void print_part(yyjson_val *plan, const char *label, const char *key, const char *words)
{
    (void)printf("%-10s %8.1f MiB  %s\n", label,
                 (double)yyjson_get_uint(yyjson_obj_get(plan, key)) / BYTES_PER_MIB, words);
}

static unsigned number(yyjson_val *object, const char *key)
{
    return (unsigned)yyjson_get_uint(yyjson_obj_get(object, key));
}

static void print_plan(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *plan = yyjson_obj_get(root, "plan");
    yyjson_val *caches = yyjson_obj_get(root, "caches");
    yyjson_val *cache = NULL;
    size_t index = 0;
    size_t count = 0;
    char words[96];
    print_part(plan, "weights", "weights_bytes",
               yyjson_get_bool(yyjson_obj_get(plan, "weights_mapped"))
                   ? "mapped, shared between processes"
                   : "packed in memory");
    print_part(plan, "tables", "tables_bytes", "tokenizer and metadata");
    (void)snprintf(words, sizeof(words), "%u sequences at once, %u threads",
                   number(plan, "running"), number(plan, "threads"));
    print_part(plan, "workspace", "workspace_bytes", words);
    (void)snprintf(words, sizeof(words), "%u tokens; a context has %u",
                   number(plan, "cache_tokens"), number(plan, "context"));
    print_part(plan, "cache", "cache_bytes", words);
    print_part(plan, "process", "process_bytes", "whatever it serves");
    print_part(plan, "all", "total_bytes", cli_text(root, "words"));
    if (yyjson_arr_size(caches) > 0) {
        (void)printf("\ncache   bytes a token   longest context   streams of %u tokens\n",
                     number(plan, "context"));
    }
    yyjson_arr_foreach(caches, index, count, cache)
    {
        (void)printf("%-7s %13u   %15u   %u%s\n", cli_text(cache, "type"),
                     number(cache, "token_bytes"), number(cache, "context_max"),
                     number(cache, "streams"), number(cache, "streams") == 256 ? " or more" : "");
    }
    yyjson_doc_free(doc);
}

static bool read_plan_flags(cli *self, tapeout_plan_options *options)
{
    uint64_t context = 0;
    uint64_t running = 0;
    options->kv_is_q8 = cli_has(self, "kv-q8");
    if ((cli_has(self, "memory") && !cli_number(self, "memory", &options->memory_bytes)) ||
        (cli_has(self, "kv-bytes") && !cli_number(self, "kv-bytes", &options->kv_bytes)) ||
        (cli_has(self, "running") && !cli_number(self, "running", &running)) ||
        (cli_has(self, "context") && !cli_number(self, "context", &context))) {
        return false;
    }
    options->context_length = context > UINT32_MAX ? UINT32_MAX : (uint32_t)context;
    options->running = running > UINT32_MAX ? UINT32_MAX : (uint32_t)running;
    return true;
}

static int run_model(cli *self)
{
    tapeout_plan_options options;
    char *json = NULL;
    tapeout_plan_options_init(&options);
    if (!read_plan_flags(self, &options)) {
        return CLI_EXIT_USAGE;
    }
    if (tapeout_doctor_model(self->context, self->arguments[0], &options, &json, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_small = yyjson_get_bool(yyjson_obj_get(root, "fits"));
    if (self->is_json) {
        (void)puts(json);
    } else {
        print_plan(json);
    }
    if (!is_small) {
        (void)fprintf(stderr, "tapeout: %s %s\n", self->arguments[0], cli_text(root, "words"));
    }
    yyjson_doc_free(doc);
    tapeout_text_free(self->context, json);
    return is_small ? 0 : CLI_EXIT_FAILURE;
}

static int run(cli *self)
{
    char *json = NULL;
    const bool is_airgap = cli_has(self, "airgap");
    if (self->argument_count > 0) {
        return is_airgap ? cli_usage(self, "--airgap looks at the machine, not at a MODEL")
                         : run_model(self);
    }
    if ((is_airgap ? tapeout_doctor_airgap(self->context, &json, &self->err)
                   : tapeout_doctor(self->context, &json, &self->err)) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_ok = yyjson_get_bool(yyjson_obj_get(root, "ok"));
    if (self->is_json) {
        (void)puts(json);
    } else {
        if (!is_airgap) {
            print_machine(root);
        }
        print_checks(root);
    }
    yyjson_doc_free(doc);
    tapeout_text_free(self->context, json);
    if (!is_ok) {
        (void)fputs("tapeout: what stands above as broken needs mending\n", stderr);
    }
    return is_ok ? 0 : CLI_EXIT_FAILURE;
}

static const cli_flag flags[] = {
    {"airgap", NULL, "try each way out that serve --airgap closes, and what must go on", false},
    {"memory", "BYTES", "what a MODEL has to fit in; default: what is available now", false},
    {"context", "TOKENS", "longest prompt and answer, as for serve", false},
    {"running", "N", "sequences computed together; default 16", false},
    {"kv-bytes", "N", "size of the key/value cache; default: two contexts", false},
    {"kv-q8", NULL, "eight bits a value in the cache instead of sixteen", false},
};

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .arguments = "[MODEL]",
    .summary = "what this machine offers and what is missing, or what a language model takes",
    .text =
        "Looks at the processor, memory, the home directory, its registry, DuckDB and the time\n"
        "zones. It exits 1 where something is broken; what is missing only costs what it says.\n"
        "With a MODEL: what serving it takes, before it is loaded, and which contexts and how\n"
        "many streams would fit. It exits 1 where the model does not fit.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
