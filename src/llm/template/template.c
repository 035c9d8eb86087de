// SPDX-License-Identifier: Apache-2.0
//
// A chat template from the outside: parsed once into an arena of its own, rendered into an arena a
// render. The variables are those that transformers gives: messages, tools, documents, bos_token,
// eos_token, add_generation_prompt, and whatever the request adds.
#include "llm/template/tp_template.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "llm/template/jinja_priv.h"

#include <string.h>

struct tp_template {
    const tp_env *env;
    tp_arena arena; // source and tree
    tp_str source;
    tp_jinja_node *body;
};

static tapeout_status parse(tp_template *made, tp_str source, tapeout_error *err)
{
    size_t offset;
    tp_jinja_tokens tokens;
    if (source.size > TP_MAX_TEMPLATE_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "chat template: %zu bytes; at most %u are taken",
                       source.size, TP_MAX_TEMPLATE_BYTES);
    }
    if (!tp_utf8_check(source, &offset)) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, offset, "chat template: no UTF-8 at byte %zu",
                          offset);
    }
    made->source = tp_arena_str(&made->arena, source);
    if (made->source.data == NULL) {
        return tp_arena_check(&made->arena, "chat template", err);
    }
    TP_TRY(tp_jinja_lex(&made->arena, made->source, &tokens, err));
    return tp_jinja_parse(&made->arena, &tokens, &made->body, err);
}

tapeout_status tp_template_new(const tp_env *env, tp_str source, tp_template **ret_template,
                               tapeout_error *err)
{
    tp_template *made = tp_alloc_zero(env->alloc, sizeof(*made));
    if (made == NULL) {
        return tp_fail_nomem(err);
    }
    made->env = env;
    tp_arena_init(&made->arena, env->alloc, TP_MAX_TEMPLATE_TREE_BYTES);
    const tapeout_status status = parse(made, source, err);
    if (status != TAPEOUT_OK) {
        tp_template_free(made);
        return status;
    }
    *ret_template = made;
    return TAPEOUT_OK;
}

void tp_template_free(tp_template *made)
{
    if (made != NULL) {
        tp_arena_deinit(&made->arena);
        tp_free(made->env->alloc, made, sizeof(*made));
    }
}

tp_str tp_template_source(const tp_template *made)
{
    return made->source;
}

static tapeout_status set_json(tp_jinja_run *run, tp_str name, yyjson_val *json)
{
    tp_jinja_value value = tp_jinja_none();
    if (json != NULL) {
        TP_TRY(tp_jinja_from_json(run, json, &value));
    }
    return tp_jinja_assign(run, run->scope, name, value);
}

static tapeout_status set_text(tp_jinja_run *run, tp_str name, tp_str text)
{
    tp_jinja_value value;
    const tp_str some = text.data != NULL ? text : TP_STR("");
    TP_TRY(tp_jinja_text_view(run, some, false, &value));
    return tp_jinja_assign(run, run->scope, name, value);
}

static tapeout_status set_variables(tp_jinja_run *run, const tp_template_input *input)
{
    TP_TRY(set_json(run, TP_STR("messages"), input->messages));
    TP_TRY(set_json(run, TP_STR("tools"), input->tools));
    TP_TRY(set_json(run, TP_STR("documents"), NULL));
    TP_TRY(set_text(run, TP_STR("bos_token"), input->bos_token));
    TP_TRY(set_text(run, TP_STR("eos_token"), input->eos_token));
    TP_TRY(tp_jinja_assign(run, run->scope, TP_STR("add_generation_prompt"),
                           tp_jinja_bool(input->add_generation_prompt)));
    yyjson_obj_iter it = yyjson_obj_iter_with(input->extra);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        const tp_str name = {yyjson_get_str(key), yyjson_get_len(key)};
        TP_TRY(set_json(run, name, yyjson_obj_iter_get_val(key)));
    }
    return TAPEOUT_OK;
}

// Where marks change, twice over the text: count, then write.
static tapeout_status take_runs(const tp_env *env, const tp_jinja_out *out, tp_rendered *rendered,
                                tapeout_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < out->size; i++) {
        count += i == 0 || out->marks[i] != out->marks[i - 1];
    }
    tp_template_run *runs = tp_alloc_array(env->alloc, count, sizeof(*runs));
    if (runs == NULL) {
        return tp_fail_nomem(err);
    }
    rendered->runs = runs;
    rendered->run_count = count;
    count = 0;
    for (size_t i = 0; i < out->size; i++) {
        if (i == 0 || out->marks[i] != out->marks[i - 1]) {
            runs[count++] = (tp_template_run){i, i, out->marks[i] == 0};
        }
        runs[count - 1].end = i + 1;
    }
    return TAPEOUT_OK;
}

static tapeout_status render(const tp_template *made, const tp_template_input *input,
                             tp_arena *arena, tp_rendered *rendered, tapeout_error *err)
{
    tp_jinja_out out;
    tp_jinja_scope globals = {0};
    tp_jinja_scope scope = {.parent = &globals};
    tp_jinja_run run = {
        .arena = arena, .err = err, .scope = &globals, .out = &out, .now_s = input->now_s};
    tp_jinja_out_init(&out, arena);
    TP_TRY(set_variables(&run, input));
    run.scope = &scope;
    TP_TRY(tp_jinja_run_body(&run, made->body));
    tp_buffer_init(&rendered->text, made->env->alloc, TP_MAX_TEMPLATE_OUTPUT_BYTES);
    tp_buffer_append(&rendered->text, out.data, out.size);
    TP_TRY(tp_buffer_check(&rendered->text, "chat template", err));
    return take_runs(made->env, &out, rendered, err);
}

tapeout_status tp_template_render(const tp_template *made, const tp_template_input *input,
                                  tp_rendered *ret_rendered, tapeout_error *err)
{
    tp_arena arena;
    tp_rendered rendered = {0};
    tp_buffer_init(&rendered.text, made->env->alloc, TP_MAX_TEMPLATE_OUTPUT_BYTES);
    tp_arena_init(&arena, made->env->alloc, TP_MAX_TEMPLATE_RENDER_BYTES);
    const tapeout_status status = render(made, input, &arena, &rendered, err);
    tp_arena_deinit(&arena);
    if (status != TAPEOUT_OK) {
        tp_rendered_deinit(&rendered);
        return status;
    }
    *ret_rendered = rendered;
    return TAPEOUT_OK;
}

void tp_rendered_deinit(tp_rendered *rendered)
{
    const tapeout_allocator *alloc = rendered->text.alloc;
    if (rendered->runs != NULL) {
        tp_free_array(alloc, rendered->runs, rendered->run_count, sizeof(*rendered->runs));
    }
    tp_buffer_deinit(&rendered->text);
    rendered->runs = NULL;
    rendered->run_count = 0;
}
