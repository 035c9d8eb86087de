// SPDX-License-Identifier: Apache-2.0
//
// Statements: bodies, conditions, loops, assignment, macros, and the scopes that names live in. A
// loop, a macro and a captured block have names of their own that end with them; an if has none.
// What a block captures (set, call, filter, a macro's body) is built beside the output and keeps
// its marks.
#include "llm/template/jinja_priv.h"

#include <string.h>

const tp_jinja_value *tp_jinja_lookup(const tp_jinja_run *run, tp_str name)
{
    for (const tp_jinja_scope *scope = run->scope; scope != NULL; scope = scope->parent) {
        for (size_t i = 0; i < scope->count; i++) {
            if (tp_str_equal(scope->variables[i].name, name)) {
                return &scope->variables[i].value;
            }
        }
    }
    return NULL;
}

tapeout_status tp_jinja_assign(tp_jinja_run *run, tp_jinja_scope *scope, tp_str name,
                               tp_jinja_value value)
{
    for (size_t i = 0; i < scope->count; i++) {
        if (tp_str_equal(scope->variables[i].name, name)) {
            scope->variables[i].value = value;
            return TAPEOUT_OK;
        }
    }
    if (scope->count == scope->capacity) {
        const size_t capacity = scope->capacity == 0 ? 4 : scope->capacity * 2;
        tp_jinja_variable *more = tp_arena_array(run->arena, capacity, sizeof(*more));
        if (more == NULL) {
            return tp_jinja_fail_memory(run);
        }
        if (scope->count > 0) {
            memcpy(more, scope->variables, scope->count * sizeof(*more));
        }
        scope->variables = more;
        scope->capacity = capacity;
    }
    scope->variables[scope->count++] = (tp_jinja_variable){name, value};
    return TAPEOUT_OK;
}

static tapeout_status push_scope(tp_jinja_run *run, tp_jinja_scope *parent)
{
    tp_jinja_scope *scope = tp_arena_alloc(run->arena, sizeof(*scope));
    if (scope == NULL) {
        return tp_jinja_fail_memory(run);
    }
    scope->parent = parent;
    run->scope = scope;
    return TAPEOUT_OK;
}

static tapeout_status set_attribute(tp_jinja_run *run, const tp_jinja_node *target,
                                    const tp_jinja_value *value)
{
    tp_jinja_value owner;
    TP_TRY(tp_jinja_eval(run, target->a, &owner));
    run->at = target;
    if (owner.kind != TP_JINJA_NAMESPACE) {
        return tp_jinja_fail(run, "cannot set an attribute of %s, only of a namespace",
                             tp_jinja_type_name(&owner));
    }
    tp_jinja_value key;
    TP_TRY(tp_jinja_text_view(run, target->name, false, &key));
    return tp_jinja_dict_set(run, owner.dict, key, *value);
}

// `target` is a name, an attribute of a namespace, or several of them.
static tapeout_status set_target(tp_jinja_run *run, const tp_jinja_node *target,
                                 const tp_jinja_value *value)
{
    if (target->kind == TP_JINJA_N_NAME) {
        return tp_jinja_assign(run, run->scope, target->name, *value);
    }
    if (target->kind == TP_JINJA_N_ATTRIBUTE) {
        return set_attribute(run, target, value);
    }
    const tp_jinja_list *list;
    size_t count = 0;
    run->at = target;
    TP_TRY(tp_jinja_iterate(run, value, &list));
    for (const tp_jinja_node *item = target->items; item != NULL; item = item->next) {
        if (count == list->count) {
            break;
        }
        TP_TRY(set_target(run, item, &list->items[count++]));
    }
    size_t wanted = 0;
    for (const tp_jinja_node *item = target->items; item != NULL; item = item->next) {
        wanted++;
    }
    if (wanted != list->count) {
        return tp_jinja_fail(run, "%zu values for %zu names", list->count, wanted);
    }
    return TAPEOUT_OK;
}

