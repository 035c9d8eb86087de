// SPDX-License-Identifier: Apache-2.0
//
// The layout of a checked program: which register each instruction writes, which outputs there are,
// and which instructions each output needs.
//
// Registers are given out in one walk over the instructions in their order and taken back after the
// last use. Every list of steps is in the same order, so any subset of the program can run with the
// same registers: a subset only shortens lives. An instruction's result never takes the register of
// its operands. What a caller asks for is copied out when it is computed, so outputs hold none.
#include "feature/feature_code.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Scratch of a walk over what an instruction needs; each array has a place an instruction.
typedef struct walk {
    uint32_t *stack;
    uint32_t *found;
    uint32_t *stamps;
    uint32_t stamp;
} walk;

typedef struct layout {
    tp_feature_program *program;
    walk walk;
    uint64_t step_total;
    tapeout_error *err;
} layout;

static int compare_u32(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static tapeout_status walk_init(walk *w, const tp_feature_program *program, tp_arena *arena,
                                tapeout_error *err)
{
    *w = (walk){.stack = tp_arena_array(arena, program->instr_count, sizeof(uint32_t)),
                .found = tp_arena_array(arena, program->instr_count, sizeof(uint32_t)),
                .stamps = tp_arena_array(arena, program->instr_count, sizeof(uint32_t))};
    return w->stack == NULL || w->found == NULL || w->stamps == NULL ? tp_fail_nomem(err)
                                                                     : TAPEOUT_OK;
}

// Everything that `instr` needs, itself included, in order, in `found`. Returns how many.
static uint32_t collect(const tp_feature_program *program, uint32_t instr, walk *w)
{
    uint32_t depth = 0;
    uint32_t count = 0;
    w->stamp++;
    w->stack[depth++] = instr;
    w->stamps[instr] = w->stamp;
    while (depth > 0) {
        const uint32_t at = w->stack[--depth];
        w->found[count++] = at;
        const tp_feature_code *code = &program->instrs[at].code;
        const uint32_t operands[3] = {code->a, code->b, code->c};
        for (int i = 0; i < 3; i++) {
            if (operands[i] != TP_FEATURE_NONE && w->stamps[operands[i]] != w->stamp) {
                w->stamps[operands[i]] = w->stamp;
                w->stack[depth++] = operands[i];
            }
        }
    }
    qsort(w->found, count, sizeof(uint32_t), compare_u32);
    return count;
}

tapeout_status tp_feature_steps_before(const tp_feature_program *program, uint32_t instr,
                                       tp_arena *arena, tp_feature_steps *ret_steps,
                                       tapeout_error *err)
{
    walk w;
    TP_TRY(walk_init(&w, program, arena, err));
    ret_steps->count = collect(program, instr, &w) - 1; // the last is `instr`
    ret_steps->items = w.found;
    return TAPEOUT_OK;
}

// -- registers -----------------------------------------------------------------------------------
static tapeout_status give_registers(layout *l)
{
    tp_feature_program *program = l->program;
    const uint32_t count = program->instr_count;
    uint32_t *last = tp_arena_array(&program->layout, count, sizeof(uint32_t));
    uint32_t *pool = tp_arena_array(&program->layout, count, sizeof(uint32_t));
    if (last == NULL || pool == NULL) {
        return tp_fail_nomem(l->err);
    }
    for (uint32_t i = 0; i < count; i++) {
        const tp_feature_code *code = &program->instrs[i].code;
        const uint32_t operands[3] = {code->a, code->b, code->c};
        last[i] = i;
        for (int k = 0; k < 3; k++) {
            if (operands[k] != TP_FEATURE_NONE) {
                last[operands[k]] = i;
            }
        }
    }
    uint32_t pooled = 0;
    program->register_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        tp_feature_instr *instr = &program->instrs[i];
        const uint32_t ends[4] = {instr->code.a, instr->code.b, instr->code.c, i};
        instr->reg = pooled > 0 ? pool[--pooled] : program->register_count++;
        for (int k = 0; k < 4; k++) {
            const bool seen = (k > 0 && ends[k] == ends[0]) || (k > 1 && ends[k] == ends[1]);
            if (ends[k] != TP_FEATURE_NONE && !seen && last[ends[k]] == i) {
                pool[pooled++] = program->instrs[ends[k]].reg;
            }
        }
    }
    if (program->register_count > TP_MAX_FEATURE_REGISTERS) {
        return tp_fail(l->err, TAPEOUT_E_LIMIT,
                       "features: %u values are alive at once, the limit is %u; define features "
                       "nearer to where they are used",
                       program->register_count, TP_MAX_FEATURE_REGISTERS);
    }
    return TAPEOUT_OK;
}

