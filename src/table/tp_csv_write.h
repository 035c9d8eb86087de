// SPDX-License-Identifier: Apache-2.0
//
// Tables as CSV: a header line, LF ends, quotes where a value needs them, missing values as empty
// fields and empty strings as "", so that what is written reads back as it was.
#ifndef TP_CSV_WRITE_H
#define TP_CSV_WRITE_H

#include "table/tp_table.h"

// In pieces of about 64 KiB.
tapeout_status tp_csv_write(const tp_env *env, const tapeout_table *table, tapeout_write_fn write,
                            void *user, tapeout_error *err);

// The file is there whole or not at all.
tapeout_status tp_csv_write_file(const tp_env *env, const char *path, const tapeout_table *table,
                                 tapeout_error *err);

#endif
