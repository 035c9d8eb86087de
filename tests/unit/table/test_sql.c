// SPDX-License-Identifier: Apache-2.0
//
// Queries: what comes across, how CSV files look inside a query, and everything that a query that
// somebody sent must not be able to do.
#include "base/tp_env.h"
#include "sql_cases.h"
#include "table/sql_priv.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tapeout_status query_in(const char *directory, const char *query, tapeout_table **ret_table,
                               tapeout_error *err)
{
    static const tp_str missing[] = {{"NA", 2}, {"?", 1}};
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    csv.missing = missing;
    csv.missing_count = 2;
    const tp_env env = tp_env_plain();
    const tp_read_options options = {cases_library(), directory, &csv};
    return tp_sql_query(&env, tp_str_from(query), &options, ret_table, err);
}

static tapeout_table *rows_of(const char *directory, const char *query)
{
    tapeout_table *table = NULL;
    ASSERT_OK(query_in(directory, query, &table, &test_err));
    return table;
}

static const char *folder_of_files(void)
{
    const char *directory = test_temp_dir();
    cases_write(cases_path(directory, "a.csv"), "id,day,x,word\n"
                                                "1,2013-01-01,0.5,NA\n"
                                                "2,NA,?,two\n"
                                                "3,2013-01-03,NA,\"th\"\"ree\"\n");
    cases_write(cases_path(directory, "b.tsv"), "id\tz\n1\t10\n3\t30\n3\t31\n");
    cases_write(cases_path(directory, "c.json"), "{\"id\":1,\"s\":\"x\"}\n{\"id\":2,\"s\":null}\n");
    ASSERT_EQ_INT(mkdir(cases_path(directory, "sub"), 0700), 0);
    cases_write(cases_path(directory, "sub/it's.csv"), "id,w\n1,true\n2,false\n");
    return directory;
}

// -- what comes across ---------------------------------------------------------------------------
static void test_types(void)
{
    tapeout_table *table = rows_of(
        test_temp_dir(),
        "SELECT true AS b, 1::TINYINT AS i8, -2::SMALLINT AS i16, 3 AS i32, "
        "(-9223372036854775808)::BIGINT AS i64, 200::UTINYINT AS u8, 4294967295::UINTEGER AS u32, "
        "5::UBIGINT AS u64, 18446744073709551615::UBIGINT AS big, "
        "(-170141183460469231731687303715884105728)::HUGEINT AS huge, sum(7) AS total, "
        "0.1::FLOAT AS f32, 0.1::DOUBLE AS f64, 12.34 AS dec, (-0.001)::DECIMAL(38, 3) AS wide, "
        "12345678901234567.89  AS many, "
        "DATE '2013-02-03' AS d, TIMESTAMP '2013-02-03 04:05:06.789' AS t, "
        "TIMESTAMP_S '1969-12-31 23:59:59' AS ts, TIMESTAMP_NS '1969-12-31 23:59:59.999999999' "
        "AS tns, TIMESTAMPTZ '2013-02-03 04:05:06+02' AS tz, 'word' AS w, "
        "'a text of more than twelve bytes' AS long, 'y'::ENUM('x', 'y') AS e, NULL AS n, "
        "NULL::VARCHAR AS nw");
    static const char *const want[][3] = {
        {"b", "bool", "true"},
        {"i8", "int64", "1"},
        {"i16", "int64", "-2"},
        {"i32", "int64", "3"},
        {"i64", "int64", "-9223372036854775808"},
        {"u8", "int64", "200"},
        {"u32", "int64", "4294967295"},
        {"u64", "int64", "5"},
        {"big", "float64", "18446744073709552000"},
        {"huge", "float64", "-1.7014118346046923e+38"},
        {"total", "int64", "7"},
        {"f32", "float64", "0.10000000149011612"},
        {"f64", "float64", "0.1"},
        {"dec", "float64", "12.34"},
        {"wide", "float64", "-0.001"},
        {"many", "float64", "12345678901234568"},
        {"d", "date", "2013-02-03"},
        {"t", "timestamp", "2013-02-03T04:05:06.789"},
        {"ts", "timestamp", "1969-12-31T23:59:59"},
        {"tns", "timestamp", "1969-12-31T23:59:59.999999"},
        {"tz", "timestamptz", "2013-02-03T02:05:06Z"},
        {"w", "string", "word"},
        {"long", "string", "a text of more than twelve bytes"},
        {"e", "string", "y"},
        {"n", "int64", "NULL"},
        {"nw", "string", "NULL"},
    };
    ASSERT_EQ_UINT(table->column_count, sizeof(want) / sizeof(want[0]));
    for (uint32_t c = 0; c < table->column_count; c++) {
        ASSERT_EQ_STR(table->columns[c].name.data, want[c][0]);
        ASSERT_EQ_STR(tapeout_type_name(table->columns[c].type), want[c][1]);
        ASSERT_EQ_STR(cases_value(table, want[c][0], 0), want[c][2]);
    }
    tp_table_unref(table);
}

