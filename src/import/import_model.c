// SPDX-License-Identifier: Apache-2.0
//
// A model file of another program, from its bytes to a bundle: what it is, the reader of its kind,
// then the parts that any tabular bundle has. The feature program takes each column as the other
// program would see it (docs/features.md: float32, lightgbm), so that what was done to the numbers
// is there to read, and nothing is done elsewhere.
#include "import/import_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "learn/linear/tp_linear.h"
#include "table/tp_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// -- what the readers use ------------------------------------------------------------------------

tapeout_status tp_import_columns_new(tp_import *import, uint64_t count, const char *call,
                                     tapeout_error *err)
{
    if (count < 1 || count > TP_MAX_FEATURE_OUTPUTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: %llu columns; 1 to %u are taken",
                       tp_import_kind_name(import->facts.kind), (unsigned long long)count,
                       TP_MAX_FEATURE_OUTPUTS);
    }
    import->columns = tp_arena_array(&import->arena, (size_t)count, sizeof(*import->columns));
    if (import->columns == NULL) {
        return tp_arena_check(&import->arena, "import", err);
    }
    import->facts.columns = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        import->columns[i].call = call;
        import->columns[i].type = TAPEOUT_TYPE_FLOAT64;
    }
    return TAPEOUT_OK;
}

tp_str tp_import_print(tp_import *import, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return tp_arena_str(&import->arena, tp_str_from(text));
}

static bool is_column(const tp_import *import, tp_str name)
{
    for (uint32_t i = 0; i < import->facts.columns; i++) {
        if (tp_str_equal(import->columns[i].name, name)) {
            return true;
        }
    }
    return false;
}

tapeout_status tp_import_target_set(tp_import *import, tp_task task, uint32_t class_count,
                                    tapeout_error *err)
{
    tp_target *target = &import->target;
    const bool is_class = class_count > 0;
    target->task = task;
    target->type = is_class ? TAPEOUT_TYPE_INT64 : TAPEOUT_TYPE_FLOAT64;
    target->name = tp_import_print(import, "target");
    for (uint32_t i = 1; target->name.data != NULL && is_column(import, target->name); i++) {
        target->name = tp_import_print(import, "target_%u", i);
    }
    tp_str *names = tp_arena_array(&import->arena, class_count + 1, sizeof(*names));
    if (target->name.data == NULL || names == NULL) {
        return tp_arena_check(&import->arena, "import", err);
    }
    for (uint32_t k = 0; k < class_count; k++) {
        names[k] = tp_import_print(import, "%u", k);
        if (names[k].data == NULL) {
            return tp_arena_check(&import->arena, "import", err);
        }
    }
    target->class_names = names;
    target->class_count = class_count;
    target->classes_are_int = is_class;
    import->parts.task = task;
    import->parts.class_count = class_count;
    return TAPEOUT_OK;
}

// -- the feature program -------------------------------------------------------------------------

static tapeout_status check_name(const tp_import *import, uint32_t column, tp_dict *names,
                                 tapeout_error *err)
{
    const char *kind = tp_import_kind_name(import->facts.kind);
    const tp_str name = import->columns[column].name;
    uint32_t index = 0;
    if (name.size == 0 || name.size > TP_MAX_IMPORT_NAME_BYTES || !tp_utf8_check(name, NULL)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "%s: the name of column %u is empty, no UTF-8 or longer than %u bytes", kind,
                       column, TP_MAX_IMPORT_NAME_BYTES);
    }
    for (size_t i = 0; i < name.size; i++) {
        if ((unsigned char)name.data[i] < 0x20) {
            return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                           "%s: the name of column %u holds a control character", kind, column);
        }
    }
    const tapeout_status status = tp_dict_add(names, name, &index);
    if (status != TAPEOUT_OK) {
        return tp_fail_nomem(err);
    }
    return index == column ? TAPEOUT_OK
                           : tp_fail(err, TAPEOUT_E_CORRUPT, "%s: two columns are called \"%.*s\"",
                                     kind, TP_STR_ARGS(name));
}

