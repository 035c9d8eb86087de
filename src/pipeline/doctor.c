// SPDX-License-Identifier: Apache-2.0
//
// What tapeout_doctor finds: the build, the processor, memory, the home directory, DuckDB and the
// time zones. It only looks; nothing is made or mended, so it can be run where nothing works.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_machine.h"
#include "base/tp_sandbox.h"
#include "table/tp_json.h"
#include "table/tp_table.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <tapeout/doctor.h>
#include <tapeout/registry.h>
#include <unistd.h>

#if defined(__VERSION__) && defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const char zone_file[] = "/usr/share/zoneinfo/America/New_York";

// -- the build and the machine -------------------------------------------------------------------

static void append_text(tp_buffer *json, const char *key, const char *text)
{
    tp_json_put_str(json, key, tp_str_from(text));
}

static void append_build(tp_buffer *json)
{
    append_text(json, "version", tapeout_version());
    tp_buffer_append_text(json, ",\"build\":{");
    append_text(json, "type", TAPEOUT_BUILD_TYPE);
    append_text(json, "compiler", COMPILER);
    tp_buffer_append_text(json, "},\"cpu\":{");
    // AVX-512 machines run the AVX2 kernels until there are others.
    const bool has_avx2 = (tp_cpu_machine_flags() & TP_CPU_AVX2) != 0;
    append_text(json, "in_use", (tp_cpu_flags() & TP_CPU_AVX2) != 0 ? "avx2" : "ref");
    tp_buffer_append_text(json, has_avx2 ? ",\"variants\":[\"ref\",\"avx2\"]}"
                                         : ",\"variants\":[\"ref\"]}");
}

static void append_machine(tp_buffer *json, tapeout_context *context)
{
    const tp_machine_memory memory = tp_machine_memory_read();
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    tp_json_put_u64(json, "processors", processors > 0 ? (uint64_t)processors : 0);
    tp_json_put_u64(json, "threads", tp_pool_worker_count(tp_context_env(context)->pool));
    tp_buffer_append_text(json, ",\"memory\":{");
    tp_json_put_u64(json, "total_bytes", memory.total_bytes);
    tp_json_put_u64(json, "available_bytes", memory.available_bytes);
    tp_buffer_append_char(json, '}');
    append_text(json, "home", tp_context_home(context));
}

// -- the checks ----------------------------------------------------------------------------------

typedef struct doctor {
    tapeout_context *context;
    tp_buffer *json;
    bool is_broken;
    bool has_check;
} doctor;

typedef enum check_state { CHECK_OK, CHECK_MISSING, CHECK_BROKEN } check_state;

static void add_check(doctor *self, const char *name, check_state state, const char *words)
{
    static const char *const states[] = {"ok", "missing", "broken"};
    tp_buffer_append_text(self->json, self->has_check ? ",{" : "{");
    append_text(self->json, "name", name);
    append_text(self->json, "state", states[state]);
    append_text(self->json, "words", words);
    tp_buffer_append_char(self->json, '}');
    self->has_check = true;
    self->is_broken = self->is_broken || state == CHECK_BROKEN;
}

// The nearest folder above `path` that exists, in place.
static void climb_to_existing(char *path)
{
    struct stat about;
    while (stat(path, &about) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            path[0] = '.';
            path[1] = '\0';
            return;
        }
        slash[slash == path ? 1 : 0] = '\0';
        if (slash == path) {
            return;
        }
    }
}

static void check_home(doctor *self)
{
    const char *home = tp_context_home(self->context);
    char path[TP_MAX_PATH_BYTES];
    char words[TP_MAX_PATH_BYTES + 128];
    if (strlen(home) >= sizeof(path)) {
        add_check(self, "home", CHECK_BROKEN, "the path is too long; choose another with --home");
        return;
    }
    memcpy(path, home, strlen(home) + 1);
    climb_to_existing(path);
    const bool exists = strcmp(path, home) == 0;
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
        (void)snprintf(words, sizeof(words), "%s is not a directory; choose another with --home",
                       path);
        add_check(self, "home", CHECK_BROKEN, words);
    } else if (access(path, W_OK | X_OK) != 0) {
        (void)snprintf(words, sizeof(words), "%s cannot be written; choose another with --home",
                       path);
        add_check(self, "home", CHECK_BROKEN, words);
    } else {
        (void)snprintf(words, sizeof(words), "%s, %s", home,
                       exists ? "ready" : "made when it is needed");
        add_check(self, "home", CHECK_OK, words);
    }
}

