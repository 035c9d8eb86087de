// SPDX-License-Identifier: Apache-2.0
//
// What a model file is, by its content.
#include "import/tp_import.h"

#include "base/tp_file.h"
#include "import/protobuf_priv.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// An object whose first key has a length in front: no JSON.
static bool is_ubjson(tp_str bytes)
{
    return bytes.size >= 2 && bytes.data[0] == '{' && memchr("LlIiU#", bytes.data[1], 6) != NULL;
}

static bool is_json(tp_str bytes)
{
    size_t at = 0;
    while (at < bytes.size && is_space(bytes.data[at])) {
        at++;
    }
    if (at == bytes.size || bytes.data[at] != '{') {
        return false;
    }
    for (at++; at < bytes.size && is_space(bytes.data[at]);) {
        at++;
    }
    return at < bytes.size && bytes.data[at] == '"';
}

static bool is_lightgbm(tp_str bytes)
{
    return tp_str_has_prefix(bytes, TP_STR("tree\n")) ||
           tp_str_has_prefix(bytes, TP_STR("tree\r\n"));
}

// A ModelProto from front to back: ir_version first, and a graph.
static bool is_onnx(tp_str bytes)
{
    tp_cursor cursor;
    tp_protobuf_field field;
    bool has_graph = false;
    bool any = bytes.size > 0 && bytes.data[0] == 0x08;
    tp_cursor_init(&cursor, bytes.data, bytes.size);
    while (any) {
        if (tp_protobuf_next(&cursor, &field, &any, NULL) != TAPEOUT_OK) {
            return false;
        }
        has_graph = has_graph || (any && field.number == 7 && field.wire == TP_PROTOBUF_BYTES);
    }
    return has_graph;
}

tp_import_kind tp_import_recognise(tp_str bytes)
{
    if (is_ubjson(bytes) || is_json(bytes)) {
        return TP_IMPORT_XGBOOST;
    }
    if (is_lightgbm(bytes)) {
        return TP_IMPORT_LIGHTGBM;
    }
    return is_onnx(bytes) ? TP_IMPORT_ONNX : TP_IMPORT_UNKNOWN;
}

bool tp_import_is_model(const char *path)
{
    tp_map map;
    if (tp_map_open(path, &map, NULL) != TAPEOUT_OK) {
        return false;
    }
    const tp_import_kind kind = tp_import_recognise((tp_str){(const char *)map.data, map.size});
    tp_map_close(&map);
    return kind != TP_IMPORT_UNKNOWN;
}

const char *tp_import_kind_name(tp_import_kind kind)
{
    switch (kind) {
    case TP_IMPORT_XGBOOST:
        return "xgboost";
    case TP_IMPORT_LIGHTGBM:
        return "lightgbm";
    case TP_IMPORT_ONNX:
        return "onnx";
    case TP_IMPORT_UNKNOWN:
        break;
    }
    return "unknown";
}
