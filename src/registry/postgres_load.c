// SPDX-License-Identifier: Apache-2.0
//
// Finds libpq in the system.
#include "registry/postgres_api.h"

#include "base/tp_error.h"
#include "base/tp_library.h"
#include "registry/tp_store.h"

#include <stdio.h>

#define LIBRARY "libpq.so.5"

bool tp_postgres_about(char *ret_version, size_t version_size, char *ret_path, size_t path_size)
{
    char why[256];
    int (*version)(void) = NULL;
    void *library = tp_library_open(LIBRARY, why, sizeof(why));
    if (library == NULL || !tp_library_function(library, "PQlibVersion", &version)) {
        return false;
    }
    const int number = version(); // 150014 for 15.14
    (void)snprintf(ret_version, version_size, "%d.%d", number / 10000, number % 10000);
    return tp_library_of((void (*)(void))version, ret_path, path_size);
}

tapeout_status tp_postgres_load(pg_api *ret_api, tapeout_error *err)
{
    char why[256];
    void *library = tp_library_open(LIBRARY, why, sizeof(why));
    if (library == NULL) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "postgresql: its client library does not load (%s); Debian's package is "
                       "libpq5",
                       why);
    }
    pg_api api = {0};
    const char *missing = NULL;
#define RESOLVE(name, result, parameters)                                                          \
    if (missing == NULL && !tp_library_function(library, "PQ" #name, &api.name)) {                 \
        missing = "PQ" #name;                                                                      \
    }
    PG_FUNCTION_MAP(RESOLVE)
#undef RESOLVE
    if (missing != NULL) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "postgresql: " LIBRARY " lacks %s", missing);
    }
    *ret_api = api;
    return TAPEOUT_OK;
}
