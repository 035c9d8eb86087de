// SPDX-License-Identifier: Apache-2.0
//
// The operations on texts. Each is a lookup in its memo (feature_memo.c); `work_out` runs where the
// memo does not know yet. Case follows Unicode's simple mappings, one character to one; length
// counts characters. A missing operand makes the result missing.
#include "feature/feature_exec.h"

#include "table/tp_value.h"

#include <string.h>
#include <utf8proc.h>

tp_str tp_feature_text_at(const tp_feature_worker *worker, uint32_t instr, int32_t code)
{
    const tp_feature_program *program = worker->run->program;
    const tp_feature_instr *at = &program->instrs[instr];
    if (at->code.op == TP_OP_COLUMN) {
        return tp_dict_get(worker->run->columns[at->code.index]->dict, (uint32_t)code);
    }
    if (at->code.op == TP_OP_TEXT) {
        return tp_dict_get(&program->constants, at->code.index);
    }
    return tp_dict_get(&worker->memos[at->memo].dict, (uint32_t)code);
}

// -- working out ---------------------------------------------------------------------------------
static void put_case(tp_buffer *buffer, tp_str text, bool upper)
{
    size_t at = 0;
    while (at < text.size) {
        utf8proc_int32_t character = 0;
        const utf8proc_ssize_t size =
            utf8proc_iterate((const utf8proc_uint8_t *)text.data + at,
                             (utf8proc_ssize_t)(text.size - at), &character);
        if (size <= 0) { // not UTF-8: as it is
            tp_buffer_append_char(buffer, text.data[at++]);
            continue;
        }
        utf8proc_uint8_t encoded[4];
        const utf8proc_int32_t mapped =
            upper ? utf8proc_toupper(character) : utf8proc_tolower(character);
        tp_buffer_append(buffer, encoded, (size_t)utf8proc_encode_char(mapped, encoded));
        at += (size_t)size;
    }
}

