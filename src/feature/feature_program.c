// SPDX-License-Identifier: Apache-2.0
//
// A program as an object: made from text and schema, freed, asked. The text, the schema and the
// names lie in one arena; instructions and fitted state are owned arrays, since fitting and loading
// fill them later.
#include "feature/feature_check.h"

void tp_feature_fitted_clear(const tapeout_allocator *alloc, tp_feature_fitted *fitted)
{
    tp_free_array(alloc, fitted->numbers, fitted->number_count, sizeof(double));
    tp_free_array(alloc, fitted->folds, (size_t)fitted->fold_count * TP_FEATURE_FOLDS,
                  sizeof(double));
    tp_free_array(alloc, fitted->counts, fitted->count_count, sizeof(uint64_t));
    tp_dict_deinit(&fitted->levels);
    *fitted = (tp_feature_fitted){.instr = fitted->instr, .scale = 1};
    tp_dict_init(&fitted->levels, alloc);
}

void tp_feature_program_free(tp_feature_program *program)
{
    if (program == NULL) {
        return;
    }
    const tapeout_allocator *alloc = program->alloc;
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        tp_feature_fitted_clear(alloc, &program->fitted[i]);
    }
    for (uint32_t i = 0; i < program->zone_count; i++) {
        tp_feature_zone_deinit(alloc, &program->zones[i]);
    }
    tp_free_array(alloc, program->fitted, program->fitted_count, sizeof(tp_feature_fitted));
    tp_free_array(alloc, program->zones, program->zone_count, sizeof(tp_feature_zone));
    tp_free_array(alloc, program->instrs, program->instr_capacity, sizeof(tp_feature_instr));
    tp_free_array(alloc, program->names, program->name_capacity, sizeof(tp_feature_name));
    tp_dict_deinit(&program->constants);
    tp_arena_deinit(&program->layout);
    tp_arena_deinit(&program->arena);
    tp_free(alloc, program, sizeof(*program));
}

static tapeout_status copy_schema(tp_feature_program *program, const tp_schema *schema,
                                  tapeout_error *err)
{
    tp_field *fields = tp_arena_array(&program->arena, schema->count, sizeof(tp_field));
    if (fields == NULL && schema->count > 0) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < schema->count; i++) {
        fields[i].type = schema->fields[i].type;
        fields[i].name = tp_arena_str(&program->arena, schema->fields[i].name);
        if (fields[i].name.data == NULL) {
            return tp_fail_nomem(err);
        }
    }
    program->schema = (tp_schema){fields, schema->count};
    return TAPEOUT_OK;
}

static tapeout_status compile(tp_feature_program *program, const tp_env *env, bool with_zones,
                              tapeout_error *err)
{
    tp_feature_line *lines = NULL;
    TP_TRY(tp_feature_parse_text(&program->arena, program->text, &lines, err));
    tp_feature_checker checker = {
        .program = program, .env = env, .with_zones = with_zones, .err = err};
    tp_dict_init(&checker.name_index, program->alloc);
    const tapeout_status status = tp_feature_check(&checker, lines);
    tp_dict_deinit(&checker.name_index);
    tp_free_array(program->alloc, checker.slots, checker.slot_count, sizeof(uint32_t));
    return status == TAPEOUT_OK ? tp_feature_layout(program, err) : status;
}

tapeout_status tp_feature_compile(const tp_env *env, tp_str text, const tp_schema *schema,
                                  bool with_zones, tp_feature_program **ret_program,
                                  tapeout_error *err)
{
    tp_feature_program *program = tp_alloc_zero(env->alloc, sizeof(*program));
    if (program == NULL) {
        return tp_fail_nomem(err);
    }
    program->alloc = env->alloc;
    tp_arena_init(&program->arena, env->alloc, TP_MAX_FEATURE_ARENA);
    tp_arena_init(&program->layout, env->alloc, TP_MAX_FEATURE_ARENA);
    tp_dict_init(&program->constants, env->alloc);
    tapeout_status status = copy_schema(program, schema, err);
    if (status == TAPEOUT_OK && text.size <= TP_MAX_FEATURE_TEXT_BYTES) {
        text = tp_arena_str(&program->arena, text);
        status = text.data == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    if (status == TAPEOUT_OK) {
        program->text = text;
        status = compile(program, env, with_zones, err);
    }
    if (status != TAPEOUT_OK) {
        tp_feature_program_free(program);
        return status;
    }
    *ret_program = program;
    return TAPEOUT_OK;
}

tapeout_status tp_feature_parse(const tp_env *env, tp_str text, const tp_schema *schema,
                                tp_feature_program **ret_program, tapeout_error *err)
{
    return tp_feature_compile(env, text, schema, true, ret_program, err);
}

uint32_t tp_feature_output_count(const tp_feature_program *program)
{
    return program->output_count;
}

const tp_feature_output *tp_feature_output_at(const tp_feature_program *program, uint32_t index)
{
    return &program->outputs[index];
}

const tp_schema *tp_feature_schema(const tp_feature_program *program)
{
    return &program->schema;
}

tp_str tp_feature_text(const tp_feature_program *program)
{
    return program->text;
}

bool tp_feature_uses_column(const tp_feature_program *program, uint32_t column)
{
    return column < program->schema.count && program->column_used[column];
}
