// SPDX-License-Identifier: Apache-2.0
//
// How a model is named on a command line, in a URL and in a spec. Names are file names too, so they
// begin with a letter or digit and know no slash, space or leading dot.
#include "base/tp_error.h"
#include "bundle/tp_bundle.h"
#include "registry/registry_priv.h"

#include <string.h>

static size_t find_byte(tp_str text, char byte)
{
    const char *found = text.size == 0 ? NULL : memchr(text.data, byte, text.size);
    return found == NULL ? text.size : (size_t)(found - text.data);
}

static bool is_version(tp_str text, int64_t *ret_version)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false; // no sign, though the parser would take one
        }
    }
    return tp_str_to_int64(text, ret_version) && *ret_version > 0;
}

tapeout_status tp_model_name_parse(tp_str text, model_name *ret_name, tapeout_error *err)
{
    const size_t colon = find_byte(text, ':');
    const size_t at = find_byte(text, '@');
    const size_t end = colon < at ? colon : at;
    model_name result = {.name = {text.data, end}};
    if (!tp_model_name_is_valid(result.name)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" is no name of a model: a letter or digit, then letters, digits, "
                       "'.', '_' and '-', at most %u in all; a path needs a slash",
                       TP_STR_ARGS(text), TP_MAX_MODEL_NAME_BYTES);
    }
    const tp_str rest =
        end == text.size ? (tp_str){"", 0} : (tp_str){text.data + end + 1, text.size - end - 1};
    if (end < text.size && end == colon && !is_version(rest, &result.version)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" in \"%.*s\" is no version: a number from 1 on, as in %.*s:1",
                       TP_STR_ARGS(rest), TP_STR_ARGS(text), TP_STR_ARGS(result.name));
    }
    if (end < text.size && end == at) {
        if (!tp_model_name_is_valid(rest)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "\"%.*s\" in \"%.*s\" is no alias, which is a word such as prod",
                           TP_STR_ARGS(rest), TP_STR_ARGS(text));
        }
        result.alias = rest;
    }
    *ret_name = result;
    return TAPEOUT_OK;
}
