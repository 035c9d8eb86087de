// SPDX-License-Identifier: Apache-2.0
//
// Finds libpq in the system.
#include "registry/postgres_api.h"

#include "base/tp_error.h"
#include "base/tp_library.h"

tapeout_status tp_postgres_load(pg_api *ret_api, tapeout_error *err)
{
    char why[256];
    void *library = tp_library_open("libpq.so.5", why, sizeof(why));
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
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "postgresql: libpq.so.5 lacks %s", missing);
    }
    *ret_api = api;
    return TAPEOUT_OK;
}