// Runs a body in the present scope with its output apart.
static tapeout_status capture(tp_jinja_run *run, const tp_jinja_node *body, tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out *outer = run->out;
    tp_jinja_out_init(&out, run->arena);
    run->out = &out;
    TP_TRY(tp_jinja_run_body(run, body));
    run->out = outer;
    return tp_jinja_take(run, &out, ret);
}

// The same with names of its own.
static tapeout_status capture_scoped(tp_jinja_run *run, const tp_jinja_node *body,
                                     tp_jinja_value *ret)
{
    tp_jinja_scope *outer = run->scope;
    TP_TRY(push_scope(run, outer));
    TP_TRY(capture(run, body, ret));
    run->scope = outer;
    return TAPEOUT_OK;
}

static tapeout_status run_set(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_value value;
    if (node->b != NULL) {
        TP_TRY(tp_jinja_eval(run, node->b, &value));
    } else {
        TP_TRY(capture_scoped(run, node->body, &value));
        if (node->c != NULL) {
            const tp_jinja_value text = value;
            TP_TRY(tp_jinja_filter_node(run, node->c, &text, &value));
        }
    }
    return set_target(run, node->a, &value);
}

static tapeout_status run_if(tp_jinja_run *run, const tp_jinja_node *node)
{
    for (;;) {
        tp_jinja_value test;
        TP_TRY(tp_jinja_eval(run, node->a, &test));
        if (tp_jinja_is_true(&test)) {
            return tp_jinja_run_body(run, node->body);
        }
        const tp_jinja_node *other = node->orelse;
        if (other == NULL || other->kind != TP_JINJA_N_IF || other->next != NULL) {
            return tp_jinja_run_body(run, other);
        }
        node = other; // elif
    }
}

// The items of a loop that its condition lets through.
static tapeout_status choose(tp_jinja_run *run, const tp_jinja_node *node,
                             const tp_jinja_list **inout)
{
    tp_jinja_value made;
    tp_jinja_scope *outer = run->scope;
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &made));
    TP_TRY(push_scope(run, outer));
    for (size_t i = 0; i < (*inout)->count; i++) {
        tp_jinja_value test;
        run->scope->count = 0;
        TP_TRY(set_target(run, node->a, &(*inout)->items[i]));
        TP_TRY(tp_jinja_eval(run, node->c, &test));
        if (tp_jinja_is_true(&test)) {
            TP_TRY(tp_jinja_list_add(run, made.list, (*inout)->items[i]));
        }
    }
    run->scope = outer;
    *inout = made.list;
    return TAPEOUT_OK;
}

static tapeout_status run_loop(tp_jinja_run *run, const tp_jinja_node *node,
                               const tp_jinja_list *list)
{
    tp_jinja_scope *outer = run->scope;
    tp_jinja_loop *loop = tp_arena_alloc(run->arena, sizeof(*loop));
    if (loop == NULL) {
        return tp_jinja_fail_memory(run);
    }
    TP_TRY(push_scope(run, outer));
    *loop = (tp_jinja_loop){.list = list, .depth = ++run->loop_depth};
    for (; loop->index < list->count && run->flow != TP_JINJA_BROKEN; loop->index++) {
        run->scope->count = 0;
        run->flow = TP_JINJA_GO_ON;
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(tp_jinja_assign(run, run->scope, TP_STR("loop"),
                               (tp_jinja_value){.kind = TP_JINJA_LOOP, .loop = loop}));
        TP_TRY(set_target(run, node->a, &list->items[loop->index]));
        TP_TRY(tp_jinja_run_body(run, node->body));
    }
    run->flow = TP_JINJA_GO_ON;
    run->loop_depth--;
    run->scope = outer;
    return TAPEOUT_OK;
}

static tapeout_status run_for(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_value over;
    const tp_jinja_list *list;
    TP_TRY(tp_jinja_eval(run, node->b, &over));
    run->at = node->b;
    TP_TRY(tp_jinja_iterate(run, &over, &list));
    if (node->c != NULL) {
        TP_TRY(choose(run, node, &list));
    }
    return list->count > 0 ? run_loop(run, node, list) : tp_jinja_run_body(run, node->orelse);
}