// A feature is called as its column; one whose name begins with "_" would be no feature.
static void append_feature_name(const tp_import *import, const tp_dict *names, uint32_t column,
                                tp_buffer *text)
{
    const tp_str name = import->columns[column].name;
    if (name.data[0] != '_') {
        tp_feature_append_name(text, name);
        return;
    }
    char own[64];
    uint32_t attempt = column;
    do {
        (void)snprintf(own, sizeof(own), "column%u", attempt);
        attempt += import->facts.columns;
    } while (tp_dict_find(names, tp_str_from(own)) >= 0);
    tp_feature_append_name(text, tp_str_from(own));
}

// Names every column once and, where the reader wrote no program, writes one.
static tapeout_status write_program(tp_import *import, tapeout_error *err)
{
    tp_dict names;
    tp_buffer *text = &import->program_text;
    const bool is_written = text->size > 0;
    tapeout_status status = TAPEOUT_OK;
    tp_dict_init(&names, import->alloc);
    for (uint32_t i = 0; status == TAPEOUT_OK && i < import->facts.columns; i++) {
        status = check_name(import, i, &names, err);
    }
    for (uint32_t i = 0; status == TAPEOUT_OK && !is_written && i < import->facts.columns; i++) {
        append_feature_name(import, &names, i, text);
        tp_buffer_printf(text, " = %s(", import->columns[i].call);
        tp_feature_append_name(text, import->columns[i].name);
        tp_buffer_append_text(text, ")\n");
    }
    tp_dict_deinit(&names);
    return status == TAPEOUT_OK ? tp_buffer_check(text, "import: feature program", err) : status;
}

static tapeout_status make_program(const tp_env *env, tp_import *import, tapeout_error *err)
{
    TP_TRY(write_program(import, err));
    const uint32_t count = import->facts.columns;
    tp_field *fields = tp_arena_array(&import->arena, count, sizeof(*fields));
    if (fields == NULL) {
        return tp_arena_check(&import->arena, "import", err);
    }
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = (tp_field){import->columns[i].name, import->columns[i].type};
    }
    const tp_schema schema = {fields, count};
    TP_TRY(tp_feature_parse(env, tp_buffer_view(&import->program_text), &schema, &import->program,
                            err));
    return tp_import_fit(env, import, err);
}

// -- parsing -------------------------------------------------------------------------------------

static tapeout_status read_bytes(const tp_env *env, tp_str bytes, tp_import *import,
                                 tapeout_error *err)
{
    switch (import->facts.kind) {
    case TP_IMPORT_XGBOOST:
        return tp_xgboost_read(env, bytes, import, err);
    case TP_IMPORT_LIGHTGBM:
        return tp_lightgbm_read(env, bytes, import, err);
    case TP_IMPORT_ONNX:
        return tp_onnx_read(env, bytes, import, err);
    case TP_IMPORT_UNKNOWN:
        break;
    }
    return tp_fail(
        err, TAPEOUT_E_UNSUPPORTED,
        "no model of XGBoost (JSON, UBJSON), LightGBM (text) or ONNX; pickles are never opened");
}

static tapeout_status parse(const tp_env *env, tp_str bytes, tp_import *import, tapeout_error *err)
{
    if (bytes.size > TP_MAX_IMPORT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "import: a model of %zu bytes; at most %zu are taken",
                       bytes.size, (size_t)TP_MAX_IMPORT_BYTES);
    }
    import->facts.kind = tp_import_recognise(bytes);
    TP_TRY(read_bytes(env, bytes, import, err));
    TP_TRY(make_program(env, import, err));
    const tp_model_parts parts = import->parts;
    import->parts = (tp_model_parts){.task = parts.task}; // taken over, whatever comes
    return tp_model_new(env, &parts, &import->model, err);
}

