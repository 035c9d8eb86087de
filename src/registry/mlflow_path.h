// SPDX-License-Identifier: Apache-2.0
//
// The name of an artifact: folders and a file, joined by "/". It is a key of a table and never a
// path of a file system, but clients make paths of it on their disks, so whatever could lead out of
// a folder there is refused here.
#ifndef MLFLOW_PATH_H
#define MLFLOW_PATH_H

#include "base/tp_str.h"

#include <tapeout/status.h>

// E_INVALID with the reason for an absolute or empty path, "." and ".." and empty parts, a
// backslash, control characters, "?" and "#", a drive or scheme in front, bytes that are no UTF-8,
// more than TP_MAX_MLFLOW_PATH_BYTES; and for a path that is one of these once more
// percent-decoded, however often.
tapeout_status tp_mlflow_path_check(tp_str path, tapeout_error *err);

// Splits at the last "/": the folder ("" at the top) and the name in it.
void tp_mlflow_path_split(tp_str path, tp_str *ret_folder, tp_str *ret_name);

#endif