static tapeout_status index_item(tp_jinja_run *run, const tp_jinja_loop *loop, int64_t index,
                                 tp_jinja_value *ret)
{
    if (index < 0 || (size_t)index >= loop->list->count) {
        return tp_jinja_undefined(run, TP_STR("an item beyond the loop"), ret);
    }
    *ret = loop->list->items[index];
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_loop_attribute(tp_jinja_run *run, const tp_jinja_loop *loop, tp_str name,
                                       tp_jinja_value *ret)
{
    const int64_t index = (int64_t)loop->index;
    const int64_t count = (int64_t)loop->list->count;
    const struct {
        const char *name;
        tp_jinja_value value;
    } facts[] = {
        {"index", tp_jinja_int(index + 1)},
        {"index0", tp_jinja_int(index)},
        {"revindex", tp_jinja_int(count - index)},
        {"revindex0", tp_jinja_int(count - index - 1)},
        {"first", tp_jinja_bool(index == 0)},
        {"last", tp_jinja_bool(index + 1 == count)},
        {"length", tp_jinja_int(count)},
        {"depth", tp_jinja_int((int64_t)loop->depth)},
        {"depth0", tp_jinja_int((int64_t)loop->depth - 1)},
    };
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (tp_str_equal(name, tp_str_from(facts[i].name))) {
            *ret = facts[i].value;
            return TAPEOUT_OK;
        }
    }
    if (tp_str_equal(name, TP_STR("previtem")) || tp_str_equal(name, TP_STR("nextitem"))) {
        return index_item(run, loop, index + (name.data[0] == 'p' ? -1 : 1), ret);
    }
    if (tp_str_equal(name, TP_STR("cycle")) || tp_str_equal(name, TP_STR("changed"))) {
        return tp_jinja_fail(run, "loop.%.*s is not supported", TP_STR_ARGS(name));
    }
    return tp_jinja_undefined(run, name, ret);
}

static const tp_jinja_value *keyword_of(const tp_jinja_call *call, tp_str name)
{
    for (size_t i = 0; i < call->keyword_count; i++) {
        if (tp_str_equal(call->keywords[i].name, name)) {
            return &call->keywords[i].value;
        }
    }
    return NULL;
}

