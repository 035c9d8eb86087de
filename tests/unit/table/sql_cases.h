// SPDX-License-Identifier: Apache-2.0
//
// What the tests of SQL and Parquet share: where DuckDB is, files in a folder of their own, and
// whether two tables are the same to the last bit.
#ifndef SQL_CASES_H
#define SQL_CASES_H

#include "table/tp_table.h"

// The libduckdb that set-up fetched or TAPEOUT_DUCKDB names; skips the case where there is none.
const char *cases_library(void);

// `directory`/`name` in one of a few static buffers.
const char *cases_path(const char *directory, const char *name);
void cases_write_bytes(const char *path, const void *data, size_t size);
void cases_write(const char *path, const char *text);
// `*ret_data` is freed with free().
void cases_read(const char *path, char **ret_data, size_t *ret_size);

// Names, types, validity and values; strings by their text, floats by their bits.
void cases_assert_same(const tapeout_table *got, const tapeout_table *want);

// A value as text: "NULL", or as tp_value prints it; in a static buffer.
const char *cases_value(const tapeout_table *table, const char *column, uint64_t row);

#endif
