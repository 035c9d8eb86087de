// SPDX-License-Identifier: Apache-2.0
//
// The part of libpq that the store uses, as functions found at run time: who keeps the registry in
// SQLite needs no libpq. Names, values and signatures are libpq's, stable since PostgreSQL 9.
#ifndef POSTGRES_API_H
#define POSTGRES_API_H

#include <stddef.h>
#include <tapeout/status.h>

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
typedef unsigned int Oid;
typedef void (*PQnoticeProcessor)(void *user, const char *message);

enum { PG_CONNECTION_OK = 0 };
enum { PGRES_COMMAND_OK = 1, PGRES_TUPLES_OK = 2 };
enum { PG_DIAG_SEVERITY = 'V', PG_DIAG_SQLSTATE = 'C', PG_DIAG_MESSAGE = 'M' };

// Of pg_type.
enum {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_NAME = 19,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_FLOAT4 = 700,
    PG_FLOAT8 = 701,
    PG_VARCHAR = 1043,
    PG_VOID = 2278
};

// X(name, result, parameters)
#define PG_FUNCTION_MAP(X)                                                                         \
    X(connectdbParams, PGconn *,                                                                   \
      (const char *const *keywords, const char *const *values, int expand_dbname))                 \
    X(finish, void, (PGconn * conn))                                                               \
    X(status, int, (const PGconn *conn))                                                           \
    X(errorMessage, char *, (const PGconn *conn))                                                  \
    X(host, char *, (const PGconn *conn))                                                          \
    X(port, char *, (const PGconn *conn))                                                          \
    X(serverVersion, int, (const PGconn *conn))                                                    \
    X(setNoticeProcessor, PQnoticeProcessor,                                                       \
      (PGconn * conn, PQnoticeProcessor processor, void *user))                                    \
    X(exec, PGresult *, (PGconn * conn, const char *sql))                                          \
    X(execParams, PGresult *,                                                                      \
      (PGconn * conn, const char *sql, int count, const Oid *types, const char *const *values,     \
       const int *lengths, const int *formats, int result_format))                                 \
    X(resultStatus, int, (const PGresult *result))                                                 \
    X(resultErrorField, char *, (const PGresult *result, int field))                               \
    X(cmdStatus, char *, (PGresult * result))                                                      \
    X(cmdTuples, char *, (PGresult * result))                                                      \
    X(ntuples, int, (const PGresult *result))                                                      \
    X(nfields, int, (const PGresult *result))                                                      \
    X(ftype, Oid, (const PGresult *result, int column))                                            \
    X(getvalue, char *, (const PGresult *result, int row, int column))                             \
    X(getlength, int, (const PGresult *result, int row, int column))                               \
    X(getisnull, int, (const PGresult *result, int row, int column))                               \
    X(clear, void, (PGresult * result))

typedef struct pg_api {
#define PG_MEMBER(name, result, parameters) result(*name) parameters;
    PG_FUNCTION_MAP(PG_MEMBER)
#undef PG_MEMBER
} pg_api;

// E_UNAVAILABLE where there is no libpq.
tapeout_status tp_postgres_load(pg_api *ret_api, tapeout_error *err);

#endif
