// SPDX-License-Identifier: Apache-2.0
//
// Files that are one user's: secrets, which nobody else may read, and lists that decide who is
// trusted, which nobody else may write.
#ifndef TP_PRIVATE_FILE_H
#define TP_PRIVATE_FILE_H

#include "base/tp_str.h"

#include <tapeout/status.h>

// A new file with these bytes that its owner alone may write, and read unless `may_be_read`; on
// disk when it returns OK, there whole or not at all. Its folder is made with the same rights where
// it is not there. E_EXISTS where `path` is: it is not touched.
tapeout_status tp_private_file_make(const char *path, tp_str data, bool may_be_read,
                                    tapeout_error *err);

// E_DENIED where others than its owner may read or write the file; with `may_be_read` only writing
// counts. E_NOT_FOUND.
tapeout_status tp_private_file_check(const char *path, bool may_be_read, tapeout_error *err);

#endif
