// SPDX-License-Identifier: Apache-2.0
//
// Finding libduckdb. A place that somebody named is the only one that counts: falling back to
// another library in silence would run something that the user did not ask for.
#include "table/duckdb_api.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "base/tp_library.h"

#include <stdio.h>
#include <stdlib.h>

static const char how_to_get_it[] =
    "queries and Parquet need DuckDB: `make setup` fetches it in a checkout, or set TAPEOUT_DUCKDB "
    "to the path of a libduckdb.so";

static tapeout_status resolve(void *library, const char *where, duck_api *ret_api,
                              tapeout_error *err)
{
    duck_api api = {0};
    const char *missing = NULL;
#define RESOLVE(name, result, parameters)                                                          \
    if (missing == NULL && !tp_library_function(library, "duckdb_" #name, &api.name)) {            \
        missing = "duckdb_" #name;                                                                 \
    }
    DUCK_FUNCTION_MAP(RESOLVE)
#undef RESOLVE
    if (missing != NULL) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "duckdb: %s lacks %s; DuckDB 1.2 or later is needed", where, missing);
    }
#define RESOLVE_OPTIONAL(name, result, parameters)                                                 \
    (void)tp_library_function(library, "duckdb_" #name, &api.name); // stays NULL
    DUCK_OPTIONAL_FUNCTION_MAP(RESOLVE_OPTIONAL)
#undef RESOLVE_OPTIONAL
    *ret_api = api;
    return TAPEOUT_OK;
}

static tapeout_status load_named(const char *path, duck_api *ret_api, tapeout_error *err)
{
    char why[256];
    void *library = tp_library_open(path, why, sizeof(why));
    if (library == NULL) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "duckdb: the library named by TAPEOUT_DUCKDB or the options does not load "
                       "(%s); %s",
                       why, how_to_get_it);
    }
    return resolve(library, path, ret_api, err);
}

tapeout_status tp_duckdb_load(const char *library_path, duck_api *ret_api, tapeout_error *err)
{
    if (library_path != NULL) {
        return load_named(library_path, ret_api, err);
    }
    const char *named = getenv("TAPEOUT_DUCKDB");
    if (named != NULL && named[0] != '\0') {
        return load_named(named, ret_api, err);
    }
    static const char *const beside[] = {"../lib/tapeout/libduckdb.so",
                                         "../.deps/duckdb/libduckdb.so"};
    char directory[TP_MAX_PATH_BYTES];
    char path[TP_MAX_PATH_BYTES + 64];
    char why[256];
    if (tp_executable_directory(directory, sizeof(directory))) {
        for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
            (void)snprintf(path, sizeof(path), "%s/%s", directory, beside[i]);
            void *library = tp_library_open(path, why, sizeof(why));
            if (library != NULL) {
                return resolve(library, path, ret_api, err);
            }
        }
    }
    void *library = tp_library_open("libduckdb.so", why, sizeof(why));
    if (library != NULL) {
        return resolve(library, "the system's libduckdb.so", ret_api, err);
    }
    return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "duckdb: no libduckdb.so found; %s", how_to_get_it);
}
