// SPDX-License-Identifier: Apache-2.0
//
// Names of artifacts are refused by what they would mean to anybody who reads them: as they are,
// and as they would be were they decoded again by the next in line. A name that still changes after
// MAX_DECODINGS was made to deceive.
#include "registry/mlflow_path.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"

#include <string.h>

enum { MAX_DECODINGS = 4 };

// NULL, or what is wrong with it.
static const char *find_fault(tp_str path)
{
    if (path.size == 0) {
        return "it is empty";
    }
    for (size_t i = 0; i < path.size; i++) {
        const unsigned char c = (unsigned char)path.data[i];
        if (c < 0x20 || c == 0x7f || c == '\\' || c == '#' || c == '?') {
            return "backslashes, '#', '?' and control characters are not allowed";
        }
        if (c == ':' && memchr(path.data, '/', i) == NULL) {
            return "it begins like a drive or a scheme; ':' may stand behind a folder";
        }
    }
    for (size_t begin = 0; begin <= path.size;) {
        const char *slash =
            begin == path.size ? NULL : memchr(path.data + begin, '/', path.size - begin);
        const size_t end = slash == NULL ? path.size : (size_t)(slash - path.data);
        const tp_str part = {path.data + begin, end - begin};
        if (part.size == 0) {
            return "a part of it is empty; it neither begins nor ends with '/'";
        }
        if (tp_str_equal(part, TP_STR(".")) || tp_str_equal(part, TP_STR(".."))) {
            return "'.' and '..' are no names";
        }
        begin = end + 1;
    }
    return tp_utf8_check(path, NULL) ? NULL : "it is no UTF-8";
}

// Decodes every %XX in place; whether there was one.
static bool decode(char *text, size_t *size)
{
    size_t to = 0;
    for (size_t i = 0; i < *size; i++, to++) {
        text[to] = text[i];
        if (text[i] != '%' || *size - i < 3) {
            continue;
        }
        const int byte = tp_hex_byte(text + i + 1);
        if (byte >= 0) {
            text[to] = (char)byte;
            i += 2;
        }
    }
    const bool has_changed = to != *size;
    *size = to;
    return has_changed;
}

tapeout_status tp_mlflow_path_check(tp_str path, tapeout_error *err)
{
    char text[TP_MAX_MLFLOW_PATH_BYTES];
    if (path.size > sizeof(text)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "artifact path of %zu bytes, at most %zu", path.size,
                       sizeof(text));
    }
    if (path.size > 0) {
        memcpy(text, path.data, path.size);
    }
    size_t size = path.size;
    for (int round = 0; round <= MAX_DECODINGS; round++) {
        const char *fault = find_fault((tp_str){text, size});
        if (fault != NULL) {
            return tp_fail(err, TAPEOUT_E_INVALID, "artifact path \"%.*s\"%s: %s",
                           TP_STR_ARGS(path), round == 0 ? "" : ", decoded once more", fault);
        }
        if (!decode(text, &size)) {
            return TAPEOUT_OK;
        }
    }
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "artifact path \"%.*s\": it is percent-encoded more than %d times",
                   TP_STR_ARGS(path), MAX_DECODINGS);
}

void tp_mlflow_path_split(tp_str path, tp_str *ret_folder, tp_str *ret_name)
{
    size_t begin = path.size;
    while (begin > 0 && path.data[begin - 1] != '/') {
        begin--;
    }
    *ret_folder = (tp_str){path.data, begin == 0 ? 0 : begin - 1};
    *ret_name = (tp_str){path.data + begin, path.size - begin};
}