// An unsigned column is float64 only where a value needs it, and then from the first row on.
static void test_wide_integers(void)
{
    tapeout_table *table = rows_of(
        test_temp_dir(), "SELECT i::UBIGINT AS small, (i::UBIGINT + 9223372036854770000::UBIGINT) "
                         "AS large FROM range(10000) r(i)");
    ASSERT_EQ_INT(table->columns[0].type, TAPEOUT_TYPE_INT64);
    ASSERT_EQ_INT(table->columns[0].values.i64[9999], 9999);
    ASSERT_EQ_INT(table->columns[1].type, TAPEOUT_TYPE_FLOAT64);
    ASSERT_EQ_F64(table->columns[1].values.f64[0], 9223372036854770000.0);
    ASSERT_EQ_F64(table->columns[1].values.f64[9999], 9223372036854779999.0);
    tp_table_unref(table);
}

static void test_refused_columns(void)
{
    const char *directory = test_temp_dir();
    tapeout_table *table = NULL;
    static const char *const queries[][2] = {
        {"SELECT [1, 2] AS l", "column \"l\" is of type LIST"},
        {"SELECT {'a': 1} AS s", "column \"s\" is of type STRUCT"},
        {"SELECT TIME '01:02:03' AS c", "column \"c\" is of type TIME;"},
        {"SELECT INTERVAL 1 DAY AS i", "column \"i\" is of type INTERVAL"},
        {"SELECT 'x'::BLOB AS b", "column \"b\" is of type BLOB"},
        {"SELECT MAP {'a': 1} AS m", "column \"m\" is of type MAP"},
        {"SELECT uuid() AS u", "column \"u\" is of type UUID"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        ASSERT_FAILS(query_in(directory, queries[i][0], &table, &test_err), TAPEOUT_E_UNSUPPORTED,
                     queries[i][1]);
    }
    ASSERT_FAILS(query_in(directory, "SELECT 1 AS a, 2 AS a", &table, &test_err), TAPEOUT_E_INVALID,
                 "two columns of the result are named \"a\"");
    ASSERT_FAILS(query_in(directory, "SELECT 'infinity'::TIMESTAMP AS t", &table, &test_err),
                 TAPEOUT_E_DATA, "column \"t\", row 1");
    ASSERT_FAILS(query_in(directory, "SELECT '-infinity'::DATE AS d", &table, &test_err),
                 TAPEOUT_E_DATA, "column \"d\", row 1");
    ASSERT(table == NULL);
}

// -- files ---------------------------------------------------------------------------------------
// A CSV file in a query has the types and the missing values that it has by itself.
static void test_csv_as_by_itself(void)
{
    const char *directory = folder_of_files();
    static const tp_str missing[] = {{"NA", 2}, {"?", 1}};
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    csv.missing = missing;
    csv.missing_count = 2;
    const tp_env env = tp_env_plain();
    tapeout_table *want = NULL;
    ASSERT_OK(tp_csv_read(&env, cases_path(directory, "a.csv"), &csv, &want, &test_err));
    ASSERT_EQ_INT(tp_table_find(want, TP_STR("x"))->type, TAPEOUT_TYPE_FLOAT64);
    static const char *const queries[] = {
        "SELECT * FROM 'a.csv'",
        "FROM \"a.csv\"",
        "FROM './a.csv'",
        "FROM read_csv('a.csv')",
        "FROM read_csv_auto('a.csv')",
        "WITH t AS (SELECT * FROM 'a.csv') SELECT * FROM t",
        "SELECT * FROM 'sub/../a.csv'",
        "(SELECT * FROM 'a.csv')",
        "/* one */ SELECT * FROM 'a.csv' -- two",
        "SELECT * FROM 'a.csv';",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        tapeout_table *got = rows_of(directory, queries[i]);
        cases_assert_same(got, want);
        tp_table_unref(got);
    }
    char absolute[5000];
    (void)snprintf(absolute, sizeof(absolute), "FROM '%s/a.csv'", directory);
    tapeout_table *got = rows_of(directory, absolute);
    cases_assert_same(got, want);
    tp_table_unref(got);
    tp_table_unref(want);
}

// More rows than a vector of DuckDB's, and a last one that is not full.
static void test_long_csv(void)
{
    const char *directory = test_temp_dir();
    FILE *file = fopen(cases_path(directory, "long.csv"), "w");
    ASSERT(file != NULL);
    (void)fprintf(file, "i,f,b,d,t,z,s\n");
    for (int i = 0; i < 5003; i++) {
        if (i % 7 == 3) {
            (void)fprintf(file, ",,,,,,\n");
        } else {
            (void)fprintf(file,
                          "%d,%d.25,%s,2013-01-%02d,2013-01-01 00:%02d:00,"
                          "2013-01-01T00:00:%02dZ,word %d of many\n",
                          i, i, i % 2 == 0 ? "true" : "false", i % 28 + 1, i % 60, i % 60, i % 900);
        }
    }
    ASSERT_EQ_INT(fclose(file), 0);
    const tp_env env = tp_env_plain();
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *want = NULL;
    ASSERT_OK(tp_csv_read(&env, cases_path(directory, "long.csv"), &csv, &want, &test_err));
    tapeout_table *got = rows_of(directory, "FROM 'long.csv'");
    cases_assert_same(got, want);
    tp_table_unref(got);
    tp_table_unref(want);
}

static void test_join(void)
{
    const char *directory = folder_of_files();
    static const char query[] =
        "SELECT a.id, z, s, w FROM 'a.csv' a LEFT JOIN 'b.tsv' USING (id) "
        "LEFT JOIN 'c.json' c USING (id) LEFT JOIN 'sub/it''s.csv' USING (id) ORDER BY a.id, z";
    tapeout_table *table = rows_of(directory, query);
    ASSERT_EQ_UINT(table->row_count, 4);
    ASSERT_EQ_STR(cases_value(table, "z", 0), "10");
    ASSERT_EQ_STR(cases_value(table, "z", 1), "NULL");
    ASSERT_EQ_STR(cases_value(table, "z", 3), "31");
    ASSERT_EQ_STR(cases_value(table, "s", 0), "x");
    ASSERT_EQ_STR(cases_value(table, "w", 1), "false");
    tp_table_unref(table);
}

// One thread, insertion order kept, random() seeded: the same rows in the same order.
static void test_same_twice(void)
{
    const char *directory = folder_of_files();
    static const char query[] = "SELECT a.i AS i, b.i AS j, random() AS r FROM range(20000) a(i) "
                                "JOIN range(0, 40000, 3) b(i) ON a.i % 5000 = b.i % 4999 "
                                "JOIN 'a.csv' c ON a.i % 3 + 1 = c.id";
    tapeout_table *first = rows_of(directory, query);
    tapeout_table *second = rows_of(directory, query);
    ASSERT(first->row_count > 10000);
    cases_assert_same(second, first);
    tp_table_unref(first);
    tp_table_unref(second);
}

// Two passes over one table, at once and one behind the other.
static void test_self_join(void)
{
    const char *directory = folder_of_files();
    tapeout_table *table = rows_of(
        directory, "SELECT a.id AS i, b.id AS j FROM 'a.csv' a, 'a.csv' b WHERE a.id <> b.id "
                   "UNION ALL SELECT id, 0 FROM 'a.csv' ORDER BY i, j");
    ASSERT_EQ_UINT(table->row_count, 9);
    ASSERT_EQ_STR(cases_value(table, "j", 0), "0");
    ASSERT_EQ_STR(cases_value(table, "j", 8), "2");
    tp_table_unref(table);
    table = rows_of(directory, "SELECT count(*) AS n FROM 'a.csv'"); // rows without a column
    ASSERT_EQ_STR(cases_value(table, "n", 0), "3");
    tp_table_unref(table);
}

// A type said in the spec is for every CSV file that has the column, and some file must have it.
static void test_types_said(void)
{
    const char *directory = folder_of_files();
    const tp_env env = tp_env_plain();
    const tp_field types[] = {{{"z", 1}, TAPEOUT_TYPE_STRING}, {{"nowhere", 7}, TAPEOUT_TYPE_BOOL}};
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    csv.types = types;
    csv.type_count = 1;
    const tp_read_options options = {cases_library(), directory, &csv};
    const tp_str query = TP_STR("SELECT z FROM 'b.tsv' JOIN 'sub/it''s.csv' USING (id)");
    tapeout_table *table = NULL;
    ASSERT_OK(tp_sql_query(&env, query, &options, &table, &test_err));
    ASSERT_EQ_INT(table->columns[0].type, TAPEOUT_TYPE_STRING);
    tp_table_unref(table);
    csv.type_count = 2;
    ASSERT_FAILS(tp_sql_query(&env, query, &options, &table, &test_err), TAPEOUT_E_INVALID,
                 "\"nowhere\", which no CSV file");
}

static void test_no_rows(void)
{
    const char *directory = folder_of_files();
    tapeout_table *table = rows_of(directory, "SELECT * FROM 'a.csv' WHERE id > 100");
    ASSERT_EQ_UINT(table->row_count, 0);
    ASSERT_EQ_UINT(table->column_count, 4);
    ASSERT_EQ_INT(table->columns[1].type, TAPEOUT_TYPE_DATE);
    tp_table_unref(table);
}

// -- mistakes ------------------------------------------------------------------------------------
static void test_mistakes(void)
{
    const char *directory = folder_of_files();
    cases_write(cases_path(directory, "bad.csv"), "a,b\n1,2\n3\n");
    cases_write(cases_path(directory, "packed.csv.gz"), "x");
    static const struct {
        const char *query;
        tapeout_status status;
        const char *part;
    } cases[] = {
        {"SELEC 1", TAPEOUT_E_DENIED, "must be one SELECT"},
        {"", TAPEOUT_E_INVALID, "empty"},
        {"-- nothing", TAPEOUT_E_INVALID, "empty"},
        {"SELECT 1; SELECT 2", TAPEOUT_E_INVALID, "has 2 statements"},
        {"SELECT * FROM 'x.csv'", TAPEOUT_E_NOT_FOUND, "no file \"x.csv\" in"},
        {"SELECT *\nFROM 'a.csv'\nWHERE idd = 1", TAPEOUT_E_INVALID, "line 3 of the query"},
        {"SELECT idd FROM 'a.csv'", TAPEOUT_E_INVALID, "id"},
        {"SELECT * FROM 'bad.csv'", TAPEOUT_E_DATA, "bad.csv:3"},
        {"SELECT * FROM 'packed.csv.gz'", TAPEOUT_E_UNSUPPORTED, "unpack it"},
        {"SELECT word::INT FROM 'a.csv'", TAPEOUT_E_DATA, "two"},
        {"SELECT $1", TAPEOUT_E_INVALID, "parameter"},
        {"SELECT 'open", TAPEOUT_E_INVALID, "sql: "},
    };
    tapeout_table *table = NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ASSERT_FAILS(query_in(directory, cases[i].query, &table, &test_err), cases[i].status,
                     cases[i].part);
        ASSERT(table == NULL);
    }
    ASSERT_FAILS(query_in(cases_path(directory, "none"), "SELECT 1", &table, &test_err),
                 TAPEOUT_E_NOT_FOUND, "none");
}