// Arguments to parameters, in the macro's own scope, where defaults are told too.
static tapeout_status bind_parameters(tp_jinja_run *run, const tp_jinja_macro *macro,
                                      const tp_jinja_call *call)
{
    size_t count = 0;
    size_t named = 0;
    for (const tp_jinja_node *item = macro->node->items; item != NULL; item = item->next, count++) {
        const tp_jinja_value *keyword = keyword_of(call, item->name);
        tp_jinja_value value;
        if (count < call->count) {
            value = call->positional[count];
        } else if (keyword != NULL) {
            value = *keyword;
            named++;
        } else if (item->a != NULL) {
            TP_TRY(tp_jinja_eval(run, item->a, &value));
        } else {
            TP_TRY(tp_jinja_undefined(run, item->name, &value));
        }
        TP_TRY(tp_jinja_assign(run, run->scope, item->name, value));
    }
    const tp_jinja_value *caller = keyword_of(call, TP_STR("caller"));
    if (caller != NULL) {
        TP_TRY(tp_jinja_assign(run, run->scope, TP_STR("caller"), *caller));
        named++;
    }
    if (call->count > count || named < call->keyword_count) {
        return tp_jinja_fail(run, "the macro '%.*s' takes no such arguments",
                             TP_STR_ARGS(macro->node->name));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_call_macro(tp_jinja_run *run, const tp_jinja_macro *macro,
                                   const tp_jinja_call *call, tp_jinja_value *ret)
{
    tp_jinja_scope *outer = run->scope;
    const size_t loop_depth = run->loop_depth;
    run->loop_depth = 0;
    TP_TRY(push_scope(run, macro->scope));
    TP_TRY(bind_parameters(run, macro, call));
    TP_TRY(capture(run, macro->node->body, ret));
    run->scope = outer;
    run->loop_depth = loop_depth;
    return TAPEOUT_OK;
}

static tapeout_status new_macro(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_macro *macro = tp_arena_alloc(run->arena, sizeof(*macro));
    if (macro == NULL) {
        return tp_jinja_fail_memory(run);
    }
    *macro = (tp_jinja_macro){node, run->scope};
    *ret = (tp_jinja_value){.kind = TP_JINJA_MACRO, .macro = macro};
    return TAPEOUT_OK;
}

static tapeout_status run_call_block(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_value caller;
    tp_jinja_value value;
    TP_TRY(new_macro(run, node, &caller));
    TP_TRY(tp_jinja_call_node(run, node->a, &caller, &value));
    return tp_jinja_print(run, &value, run->out);
}

static tapeout_status run_with(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_scope *outer = run->scope;
    TP_TRY(push_scope(run, outer));
    tp_jinja_scope *inner = run->scope;
    for (const tp_jinja_node *item = node->items; item != NULL; item = item->next) {
        tp_jinja_value value;
        run->scope = outer; // values see the names outside
        TP_TRY(tp_jinja_eval(run, item->b, &value));
        run->scope = inner;
        TP_TRY(set_target(run, item->a, &value));
    }
    TP_TRY(tp_jinja_run_body(run, node->body));
    run->scope = outer;
    return TAPEOUT_OK;
}

static tapeout_status run_scope(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_scope *outer = run->scope;
    TP_TRY(push_scope(run, outer));
    TP_TRY(tp_jinja_run_body(run, node->body));
    run->scope = outer;
    return TAPEOUT_OK;
}

static tapeout_status run_output(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_value value;
    TP_TRY(tp_jinja_eval(run, node->a, &value));
    run->at = node;
    return tp_jinja_print(run, &value, run->out);
}

static tapeout_status run_statement(tp_jinja_run *run, const tp_jinja_node *node)
{
    tp_jinja_value value;
    switch ((int)node->kind) {
    case TP_JINJA_N_TEXT:
        tp_jinja_put_text(run->out, node->value.text);
        return TAPEOUT_OK;
    case TP_JINJA_N_OUTPUT:
        return run_output(run, node);
    case TP_JINJA_N_IF:
        return run_if(run, node);
    case TP_JINJA_N_FOR:
        return run_for(run, node);
    case TP_JINJA_N_SET:
        return run_set(run, node);
    case TP_JINJA_N_MACRO:
        TP_TRY(new_macro(run, node, &value));
        return tp_jinja_assign(run, run->scope, node->name, value);
    case TP_JINJA_N_CALL_BLOCK:
        return run_call_block(run, node);
    case TP_JINJA_N_FILTER_BLOCK: {
        tp_jinja_value text;
        TP_TRY(capture_scoped(run, node->body, &text));
        TP_TRY(tp_jinja_filter_node(run, node->a, &text, &value));
        return tp_jinja_print(run, &value, run->out);
    }
    case TP_JINJA_N_WITH:
        return run_with(run, node);
    case TP_JINJA_N_SCOPE:
        return run_scope(run, node);
    default:
        run->flow = node->kind == TP_JINJA_N_BREAK ? TP_JINJA_BROKEN : TP_JINJA_CONTINUED;
        return TAPEOUT_OK;
    }
}

tapeout_status tp_jinja_run_body(tp_jinja_run *run, const tp_jinja_node *body)
{
    TP_TRY(tp_jinja_descend(run));
    for (const tp_jinja_node *node = body; node != NULL && run->flow == TP_JINJA_GO_ON;
         node = node->next) {
        run->at = node;
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(run_statement(run, node));
        if (run->out->has_failed) {
            tp_jinja_value none;
            return tp_jinja_take(run, run->out, &none); // tells why
        }
    }
    run->depth--;
    return TAPEOUT_OK;
}