static bool can_mark(uint32_t op)
{
    return op == TP_OP_DIV || op == TP_OP_MOD || op == TP_OP_LOG || op == TP_OP_LOG1P ||
           op == TP_OP_EXP || op == TP_OP_SQRT || op == TP_OP_POW || op == TP_OP_LEVELS ||
           op == TP_OP_PART || op == TP_OP_LOCAL || op == TP_OP_DAY;
}

static void find_marks(tp_feature_program *program)
{
    for (uint32_t i = 0; i < program->instr_count; i++) {
        tp_feature_instr *instr = &program->instrs[i];
        const uint32_t operands[3] = {instr->code.a, instr->code.b, instr->code.c};
        instr->may_mark = can_mark(instr->code.op);
        instr->has_output = false;
        for (int k = 0; k < 3; k++) {
            if (operands[k] != TP_FEATURE_NONE && program->instrs[operands[k]].may_mark) {
                instr->may_mark = true;
            }
        }
    }
}

// -- outputs -------------------------------------------------------------------------------------
static const tp_feature_fitted *state_of(const tp_feature_program *program, uint32_t instr)
{
    return &program->fitted[program->instrs[instr].fitted];
}

static uint32_t columns_of_onehot(const tp_feature_program *program, uint32_t instr)
{
    const bool expands = program->is_fitted && program->instrs[instr].code.op == TP_OP_ONEHOT;
    return expands ? state_of(program, instr)->kept : 1;
}

static tapeout_status fill_columns(layout *l, const tp_feature_source *source,
                                   tp_feature_output *output)
{
    const tp_feature_program *program = l->program;
    uint32_t count = 0;
    for (uint32_t i = 0; i < source->steps.count; i++) {
        count += program->instrs[source->steps.items[i]].code.op == TP_OP_COLUMN;
    }
    uint32_t *columns = tp_arena_array(&l->program->layout, count + 1, sizeof(uint32_t));
    if (columns == NULL) {
        return tp_fail_nomem(l->err);
    }
    output->columns = columns;
    output->column_count = count;
    for (uint32_t i = 0; i < source->steps.count; i++) {
        const tp_feature_code *code = &program->instrs[source->steps.items[i]].code;
        if (code->op == TP_OP_COLUMN) {
            *columns++ = code->index;
            l->program->column_used[code->index] = true;
        }
    }
    qsort((uint32_t *)(uintptr_t)output->columns, count, sizeof(uint32_t), compare_u32);
    return TAPEOUT_OK;
}

static void fill_category(const tp_feature_program *program, uint32_t instr,
                          tp_feature_output *output)
{
    const tp_feature_code *code = &program->instrs[instr].code;
    if (code->op == TP_OP_HASH) {
        output->is_category = true;
        output->category_count = code->index;
    } else if (code->op == TP_OP_CATEGORY) {
        const tp_feature_fitted *fitted = state_of(program, instr);
        output->is_category = true;
        output->category_count = fitted->kept + (fitted->has_other ? 1 : 0);
        output->categories = &fitted->levels;
    }
}

static tapeout_status onehot_name(layout *l, tp_str name, tp_str level, tp_str *ret_name)
{
    char *text = tp_arena_alloc(&l->program->layout, name.size + level.size + 2);
    if (text == NULL) {
        return tp_fail_nomem(l->err);
    }
    memcpy(text, name.data, name.size);
    text[name.size] = '=';
    if (level.size > 0) {
        memcpy(text + name.size + 1, level.data, level.size);
    }
    *ret_name = (tp_str){text, name.size + 1 + level.size};
    return TAPEOUT_OK;
}