static void test_no_library(void)
{
    const tp_env env = tp_env_plain();
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *table = NULL;
    const char *directory = test_temp_dir();
    tp_read_options options = {cases_path(directory, "libduckdb.so"), directory, &csv};
    ASSERT_FAILS(tp_sql_query(&env, TP_STR("SELECT 1"), &options, &table, &test_err),
                 TAPEOUT_E_UNAVAILABLE, "make setup");
    options.duckdb_library = cases_path(directory, "no.so");
    ASSERT_FAILS(tp_parquet_read(&env, directory, &options, &table, &test_err),
                 TAPEOUT_E_UNAVAILABLE, "no.so");
    // A library, but not this one.
    options.duckdb_library = "libm.so.6";
    ASSERT_FAILS(tp_sql_query(&env, TP_STR("SELECT 1"), &options, &table, &test_err),
                 TAPEOUT_E_UNAVAILABLE, "lacks duckdb_");
    char version[8] = "";
    ASSERT_FAILS(tp_sql_probe(env.alloc, "libm.so.6", version, sizeof(version), &test_err),
                 TAPEOUT_E_UNAVAILABLE, "lacks duckdb_");
    ASSERT_OK(tp_sql_probe(env.alloc, cases_library(), version, sizeof(version), &test_err));
    ASSERT_EQ_INT(version[0], 'v');
    ASSERT(strlen(version) < sizeof(version));
}

