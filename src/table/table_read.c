// SPDX-License-Identifier: Apache-2.0
//
// The reader that picks by a file's name.
#include "table/tp_table.h"

tapeout_status tp_table_read(const tp_env *env, const char *path, const tp_read_options *options,
                             tapeout_table **ret_table, tapeout_error *err)
{
    static const char suffix[] = ".parquet";
    const tp_str name = tp_str_from(path);
    const size_t size = sizeof(suffix) - 1;
    if (name.size > size && tp_str_equal_ignore_case((tp_str){name.data + name.size - size, size},
                                                     TP_STR(".parquet"))) {
        return tp_parquet_read(env, path, options, ret_table, err);
    }
    return tp_csv_read(env, path, options->csv, ret_table, err);
}