static int32_t count_characters(tp_str text)
{
    int32_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += (text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

// A number as the text that category and concat see: whole numbers without a point.
static tp_str print_value(tp_feature_type type, uint64_t key, char *buffer)
{
    double value;
    memcpy(&value, &key, sizeof(value));
    const bool fits = fabs(value) < 9.2e18;
    if (type == TP_FEATURE_BOOL) {
        return value != 0 ? TP_STR("true") : TP_STR("false");
    }
    if (type == TP_FEATURE_TIMESTAMP && fits) {
        return (tp_str){buffer, tp_print_timestamp((int64_t)value, false, buffer)};
    }
    if (type == TP_FEATURE_DATE && fabs(value) < 2e9) {
        return (tp_str){buffer, tp_print_date((int32_t)value, buffer)};
    }
    return (tp_str){buffer, tp_print_f64(value, buffer)};
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

// The answer of an operation that gives a number.
static int32_t answer_of(const tp_feature_program *program, const tp_feature_instr *instr, tp_str a,
                         tp_str b)
{
    switch (instr->code.op) {
    case TP_OP_LENGTH:
        return count_characters(a);
    case TP_OP_CONTAINS:
        return tp_str_contains(a, b);
    case TP_OP_STARTS:
        return tp_str_has_prefix(a, b);
    case TP_OP_ENDS:
        return tp_str_has_suffix(a, b);
    case TP_OP_COMPARE:
        return sign(tp_str_compare(a, b));
    case TP_OP_HASH:
        return (int32_t)((tp_str_hash(a) >> 32) * instr->code.index >> 32);
    default: // LEVELS
        return (int32_t)tp_dict_find(&program->fitted[instr->fitted].levels, a);
    }
}

// Where a row's text comes from, for operations that a pair of keys decides.
typedef struct pick {
    uint64_t key;
    tp_str a;
    tp_str b;
    bool is_missing;
} pick;

static tapeout_status work_out(tp_feature_worker *worker, const tp_feature_instr *instr,
                               const pick *from, int32_t *ret_value, tapeout_error *err)
{
    const tp_str a = from->a;
    const tp_str b = from->b;
    if (instr->code.type != TP_FEATURE_TEXT) {
        *ret_value = answer_of(worker->run->program, instr, a, b);
        return TAPEOUT_OK;
    }
    tp_buffer *buffer = &worker->text;
    tp_str text = a;
    tp_buffer_clear(buffer);
    if (instr->code.op == TP_OP_LOWER || instr->code.op == TP_OP_UPPER) {
        put_case(buffer, a, instr->code.op == TP_OP_UPPER);
        text = tp_buffer_view(buffer);
    } else if (instr->code.op == TP_OP_CONCAT) {
        tp_buffer_append_str(buffer, a);
        tp_buffer_append_str(buffer, b);
        text = tp_buffer_view(buffer);
    } else if (instr->code.op == TP_OP_TRIM) {
        text = tp_str_trim(a);
    }
    TP_TRY(tp_buffer_check(buffer, "features: a computed text", err));
    uint32_t code = 0;
    const tapeout_status status = tp_dict_add(&worker->memos[instr->memo].dict, text, &code);
    if (status != TAPEOUT_OK) {
        return tp_fail(err, status, "features: no room for computed texts");
    }
    *ret_value = (int32_t)code;
    return TAPEOUT_OK;
}

// -- looking up ----------------------------------------------------------------------------------
static uint32_t op_of(const tp_feature_worker *worker, uint32_t instr)
{
    return worker->run->program->instrs[instr].code.op;
}

// Which generation the keys of an operation belong to.
static uint32_t generation_of(const tp_feature_worker *worker, const tp_feature_instr *instr)
{
    const uint32_t operands[3] = {instr->code.a, instr->code.b, instr->code.c};
    for (int i = 0; i < 3; i++) {
        if (operands[i] != TP_FEATURE_NONE && op_of(worker, operands[i]) == TP_OP_COLUMN &&
            worker->run->program->instrs[operands[i]].code.type == TP_FEATURE_TEXT) {
            return worker->bind_generation;
        }
    }
    return worker->memos[instr->memo].generation;
}

static uint32_t code_count(const tp_feature_worker *worker, uint32_t instr)
{
    const tp_feature_instr *at = &worker->run->program->instrs[instr];
    if (at->code.op == TP_OP_COLUMN) {
        const tp_column *column = worker->run->columns[at->code.index];
        return column == NULL ? 0 : column->dict->count;
    }
    return at->code.op == TP_OP_TEXT ? 1 : worker->memos[at->memo].dict.count;
}

static void put(const tp_feature_instr *instr, void *out, uint32_t row, int32_t value)
{
    if (instr->code.type == TP_FEATURE_TEXT) {
        ((int32_t *)out)[row] = value;
    } else {
        ((double *)out)[row] = value;
    }
}

static void put_missing(const tp_feature_instr *instr, void *out, uint32_t row)
{
    if (instr->code.type == TP_FEATURE_TEXT) {
        ((int32_t *)out)[row] = -1;
    } else {
        ((double *)out)[row] = NAN;
    }
}

// One text operand, the other, if there is one, a constant.
static tapeout_status run_by_code(tp_feature_worker *worker, const tp_feature_instr *instr,
                                  void *out, tapeout_error *err)
{
    tp_feature_memo *memo = &worker->memos[instr->memo];
    const uint32_t generation = generation_of(worker, instr);
    const int32_t *codes = tp_feature_codes(worker, instr->code.a);
    const tp_str b = instr->code.b == TP_FEATURE_NONE
                         ? (tp_str){NULL, 0}
                         : tp_feature_text_at(worker, instr->code.b, 0);
    if (tp_feature_memo_reserve(worker->run->env.alloc, memo, code_count(worker, instr->code.a)) !=
        TAPEOUT_OK) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < worker->row_count; i++) {
        if (codes[i] < 0) {
            put_missing(instr, out, i);
            continue;
        }
        tp_feature_memo_entry *entry = &memo->entries[codes[i]];
        if (entry->generation != generation) {
            const pick p = {.a = tp_feature_text_at(worker, instr->code.a, codes[i]), .b = b};
            TP_TRY(work_out(worker, instr, &p, &entry->value, err));
            entry->generation = generation;
        }
        put(instr, out, i, entry->value);
    }
    return TAPEOUT_OK;
}

static pick pick_one(const tp_feature_worker *worker, uint32_t operand, uint32_t which,
                     uint32_t row)
{
    const int32_t code = tp_feature_codes(worker, operand)[row];
    pick p = {.is_missing = code < 0};
    if (code >= 0) {
        p.key = (uint64_t)which << 32 | (uint32_t)code;
        p.a = tp_feature_text_at(worker, operand, code);
    }
    return p;
}

static pick pick_row(const tp_feature_worker *worker, const tp_feature_instr *instr, uint32_t row,
                     char *buffer)
{
    const tp_feature_code *code = &instr->code;
    pick p = {.is_missing = true};
    switch (code->op) {
    case TP_OP_PRINT: {
        const double value = tp_feature_register(worker, code->a)[row] + 0.0; // no -0
        if (value == value) {
            p.is_missing = false;
            memcpy(&p.key, &value, sizeof(p.key));
            p.a = print_value((tp_feature_type)code->index, p.key, buffer);
        }
        return p;
    }
    case TP_OP_TEXT_IF: {
        const double condition = tp_feature_register(worker, code->a)[row];
        if (condition == condition) {
            p = pick_one(worker, condition != 0 ? code->b : code->c, condition != 0, row);
        }
        return p;
    }
    case TP_OP_TEXT_COALESCE:
        p = pick_one(worker, code->a, 0, row);
        return p.is_missing ? pick_one(worker, code->b, 1, row) : p;
    case TP_OP_IMPUTE_TEXT:
        p = pick_one(worker, code->a, 0, row);
        if (p.is_missing) {
            p = (pick){.key = UINT64_C(1) << 32};
            p.a = tp_dict_get(&worker->run->program->fitted[instr->fitted].levels, 0);
        }
        return p;
    default: { // two texts
        const pick second = pick_one(worker, code->b, 0, row);
        p = pick_one(worker, code->a, 0, row);
        p.is_missing = p.is_missing || second.is_missing;
        p.key = p.key << 32 | second.key;
        p.b = second.a;
        return p;
    }
    }
}

static tapeout_status run_by_pair(tp_feature_worker *worker, const tp_feature_instr *instr,
                                  void *out, tapeout_error *err)
{
    tp_feature_memo *memo = &worker->memos[instr->memo];
    const uint32_t generation = generation_of(worker, instr);
    char buffer[TP_VALUE_TEXT_SIZE];
    for (uint32_t i = 0; i < worker->row_count; i++) {
        const pick p = pick_row(worker, instr, i, buffer);
        if (p.is_missing) {
            put_missing(instr, out, i);
            continue;
        }
        tp_feature_memo_pair *pair = NULL;
        if (tp_feature_memo_pair_find(worker->run->env.alloc, memo, generation, p.key, &pair) !=
            TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
        if (pair->generation != generation) {
            TP_TRY(work_out(worker, instr, &p, &pair->value, err));
            pair->key = p.key;
            pair->generation = generation;
            memo->pair_count++;
        }
        put(instr, out, i, pair->value);
    }
    return TAPEOUT_OK;
}

static bool is_by_code(const tp_feature_worker *worker, const tp_feature_code *code)
{
    return code->op != TP_OP_PRINT && code->op != TP_OP_TEXT_IF &&
           code->op != TP_OP_TEXT_COALESCE && code->op != TP_OP_IMPUTE_TEXT &&
           (code->b == TP_FEATURE_NONE || op_of(worker, code->b) == TP_OP_TEXT);
}

tapeout_status tp_feature_op_text(tp_feature_worker *worker, const tp_feature_instr *instr,
                                  void *out, tapeout_error *err)
{
    const uint32_t op = instr->code.op;
    if (op == TP_OP_TEXT) {
        memset(out, 0, worker->row_count * sizeof(int32_t)); // its only code
        return TAPEOUT_OK;
    }
    if (op == TP_OP_TEXT_MISSING) {
        const int32_t *codes = tp_feature_codes(worker, instr->code.a);
        for (uint32_t i = 0; i < worker->row_count; i++) {
            ((double *)out)[i] = codes[i] < 0 ? 1 : 0;
        }
        return TAPEOUT_OK;
    }
    if (!is_by_code(worker, &instr->code)) {
        return run_by_pair(worker, instr, out, err);
    }
    TP_TRY(run_by_code(worker, instr, out, err));
    const double *levels = out;
    for (uint32_t i = 0; op == TP_OP_LEVELS && i < worker->row_count; i++) {
        if (levels[i] < 0) {
            tp_feature_mark(worker, i);
        }
    }
    return TAPEOUT_OK;
}