// -- what a query must not do --------------------------------------------------------------------
static const char *const forbidden[] = {
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM system.main.read_csv('/etc/passwd')",
    "SELECT * FROM system.main.read_csv('a.csv')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('*')",
    "SELECT * FROM '*.csv'",
    "SELECT * FROM '../secret.csv'",
    "SELECT * FROM '../secret.json'",
    "SELECT * FROM read_json('../secret.json')",
    "SELECT * FROM system.main.read_json_auto('../' || 'secret.json')",
    "SELECT * FROM '..%2fsecret.csv'",
    "SELECT * FROM 'file:///etc/passwd'",
    "SELECT * FROM 'file:secret.csv'",
    "SELECT * FROM 'passwd.csv'",
    "SELECT * FROM 'link.json'",
    "SELECT * FROM read_json('link' || '.json')",
    "SELECT * FROM 'pipe.csv'",
    "SELECT * FROM 'http://127.0.0.1:9/x.csv'",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "COPY (SELECT 1) TO 'out.csv'",
    "COPY (SELECT 1) TO '/tmp/out.csv'",
    "ATTACH 'x.db'",
    "PRAGMA database_list",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 4",
    "RESET lock_configuration",
    "CREATE TABLE t AS SELECT 1",
    "CALL enable_logging()",
    "SELECT * FROM enable_logging('QueryLog', storage='file', storage_path='log')",
    "SELECT * FROM enable_logging(storage='stdout')",
    "SELECT write_log('x')",
    "SELECT * FROM arrow_scan(0::POINTER, 0::POINTER, 0::POINTER)",
    "SELECT * FROM system.main.\"query\"('SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''out.csv''')",
    "SELECT * FROM query('SET threads = 4')",
    "WITH x AS (SELECT 1) INSERT INTO \"a.csv\" SELECT 5",
    "SELECT 1; COPY (SELECT 1) TO 'out.csv'",
    "EXPLAIN ANALYZE SELECT 1",
};

