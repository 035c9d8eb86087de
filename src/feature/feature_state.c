// SPDX-License-Identifier: Apache-2.0
//
// The fitted state as bytes and back; docs/formats/feature_state.md describes every one. Text and
// schema are kept beside it and compiled again, which gives the same instructions in the same
// order, so the state only lists what was found out for each. Whatever is read is checked as if an
// enemy had written it: counts against what is left, numbers finite, cuts ascending, levels in
// their order and without repeats, nothing behind the end.
#include "feature/feature_code.h"

#include "base/tp_cursor.h"

static const char magic[] = "TPFS";

enum { STATE_VERSION = 1, OFFSET_MAX_S = 26 * 3600 };

// What stands in the bytes for an operation: 1 for IMPUTE … 8 for ONEHOT, whatever else the
// interpreter learns to do.
static uint32_t kind_of(uint32_t op)
{
    _Static_assert(TP_OP_ONEHOT - TP_OP_IMPUTE == 7, "a new kind stands behind the others");
    return op - TP_OP_IMPUTE + 1;
}

// -- writing -------------------------------------------------------------------------------------
static void write_text(tp_buffer *buffer, tp_str text)
{
    tp_buffer_append_u32le(buffer, (uint32_t)text.size);
    tp_buffer_append_str(buffer, text);
}

static void write_zone(tp_buffer *buffer, const tp_feature_zone *zone)
{
    write_text(buffer, zone->name);
    tp_buffer_append_u32le(buffer, (uint32_t)zone->first_offset_s);
    tp_buffer_append_u32le(buffer, zone->count);
    for (uint32_t i = 0; i < zone->count; i++) {
        tp_buffer_append_u64le(buffer, (uint64_t)zone->starts_s[i]);
        tp_buffer_append_u32le(buffer, (uint32_t)zone->offsets_s[i]);
    }
}

static void write_numbers(tp_buffer *buffer, const tp_feature_fitted *fitted)
{
    tp_buffer_append_u32le(buffer, fitted->number_count);
    for (uint32_t i = 0; i < fitted->number_count; i++) {
        tp_buffer_append_f64le(buffer, fitted->numbers[i]);
    }
}

static void write_fitted(tp_buffer *buffer, uint32_t op, const tp_feature_fitted *fitted)
{
    tp_buffer_append_u32le(buffer, kind_of(op));
    switch (op) {
    case TP_OP_IMPUTE:
        tp_buffer_append_f64le(buffer, fitted->shift);
        break;
    case TP_OP_IMPUTE_TEXT:
        write_text(buffer, tp_dict_get(&fitted->levels, 0));
        break;
    case TP_OP_SCALE:
        tp_buffer_append_f64le(buffer, fitted->shift);
        tp_buffer_append_f64le(buffer, fitted->scale);
        break;
    case TP_OP_BIN:
        write_numbers(buffer, fitted);
        break;
    case TP_OP_LEVELS:
        tp_buffer_append_u32le(buffer, fitted->count_count);
        for (uint32_t i = 0; i < fitted->count_count; i++) {
            tp_buffer_append_u64le(buffer, fitted->counts[i]);
            write_text(buffer, tp_dict_get(&fitted->levels, i));
        }
        break;
    case TP_OP_TARGET_MEAN:
        tp_buffer_append_f64le(buffer, fitted->shift);
        write_numbers(buffer, fitted);
        break;
    default: // CATEGORY and ONEHOT follow from their levels
        break;
    }
}

void tp_feature_state_write(const tp_feature_program *program, tp_buffer *ret_state)
{
    tp_buffer_append(ret_state, magic, 4);
    tp_buffer_append_u32le(ret_state, STATE_VERSION);
    tp_buffer_append_u64le(ret_state, tp_str_hash(program->text));
    tp_buffer_append_u32le(ret_state, program->zone_count);
    for (uint32_t i = 0; i < program->zone_count; i++) {
        write_zone(ret_state, &program->zones[i]);
    }
    tp_buffer_append_u32le(ret_state, program->fitted_count);
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        const tp_feature_fitted *fitted = &program->fitted[i];
        write_fitted(ret_state, program->instrs[fitted->instr].code.op, fitted);
    }
}

// -- reading -------------------------------------------------------------------------------------
typedef struct reader {
    tp_cursor cursor;
    tp_feature_program *program;
    tapeout_error *err;
} reader;

static tapeout_status corrupt(reader *r, const char *what)
{
    return tp_fail_at(r->err, TAPEOUT_E_CORRUPT, r->cursor.position,
                      "feature state: %s at byte %zu", what, r->cursor.position);
}