tapeout_status tp_import_parse(const tp_env *env, tp_str bytes, tp_import **ret_import,
                               tapeout_error *err)
{
    tp_import *import = tp_alloc_zero(env->alloc, sizeof(*import));
    if (import == NULL) {
        return tp_fail_nomem(err);
    }
    import->alloc = env->alloc;
    import->parts.foreign = (tp_foreign){TP_LINK_IDENTITY, 1.0, 1.0, 0};
    tp_arena_init(&import->arena, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_init(&import->program_text, env->alloc, TP_MAX_FEATURE_TEXT_BYTES);
    const tapeout_status status = parse(env, bytes, import, err);
    if (status != TAPEOUT_OK) {
        tp_import_free(import);
        return status;
    }
    *ret_import = import;
    return TAPEOUT_OK;
}

void tp_import_free(tp_import *import)
{
    if (import == NULL) {
        return;
    }
    tp_gbt_free(import->parts.gbt);
    tp_linear_free(import->parts.linear);
    tp_model_free(import->model);
    tp_feature_program_free(import->program);
    tp_buffer_deinit(&import->program_text);
    tp_arena_deinit(&import->arena);
    tp_free(import->alloc, import, sizeof(*import));
}

const tp_model *tp_import_model(const tp_import *import)
{
    return import->model;
}

const tp_feature_program *tp_import_program(const tp_import *import)
{
    return import->program;
}

const tp_target *tp_import_target(const tp_import *import)
{
    return &import->target;
}

tp_import_facts tp_import_facts_of(const tp_import *import)
{
    return import->facts;
}

// -- the bundle ----------------------------------------------------------------------------------

static void append_lineage(tp_buffer *json, const tp_import *import, const tp_sha256 *source)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(source, hex);
    const struct {
        const char *key;
        tp_str value;
    } texts[] = {{"objective", import->facts.objective},
                 {"source", tp_str_from(tp_import_kind_name(import->facts.kind))},
                 {"source_sha256", tp_str_from(hex)},
                 {"source_version", import->facts.version},
                 {"tapeout", tp_str_from(tapeout_version())}};
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tp_json_append_key(json, texts[i].key);
        tp_json_append_str(json, texts[i].value);
    }
    tp_buffer_append_char(json, '}');
}

tapeout_status tp_import_write(const tp_env *env, const tp_import *import, tp_str name,
                               const tp_sha256 *source, const char *path, tp_sha256 *ret_hash,
                               tapeout_error *err)
{
    static const tp_str missing[] = {{"", 0}};
    tp_buffer lineage;
    tp_buffer_init(&lineage, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    append_lineage(&lineage, import, source);
    tapeout_status status = tp_buffer_check(&lineage, "lineage", err);
    if (status == TAPEOUT_OK) {
        const tp_tabular tabular = {.name = name,
                                    .target = &import->target,
                                    .program = import->program,
                                    .model = import->model,
                                    .report_json = TP_STR("{}"),
                                    .sketch_json = TP_STR("{}"),
                                    .lineage_json = tp_buffer_view(&lineage),
                                    .spec_text = TP_STR(""),
                                    .missing = missing,
                                    .missing_count = 1};
        status = tp_tabular_write(env, path, &tabular, ret_hash, err);
    }
    tp_buffer_deinit(&lineage);
    return status;
}

tapeout_status tp_import_file(const tp_env *env, const char *path, const tp_import_options *options,
                              const char *out_path, tp_sha256 *ret_hash, tapeout_error *err)
{
    tp_map map;
    tp_import *import = NULL;
    TP_TRY(tp_map_open(path, &map, err));
    const tp_sha256 source = tp_sha256_of(map.data, map.size);
    tapeout_status status =
        tp_import_parse(env, (tp_str){(const char *)map.data, map.size}, &import, err);
    tp_map_close(&map);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
        return status;
    }
    status = tp_import_write(env, import, options->name, &source, out_path, ret_hash, err);
    tp_import_free(import);
    return status;
}