static void test_confined(void)
{
    const char *outside = test_temp_dir();
    char directory[4200];
    (void)snprintf(directory, sizeof(directory), "%s/spec", outside);
    ASSERT_EQ_INT(mkdir(directory, 0700), 0);
    cases_write(cases_path(outside, "secret.csv"), "s\n1\n");
    cases_write(cases_path(outside, "secret.json"), "{\"s\":1}\n");
    cases_write(cases_path(directory, "a.csv"), "id\n1\n");
    cases_write(cases_path(directory, "a.json"), "{\"id\":1}\n");
    ASSERT_EQ_INT(symlink("/etc/passwd", cases_path(directory, "passwd.csv")), 0);
    ASSERT_EQ_INT(symlink("../secret.json", cases_path(directory, "link.json")), 0);
    ASSERT_EQ_INT(symlink("a.csv", cases_path(directory, "inside.csv")), 0);
    ASSERT_EQ_INT(mkfifo(cases_path(directory, "pipe.csv"), 0600), 0);
    tapeout_table *table = NULL;
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        tapeout_error err = {0};
        const tapeout_status status = query_in(directory, forbidden[i], &table, &err);
        if (status == TAPEOUT_OK) {
            test_fail(__FILE__, __LINE__, "ran: %s", forbidden[i]);
        }
        // A fault of ours or of the machine would be no refusal.
        if (status != TAPEOUT_E_DENIED && status != TAPEOUT_E_INVALID &&
            status != TAPEOUT_E_NOT_FOUND && status != TAPEOUT_E_DATA) {
            test_fail(__FILE__, __LINE__, "%s: %s", forbidden[i], err.message);
        }
        ASSERT(err.message[0] != '\0');
        ASSERT(table == NULL);
    }
    ASSERT(access(cases_path(directory, "out.csv"), F_OK) != 0);
    ASSERT(access(cases_path(directory, "log"), F_OK) != 0);
    ASSERT(access("out.csv", F_OK) != 0);
    ASSERT_FAILS(query_in(directory, "SELECT * FROM 'passwd.csv'", &table, &test_err),
                 TAPEOUT_E_DENIED, "lies outside");
    tapeout_table *inside = rows_of(directory, "SELECT * FROM 'inside.csv'");
    ASSERT_EQ_UINT(inside->row_count, 1);
    tp_table_unref(inside);
}