static tapeout_status read_text(reader *r, tp_str *ret_text)
{
    const uint32_t size = tp_cursor_u32(&r->cursor);
    *ret_text = tp_cursor_bytes(&r->cursor, size);
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    return tp_utf8_check(*ret_text, NULL) ? TAPEOUT_OK : corrupt(r, "a text that is not UTF-8");
}

// A count of items of at least `item_size` bytes each: never more than fit in what is left.
static tapeout_status read_count(reader *r, size_t item_size, uint32_t most, uint32_t *ret_count)
{
    const uint32_t count = tp_cursor_u32(&r->cursor);
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    if (count > most || count > tp_cursor_left(&r->cursor) / item_size) {
        return corrupt(r, "a count that is too large");
    }
    *ret_count = count;
    return TAPEOUT_OK;
}

static bool is_offset(int32_t offset_s)
{
    return offset_s >= -OFFSET_MAX_S && offset_s <= OFFSET_MAX_S;
}

static tapeout_status read_zone(reader *r, tp_feature_zone *zone)
{
    const tapeout_allocator *alloc = r->program->alloc;
    tp_str name = {NULL, 0};
    uint32_t count = 0;
    TP_TRY(read_text(r, &name));
    if (!tp_str_equal(name, zone->name)) {
        return corrupt(r, "another time zone than the program names");
    }
    zone->first_offset_s = tp_cursor_i32(&r->cursor);
    TP_TRY(read_count(r, 12, TP_MAX_FEATURE_TRANSITIONS, &count));
    if (!is_offset(zone->first_offset_s)) {
        return corrupt(r, "an offset of more than 26 hours");
    }
    if (count == 0) {
        return TAPEOUT_OK;
    }
    zone->starts_s = tp_alloc_array_zero(alloc, count, sizeof(int64_t));
    zone->offsets_s = tp_alloc_array_zero(alloc, count, sizeof(int32_t));
    zone->count = count; // as freed, even where one is NULL
    if (zone->starts_s == NULL || zone->offsets_s == NULL) {
        return tp_fail_nomem(r->err);
    }
    for (uint32_t i = 0; i < count; i++) {
        zone->starts_s[i] = tp_cursor_i64(&r->cursor);
        zone->offsets_s[i] = tp_cursor_i32(&r->cursor);
        if (!is_offset(zone->offsets_s[i]) ||
            (i > 0 && zone->starts_s[i] <= zone->starts_s[i - 1])) {
            return corrupt(r, "transitions of a time zone that are out of order or range");
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status read_finite(reader *r, double *ret_value)
{
    *ret_value = tp_cursor_f64(&r->cursor);
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    return isfinite(*ret_value) ? TAPEOUT_OK : corrupt(r, "a number that is not finite");
}

static tapeout_status read_numbers(reader *r, tp_feature_fitted *fitted, uint32_t most,
                                   bool is_ascending)
{
    uint32_t count = 0;
    TP_TRY(read_count(r, sizeof(double), most, &count));
    if (count == 0) {
        return TAPEOUT_OK;
    }
    fitted->numbers = tp_alloc_array_zero(r->program->alloc, count, sizeof(double));
    if (fitted->numbers == NULL) {
        return tp_fail_nomem(r->err);
    }
    fitted->number_count = count;
    for (uint32_t i = 0; i < count; i++) {
        TP_TRY(read_finite(r, &fitted->numbers[i]));
        if (is_ascending && i > 0 && fitted->numbers[i] <= fitted->numbers[i - 1]) {
            return corrupt(r, "cuts that do not ascend");
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status add_level(reader *r, tp_feature_fitted *fitted, tp_str text)
{
    uint32_t index = 0;
    const uint32_t before = fitted->levels.count;
    const tapeout_status status = tp_dict_add(&fitted->levels, text, &index);
    if (status == TAPEOUT_E_NOMEM) {
        return tp_fail_nomem(r->err);
    }
    return status == TAPEOUT_OK && index == before ? TAPEOUT_OK
                                                   : corrupt(r, "a level that stands twice");
}

static tapeout_status read_levels(reader *r, tp_feature_fitted *fitted)
{
    uint32_t count = 0;
    tp_str last = {NULL, 0};
    TP_TRY(read_count(r, 12, TP_MAX_FEATURE_LEVELS, &count));
    if (count == 0) {
        return TAPEOUT_OK;
    }
    fitted->counts = tp_alloc_array_zero(r->program->alloc, count, sizeof(uint64_t));
    if (fitted->counts == NULL) {
        return tp_fail_nomem(r->err);
    }
    fitted->count_count = count;
    for (uint32_t i = 0; i < count; i++) {
        tp_str text = {NULL, 0};
        fitted->counts[i] = tp_cursor_u64(&r->cursor);
        TP_TRY(read_text(r, &text));
        const bool falls =
            i == 0 || fitted->counts[i] < fitted->counts[i - 1] ||
            (fitted->counts[i] == fitted->counts[i - 1] && tp_str_compare(last, text) < 0);
        if (!falls || fitted->counts[i] == 0 || fitted->counts[i] > UINT32_MAX) {
            return corrupt(r, "levels that are out of order");
        }
        TP_TRY(add_level(r, fitted, text));
        last = text;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_target_mean(reader *r, tp_feature_fitted *fitted)
{
    const tp_feature_program *program = r->program;
    const tp_feature_instr *levels =
        &program->instrs[program->instrs[fitted->instr].code.a]; // fitted before
    TP_TRY(read_finite(r, &fitted->shift));
    TP_TRY(read_numbers(r, fitted, TP_MAX_FEATURE_LEVELS, false));
    return fitted->number_count == program->fitted[levels->fitted].count_count
               ? TAPEOUT_OK
               : corrupt(r, "another number of means than of levels");
}

static tapeout_status read_fitted(reader *r, tp_feature_fitted *fitted)
{
    const tp_feature_code *code = &r->program->instrs[fitted->instr].code;
    tp_str text = {NULL, 0};
    const uint32_t kind = tp_cursor_u32(&r->cursor);
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    if (kind != kind_of(code->op)) {
        return corrupt(r, "another function than the program has");
    }
    switch (code->op) {
    case TP_OP_IMPUTE:
        return read_finite(r, &fitted->shift);
    case TP_OP_IMPUTE_TEXT:
        TP_TRY(read_text(r, &text));
        return add_level(r, fitted, text);
    case TP_OP_SCALE:
        TP_TRY(read_finite(r, &fitted->shift));
        TP_TRY(read_finite(r, &fitted->scale));
        return fitted->scale > 0 ? TAPEOUT_OK : corrupt(r, "a scale that is not positive");
    case TP_OP_BIN:
        return read_numbers(r, fitted, code->index - 1, true);
    case TP_OP_LEVELS:
        return read_levels(r, fitted);
    case TP_OP_TARGET_MEAN:
        return read_target_mean(r, fitted);
    default:
        return TAPEOUT_OK;
    }
}

static tapeout_status read_state(reader *r)
{
    tp_feature_program *program = r->program;
    const tp_str found = tp_cursor_bytes(&r->cursor, 4);
    const uint32_t version = tp_cursor_u32(&r->cursor);
    const uint64_t hash = tp_cursor_u64(&r->cursor);
    const uint32_t zones = tp_cursor_u32(&r->cursor);
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    if (!tp_str_equal(found, TP_STR("TPFS")) || version != STATE_VERSION) {
        return corrupt(r, "no state of version 1");
    }
    if (hash != tp_str_hash(program->text) || zones != program->zone_count) {
        return corrupt(r, "a state of another program");
    }
    for (uint32_t i = 0; i < zones; i++) {
        TP_TRY(read_zone(r, &program->zones[i]));
    }
    if (tp_cursor_u32(&r->cursor) != program->fitted_count) {
        return corrupt(r, "a state of another program");
    }
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        TP_TRY(read_fitted(r, &program->fitted[i]));
    }
    TP_TRY(tp_cursor_check(&r->cursor, "feature state", r->err));
    return tp_cursor_left(&r->cursor) == 0 ? TAPEOUT_OK : corrupt(r, "bytes behind the end");
}

tapeout_status tp_feature_load(const tp_env *env, tp_str text, const tp_schema *schema,
                               tp_str state, tp_feature_program **ret_program, tapeout_error *err)
{
    tp_feature_program *program = NULL;
    TP_TRY(tp_feature_compile(env, text, schema, false, &program, err));
    reader r = {.program = program, .err = err};
    tp_cursor_init(&r.cursor, state.data, state.size);
    tapeout_status status = read_state(&r);
    if (status == TAPEOUT_OK) {
        status = tp_feature_derive(program, err);
    }
    if (status == TAPEOUT_OK) {
        program->is_fitted = true;
        status = tp_feature_layout(program, err);
    }
    if (status != TAPEOUT_OK) {
        tp_feature_program_free(program);
        return status;
    }
    *ret_program = program;
    return TAPEOUT_OK;
}
