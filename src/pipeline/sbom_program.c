// SPDX-License-Identifier: Apache-2.0
//
// The bill of materials of the program that runs. A library is asked for its version itself, and
// for the file that one of its functions was loaded from, which is hashed: what is listed is what
// runs here, not what somebody meant to link. A function that lies in our own file says that the
// library is built in.
#include "base/limits.h"
#include "base/tp_context.h"
#include "base/tp_curl.h"
#include "base/tp_error.h"
#include "base/tp_library.h"
#include "bundle/tp_bundle.h"
#include "pipeline/sbom_write.h"
#include "registry/tp_store.h"
#include "table/tp_table.h"

#include <llhttp.h>
#include <openssl/crypto.h>
#include <seccomp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <string.h>
#include <tapeout/sbom.h>
#include <utf8proc.h>
#include <uv.h>
#include <yaml.h>
#include <yyjson.h>
#include <zlib.h>

#define TEXT_OF(number) TEXT_OF_EXPANDED(number)
#define TEXT_OF_EXPANDED(number) #number

typedef void (*any_function)(void);

typedef struct part {
    const char *name;
    const char *licence;
    const char *(*version)(void); // NULL: `fixed`
    const char *fixed;
    any_function place; // a function of it
} part;

static const char *openssl_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

static const char *seccomp_library_version(void)
{
    static const char unknown[] = "";
    const struct scmp_version *version = seccomp_version();
    // The headers' own, which Debian keeps in step; the library counts in numbers alone.
    return version->major == SCMP_VER_MAJOR && version->minor == SCMP_VER_MINOR &&
                   version->micro == SCMP_VER_MICRO
               ? TEXT_OF(SCMP_VER_MAJOR) "." TEXT_OF(SCMP_VER_MINOR) "." TEXT_OF(SCMP_VER_MICRO)
               : unknown;
}

static const part parts[] = {
    {"libuv", "MIT", uv_version_string, NULL, (any_function)uv_version_string},
    {"libyaml", "MIT", yaml_get_version_string, NULL, (any_function)yaml_get_version_string},
    {"sqlite", "blessing", sqlite3_libversion, NULL, (any_function)sqlite3_libversion},
    {"openssl", "Apache-2.0", openssl_version, NULL, (any_function)OpenSSL_version},
    {"libsodium", "ISC", sodium_version_string, NULL, (any_function)sodium_version_string},
    {"libseccomp", "LGPL-2.1-only", seccomp_library_version, NULL, (any_function)seccomp_version},
    {"utf8proc", "MIT AND Unicode-3.0", utf8proc_version, NULL, (any_function)utf8proc_version},
    {"zlib", "Zlib", zlibVersion, NULL, (any_function)zlibVersion},
    {"yyjson", "MIT", NULL, YYJSON_VERSION_STRING, (any_function)yyjson_version},
    {"llhttp", "MIT", NULL,
     TEXT_OF(LLHTTP_VERSION_MAJOR) "." TEXT_OF(LLHTTP_VERSION_MINOR) "." TEXT_OF(
         LLHTTP_VERSION_PATCH),
     (any_function)llhttp_init},
};

enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

static tapeout_status hash_file(const char *path, char *ret_hex, tapeout_error *err)
{
    tp_sha256 hash;
    TP_TRY(tp_sha256_file(path, &hash, err));
    tp_sha256_hex(&hash, ret_hex);
    return TAPEOUT_OK;
}

static tapeout_status append_part(tp_buffer *json, const part *item, const char *own_file,
                                  tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1] = "";
    const bool is_found = tp_library_of(item->place, path, sizeof(path));
    const bool is_own = is_found && strcmp(path, own_file) == 0;
    if (is_found && !is_own) {
        TP_TRY(hash_file(path, hex, err));
    }
    const sbom_component component = {
        .type = "library",
        .ref = item->name,
        .name = tp_str_from(item->name),
        .version = tp_str_from(item->version != NULL ? item->version() : item->fixed),
        .licence = item->licence,
        .sha256 = tp_str_from(hex),
        .linkage = is_own ? "static" : "dynamic"};
    tp_buffer_append_text(json, json->data[json->size - 1] == '[' ? "" : ",");
    tp_sbom_component(json, &component);
    return TAPEOUT_OK;
}