// The outputs of one feature: one, or as many as its onehot has levels.
static tapeout_status add_outputs(layout *l, const tp_feature_name *name, uint32_t *next)
{
    tp_feature_program *program = l->program;
    const uint32_t count = columns_of_onehot(program, name->instr);
    const bool is_onehot =
        program->is_fitted && program->instrs[name->instr].code.op == TP_OP_ONEHOT;
    tp_feature_source source = {.instr = name->instr, .level = TP_FEATURE_NONE};
    const uint32_t found = collect(program, name->instr, &l->walk);
    l->step_total += found;
    if (l->step_total > TP_MAX_FEATURE_STEPS) {
        return tp_feature_fail(l->err, name->place,
                               "the features build on each other so much that running each alone "
                               "takes more than %u steps",
                               TP_MAX_FEATURE_STEPS);
    }
    source.steps.items = tp_arena_array(&program->layout, found, sizeof(uint32_t));
    if (source.steps.items == NULL) {
        return tp_fail_nomem(l->err);
    }
    source.steps.count = found;
    memcpy(source.steps.items, l->walk.found, found * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        tp_feature_output *output = &program->outputs[*next];
        output->name = name->name;
        if (is_onehot) {
            source.level = i;
            TP_TRY(onehot_name(l, name->name,
                               tp_dict_get(&state_of(program, name->instr)->levels, i),
                               &output->name));
        }
        TP_TRY(fill_columns(l, &source, output));
        fill_category(program, name->instr, output);
        source.next = program->first_output[name->instr];
        program->first_output[name->instr] = *next;
        program->instrs[name->instr].has_output = true;
        program->sources[(*next)++] = source;
    }
    return TAPEOUT_OK;
}

static tapeout_status count_outputs(layout *l)
{
    tp_feature_program *program = l->program;
    uint64_t count = 0;
    for (uint32_t i = 0; i < program->name_count; i++) {
        if (program->names[i].name.data[0] != '_') {
            count += columns_of_onehot(program, program->names[i].instr);
        }
    }
    if (count > TP_MAX_FEATURE_OUTPUTS) {
        return tp_fail(l->err, TAPEOUT_E_LIMIT, "features: %" PRIu64 " outputs, the limit is %u",
                       count, TP_MAX_FEATURE_OUTPUTS);
    }
    program->output_count = (uint32_t)count;
    program->outputs = tp_arena_array(&program->layout, count, sizeof(tp_feature_output));
    program->sources = tp_arena_array(&program->layout, count, sizeof(tp_feature_source));
    program->first_output = tp_arena_array(&program->layout, program->instr_count, 4);
    program->column_used = tp_arena_array(&program->layout, (size_t)program->schema.count + 1, 1);
    if ((count > 0 && (program->outputs == NULL || program->sources == NULL)) ||
        program->first_output == NULL || program->column_used == NULL) {
        return tp_fail_nomem(l->err);
    }
    for (uint32_t i = 0; i < program->instr_count; i++) {
        program->first_output[i] = TP_FEATURE_NONE;
    }
    return TAPEOUT_OK;
}