static void test_settings(void)
{
    tapeout_table *table = rows_of(
        test_temp_dir(),
        "SELECT current_setting('threads') AS threads, current_setting('TimeZone') AS zone, "
        "current_setting('lock_configuration')::VARCHAR AS locked, "
        "current_setting('enable_external_access')::VARCHAR AS outside, "
        "current_setting('autoload_known_extensions')::VARCHAR AS autoload, "
        "current_setting('autoinstall_known_extensions')::VARCHAR AS autoinstall, "
        "current_setting('preserve_insertion_order')::VARCHAR AS kept");
    ASSERT_EQ_STR(cases_value(table, "threads", 0), "1");
    ASSERT_EQ_STR(cases_value(table, "zone", 0), "UTC");
    ASSERT_EQ_STR(cases_value(table, "locked", 0), "true");
    ASSERT_EQ_STR(cases_value(table, "outside", 0), "false");
    ASSERT_EQ_STR(cases_value(table, "autoload", 0), "false");
    ASSERT_EQ_STR(cases_value(table, "autoinstall", 0), "false");
    ASSERT_EQ_STR(cases_value(table, "kept", 0), "true");
    tp_table_unref(table);
}

// -- cancelling and memory -----------------------------------------------------------------------
static void cancel_at_once(void *user, const char *phase, double fraction)
{
    (void)phase;
    (void)fraction;
    atomic_store((atomic_bool *)user, true);
}