static void check_registry(doctor *self)
{
    char *list = NULL;
    tapeout_error err;
    if (tapeout_registry_list(self->context, &list, &err) == TAPEOUT_OK) {
        add_check(self, "registry", CHECK_OK, "can be read");
    } else {
        add_check(self, "registry", CHECK_BROKEN, err.message);
    }
    tapeout_text_free(self->context, list);
}

static void check_duckdb(doctor *self)
{
    char version[64];
    char words[128];
    tapeout_error err;
    if (tp_sql_probe(tp_context_env(self->context)->alloc, tp_context_duckdb(self->context),
                     version, sizeof(version), &err) == TAPEOUT_OK) {
        (void)snprintf(words, sizeof(words), "DuckDB %s: queries and Parquet work", version);
        add_check(self, "duckdb", CHECK_OK, words);
    } else {
        add_check(self, "duckdb", CHECK_MISSING, err.message);
    }
}

static void check_zones(doctor *self)
{
    if (access(zone_file, R_OK) == 0) {
        add_check(self, "time_zones", CHECK_OK, "/usr/share/zoneinfo");
    } else {
        add_check(self, "time_zones", CHECK_MISSING,
                  "/usr/share/zoneinfo has no zones, so features that name one fail; install the "
                  "package tzdata");
    }
}

static void check_sandbox(doctor *self)
{
    const tp_sandbox_offer offer = tp_sandbox_probe();
    char words[192];
    if (!offer.has_seccomp) {
        add_check(self, "sandbox", CHECK_MISSING,
                  "the kernel has no seccomp filters: import and serve --airgap refuse to run");
        return;
    }
    if (offer.landlock_abi == 0) {
        add_check(self, "sandbox", CHECK_MISSING,
                  "seccomp; no Landlock: an importer can call nobody and start nothing, but may "
                  "read what you may");
        return;
    }
    (void)snprintf(words, sizeof(words), "seccomp, and Landlock %u, %s", offer.landlock_abi,
                   offer.landlock_abi >= 4 ? "with rules for TCP" : "for files alone");
    add_check(self, "sandbox", CHECK_OK, words);
}

static void check_cpu(doctor *self)
{
    if ((tp_cpu_flags() & TP_CPU_AVX2) != 0) {
        add_check(self, "cpu", CHECK_OK, "the AVX2 kernels are in use");
    } else if ((tp_cpu_machine_flags() & TP_CPU_AVX2) != 0) {
        add_check(self, "cpu", CHECK_OK, "TAPEOUT_CPU holds it to the plain kernels");
    } else {
        add_check(self, "cpu", CHECK_MISSING,
                  "the processor lacks AVX2: the plain kernels run, same results, slower");
    }
}

// ------------------------------------------------------------------------------------------------

tapeout_status tapeout_describe_build(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_char(&json, '{');
    append_build(&json);
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "version", ret_json, err);
}

tapeout_status tapeout_doctor(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    doctor self = {.context = context, .json = &json};
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_char(&json, '{');
    append_build(&json);
    append_machine(&json, context);
    tp_buffer_append_text(&json, ",\"checks\":[");
    check_cpu(&self);
    check_home(&self);
    check_registry(&self);
    check_duckdb(&self);
    check_zones(&self);
    check_sandbox(&self);
    tp_buffer_append_text(&json, self.is_broken ? "],\"ok\":false}" : "],\"ok\":true}");
    return tp_text_from_buffer(&json, "doctor", ret_json, err);
}