// The union of all outputs' steps, in order.
static tapeout_status join_steps(layout *l)
{
    tp_feature_program *program = l->program;
    program->all_steps.items =
        tp_arena_array(&program->layout, program->instr_count, sizeof(uint32_t));
    if (program->all_steps.items == NULL) {
        return tp_fail_nomem(l->err);
    }
    l->walk.stamp++;
    for (uint32_t i = 0; i < program->output_count; i++) {
        const tp_feature_source *source = &program->sources[i];
        const bool is_repeat = source->level != TP_FEATURE_NONE && source->level != 0;
        for (uint32_t k = 0; !is_repeat && k < source->steps.count; k++) {
            l->walk.stamps[source->steps.items[k]] = l->walk.stamp;
        }
    }
    program->all_steps.count = 0;
    for (uint32_t i = 0; i < program->instr_count; i++) {
        if (l->walk.stamps[i] == l->walk.stamp) {
            program->all_steps.items[program->all_steps.count++] = i;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_unique(layout *l)
{
    tp_dict names;
    tp_dict_init(&names, l->program->alloc);
    tapeout_status status = TAPEOUT_OK;
    for (uint32_t i = 0; i < l->program->output_count && status == TAPEOUT_OK; i++) {
        const tp_str name = l->program->outputs[i].name;
        uint32_t index = 0;
        if (tp_dict_add(&names, name, &index) != TAPEOUT_OK) {
            status = tp_fail_nomem(l->err);
        } else if (index != i) {
            status = tp_fail(l->err, TAPEOUT_E_INVALID,
                             "features: two outputs are called '%.*s'; rename the feature that "
                             "takes the name of a onehot column",
                             TP_STR_ARGS(name));
        }
    }
    tp_dict_deinit(&names);
    return status;
}

tapeout_status tp_feature_layout(tp_feature_program *program, tapeout_error *err)
{
    tp_arena_deinit(&program->layout);
    tp_arena_init(&program->layout, program->alloc, TP_MAX_FEATURE_ARENA);
    program->output_count = 0;
    layout l = {.program = program, .err = err};
    TP_TRY(walk_init(&l.walk, program, &program->layout, err));
    TP_TRY(give_registers(&l));
    find_marks(program);
    TP_TRY(count_outputs(&l));
    uint32_t next = 0;
    for (uint32_t i = 0; i < program->name_count; i++) {
        if (program->names[i].name.data[0] != '_') {
            TP_TRY(add_outputs(&l, &program->names[i], &next));
        }
    }
    TP_TRY(check_unique(&l));
    return join_steps(&l);
}

// -- kept levels ---------------------------------------------------------------------------------
// "(other)", with more parentheses while a level is called just so.
static tapeout_status add_other(tp_dict *levels)
{
    char name[64] = "(other)";
    for (size_t size = 7; size + 2 < sizeof(name); size += 2) {
        uint32_t index = 0;
        const uint32_t before = levels->count;
        TP_TRY(tp_dict_add(levels, (tp_str){name, size}, &index));
        if (index == before) {
            return TAPEOUT_OK;
        }
        memmove(name + 1, name, size);
        name[0] = '(';
        name[size + 1] = ')';
    }
    return TAPEOUT_E_LIMIT;
}

static tapeout_status derive(tp_feature_program *program, tp_feature_fitted *fitted,
                             tapeout_error *err)
{
    const tp_feature_instr *instr = &program->instrs[fitted->instr];
    const tp_feature_fitted *levels = state_of(program, instr->code.a);
    uint32_t kept = 0;
    while (kept < levels->count_count && (double)levels->counts[kept] >= instr->code.number) {
        kept++; // counts fall
    }
    const bool is_category = instr->code.op == TP_OP_CATEGORY;
    if (!is_category && kept > TP_MAX_FEATURE_ONEHOT) {
        return tp_feature_fail(err, instr->place,
                               "onehot would make %u columns, the limit is %u; raise min_count or "
                               "use category(x)",
                               kept, TP_MAX_FEATURE_ONEHOT);
    }
    tp_feature_fitted_clear(program->alloc, fitted);
    fitted->kept = kept;
    fitted->has_other = is_category && (kept < levels->count_count || instr->code.index == 1);
    for (uint32_t i = 0; i < kept; i++) {
        uint32_t index = 0;
        if (tp_dict_add(&fitted->levels, tp_dict_get(&levels->levels, i), &index) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    if (fitted->has_other && add_other(&fitted->levels) != TAPEOUT_OK) {
        return tp_fail_nomem(err);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_derive(tp_feature_program *program, tapeout_error *err)
{
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        const uint32_t op = program->instrs[program->fitted[i].instr].code.op;
        if (op == TP_OP_CATEGORY || op == TP_OP_ONEHOT) {
            TP_TRY(derive(program, &program->fitted[i], err));
        }
    }
    return TAPEOUT_OK;
}