static void test_cancelled(void)
{
    atomic_bool cancelled = false;
    tp_env env = tp_env_plain();
    env.cancelled = &cancelled;
    env.progress = cancel_at_once;
    env.progress_user = &cancelled;
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *table = NULL;
    // Would run for hours.
    static const char query[] =
        "SELECT sum(a.i * b.i) AS s FROM range(1000000000) a(i), range(1000000) b(i)";
    const tp_read_options options = {cases_library(), test_temp_dir(), &csv};
    ASSERT_FAILS(tp_sql_query(&env, TP_STR(query), &options, &table, &test_err),
                 TAPEOUT_E_CANCELLED, NULL);
    ASSERT(table == NULL);
}

static tapeout_status small_query(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *table = NULL;
    const tp_read_options options = {cases_library(), user, &csv};
    const tapeout_status status =
        tp_sql_query(&env, TP_STR("SELECT *, 'x'::ENUM('x', 'y') AS e, 1.5 AS d FROM 'a.csv'"),
                     &options, &table, err);
    ASSERT_EQ_INT(status == TAPEOUT_OK, table != NULL);
    tp_table_unref(table);
    return status;
}

static void test_out_of_memory_query(void)
{
    char directory[4200];
    (void)snprintf(directory, sizeof(directory), "%s", folder_of_files());
    (void)cases_library();
    test_out_of_memory(small_query, directory);
}

// -- the example of the design -------------------------------------------------------------------
static void test_flights(void)
{
    char directory[4200];
    (void)snprintf(directory, sizeof(directory), "%s/.deps/data", test_source_dir());
    if (access(cases_path(directory, "flights.csv"), R_OK) != 0 ||
        access(cases_path(directory, "weather.csv"), R_OK) != 0) {
        test_skip("no flights: make setup fetches them");
    }
    tapeout_table *table = rows_of(
        directory, "SELECT f.*, (f.arr_delay > 15)::INT AS late, w.temp, w.wind_speed, w.visib "
                   "FROM 'flights.csv' f LEFT JOIN 'weather.csv' w USING (origin, time_hour) "
                   "WHERE f.arr_delay IS NOT NULL");
    ASSERT_EQ_UINT(table->row_count, 327346);
    const tp_column *late = tp_table_find(table, TP_STR("late"));
    const tp_column *hour = tp_table_find(table, TP_STR("time_hour"));
    const tp_column *temp = tp_table_find(table, TP_STR("temp"));
    ASSERT(late != NULL && hour != NULL && temp != NULL);
    ASSERT_EQ_INT(late->type, TAPEOUT_TYPE_INT64);
    ASSERT_EQ_INT(temp->type, TAPEOUT_TYPE_FLOAT64);
    ASSERT_EQ_INT(hour->type, TAPEOUT_TYPE_TIMESTAMP_TZ);
    int64_t count = 0;
    for (uint64_t row = 0; row < late->row_count; row++) {
        count += late->values.i64[row];
    }
    ASSERT_EQ_INT(count, 77630);
    tp_table_unref(table);
}

TEST_MAIN(TEST(test_types), TEST(test_wide_integers), TEST(test_refused_columns),
          TEST(test_csv_as_by_itself), TEST(test_long_csv), TEST(test_join), TEST(test_same_twice),
          TEST(test_self_join), TEST(test_types_said), TEST(test_no_rows), TEST(test_mistakes),
          TEST(test_no_library), TEST(test_confined), TEST(test_settings), TEST(test_cancelled),
          TEST_SLOW(test_out_of_memory_query, 180), TEST(test_flights))
