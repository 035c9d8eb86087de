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

static void print_findings(yyjson_val *root)
{
    yyjson_val *build = yyjson_obj_get(root, "build");
    yyjson_val *memory = yyjson_obj_get(root, "memory");
    yyjson_val *check = NULL;
    size_t index = 0;
    size_t count = 0;
    (void)printf("tapeout %s (%s, %s)\n", cli_text(root, "version"), cli_text(build, "type"),
                 cli_text(build, "compiler"));
    (void)printf("%llu processors, %llu threads; %llu MiB of memory, %llu MiB free\n",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "processors")),
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "threads")),
                 (unsigned long long)mebibytes(memory, "total_bytes"),
                 (unsigned long long)mebibytes(memory, "available_bytes"));
    yyjson_arr_foreach(yyjson_obj_get(root, "checks"), index, count, check)
    {
        (void)printf("%-8s %-11s %s\n", cli_text(check, "state"), cli_text(check, "name"),
                     cli_text(check, "words"));
    }
}

static int run(cli *self)
{
    char *json = NULL;
    if (tapeout_doctor(self->context, &json, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_ok = yyjson_get_bool(yyjson_obj_get(root, "ok"));
    if (self->is_json) {
        (void)puts(json);
    } else {
        print_findings(root);
    }
    yyjson_doc_free(doc);
    tapeout_text_free(self->context, json);
    if (!is_ok) {
        (void)fputs("tapeout: what stands above as broken needs mending\n", stderr);
    }
    return is_ok ? 0 : CLI_EXIT_FAILURE;
}

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "what this machine offers and what is missing",
    .text =
        "Looks at the processor, memory, the home directory, its registry, DuckDB and the time\n"
        "zones. It exits 1 where something is broken; what is missing only costs what it says.",
    .run = run,
};