// What is looked for while the program runs, and listed only where it is there.
typedef struct guest {
    const char *name;
    const char *licence;
    bool (*about)(char *ret_version, size_t version_size, char *ret_path, size_t path_size);
} guest;

static const guest guests[] = {{"libcurl", "curl", tp_curl_about},
                               {"libpq", "PostgreSQL", tp_postgres_about}};

enum { GUEST_COUNT = sizeof(guests) / sizeof(guests[0]) };

static tapeout_status append_guest(tp_buffer *json, const guest *item, bool *ret_is_there,
                                   tapeout_error *err)
{
    char version[64];
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    *ret_is_there = item->about(version, sizeof(version), path, sizeof(path));
    if (!*ret_is_there) {
        return TAPEOUT_OK;
    }
    TP_TRY(hash_file(path, hex, err));
    const sbom_component component = {.type = "library",
                                      .ref = item->name,
                                      .name = tp_str_from(item->name),
                                      .version = tp_str_from(version),
                                      .licence = item->licence,
                                      .sha256 = tp_str_from(hex),
                                      .linkage = "run time",
                                      .is_optional = true};
    tp_buffer_append_char(json, ',');
    tp_sbom_component(json, &component);
    return TAPEOUT_OK;
}

static bool append_duckdb(tp_buffer *json, tapeout_context *context)
{
    char version[64];
    if (tp_sql_probe(tp_context_env(context)->alloc, tp_context_duckdb(context), version,
                     sizeof(version), NULL) != TAPEOUT_OK) {
        return false;
    }
    const sbom_component component = {.type = "library",
                                      .ref = "duckdb",
                                      .name = TP_STR("duckdb"),
                                      .version = tp_str_from(version),
                                      .licence = "MIT",
                                      .linkage = "run time",
                                      .is_optional = true};
    tp_buffer_append_char(json, ',');
    tp_sbom_component(json, &component);
    return true;
}

static tapeout_status write_program(tp_buffer *json, tapeout_context *context, tapeout_error *err)
{
    char own_file[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    if (!tp_library_of((any_function)tapeout_sbom_program, own_file, sizeof(own_file))) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "the system does not say which file this program is");
    }
    TP_TRY(hash_file(own_file, hex, err));
    const sbom_component self = {.type = "application",
                                 .ref = "tapeout",
                                 .name = TP_STR("tapeout"),
                                 .version = tp_str_from(tapeout_version()),
                                 .licence = "Apache-2.0",
                                 .sha256 = tp_str_from(hex)};
    tp_sbom_begin(json);
    tp_sbom_component(json, &self);
    tp_buffer_append_text(json, "},\"components\":[");
    for (int i = 0; i < PART_COUNT; i++) {
        TP_TRY(append_part(json, &parts[i], own_file, err));
    }
    const bool has_duckdb = append_duckdb(json, context);
    bool has_guest[GUEST_COUNT];
    for (int i = 0; i < GUEST_COUNT; i++) {
        TP_TRY(append_guest(json, &guests[i], &has_guest[i], err));
    }
    tp_buffer_append_text(json,
                          "],\"dependencies\":[{\"ref\":\"tapeout\",\"dependsOn\":[\"libuv\"");
    for (int i = 1; i < PART_COUNT; i++) {
        tp_buffer_printf(json, ",\"%s\"", parts[i].name);
    }
    for (int i = 0; i < GUEST_COUNT; i++) {
        if (has_guest[i]) {
            tp_buffer_printf(json, ",\"%s\"", guests[i].name);
        }
    }
    tp_buffer_append_text(json, has_duckdb ? ",\"duckdb\"]}]}" : "]}]}");
    return TAPEOUT_OK;
}

tapeout_status tapeout_sbom_program(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    const tapeout_status status = write_program(&json, context, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "sbom", ret_json, err);
}
