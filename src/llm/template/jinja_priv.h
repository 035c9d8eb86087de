// SPDX-License-Identifier: Apache-2.0
//
// The interpreter of chat templates, inside: tokens, the tree, a run. The stages are lex (bytes to
// tokens, white space around tags settled), parse (tokens to a tree, filters and tests looked up)
// and run (the tree is walked; there is no bytecode, a chat template runs once a request).
#ifndef TP_JINJA_PRIV_H
#define TP_JINJA_PRIV_H

#include "base/tp_env.h"
#include "base/tp_error.h"
#include "llm/template/jinja_value_priv.h"

typedef enum tp_jinja_token_kind {
    TP_JINJA_T_END,
    TP_JINJA_T_DATA,
    TP_JINJA_T_OUTPUT_BEGIN,
    TP_JINJA_T_OUTPUT_END,
    TP_JINJA_T_BLOCK_BEGIN,
    TP_JINJA_T_BLOCK_END,
    TP_JINJA_T_NAME,
    TP_JINJA_T_STRING,
    TP_JINJA_T_NUMBER, // `value`
    TP_JINJA_T_ADD,
    TP_JINJA_T_SUB,
    TP_JINJA_T_MUL,
    TP_JINJA_T_DIV,
    TP_JINJA_T_FLOORDIV,
    TP_JINJA_T_MOD,
    TP_JINJA_T_POW,
    TP_JINJA_T_TILDE,
    TP_JINJA_T_EQ,
    TP_JINJA_T_NE,
    TP_JINJA_T_GT,
    TP_JINJA_T_GE,
    TP_JINJA_T_LT,
    TP_JINJA_T_LE,
    TP_JINJA_T_IN, // made by the parser from names
    TP_JINJA_T_NOT_IN,
    TP_JINJA_T_ASSIGN,
    TP_JINJA_T_DOT,
    TP_JINJA_T_COLON,
    TP_JINJA_T_PIPE,
    TP_JINJA_T_COMMA,
    TP_JINJA_T_LEFT_PAREN,
    TP_JINJA_T_RIGHT_PAREN,
    TP_JINJA_T_LEFT_BRACKET,
    TP_JINJA_T_RIGHT_BRACKET,
    TP_JINJA_T_LEFT_BRACE,
    TP_JINJA_T_RIGHT_BRACE,
} tp_jinja_token_kind;

typedef struct tp_jinja_place {
    uint32_t line;
    uint32_t column;
} tp_jinja_place;

typedef struct tp_jinja_token {
    tp_jinja_token_kind kind;
    tp_jinja_place place;
    tp_str text; // of data, names and strings, escapes resolved
    tp_jinja_value value;
} tp_jinja_token;

typedef struct tp_jinja_tokens {
    tp_jinja_token *items; // the last is TP_JINJA_T_END
    size_t count;
    size_t capacity;
} tp_jinja_tokens;

typedef enum tp_jinja_node_kind {
    // Expressions.
    TP_JINJA_N_LITERAL,     // value
    TP_JINJA_N_NAME,        // name
    TP_JINJA_N_LIST,        // items
    TP_JINJA_N_TUPLE,       // items; also a target of several names
    TP_JINJA_N_DICT,        // items: key, value, key, value
    TP_JINJA_N_ATTRIBUTE,   // a.name
    TP_JINJA_N_ITEM,        // a[b]
    TP_JINJA_N_SLICE,       // a[b:c:d]
    TP_JINJA_N_CALL,        // a(items)
    TP_JINJA_N_KEYWORD,     // name = a, among the items of a call
    TP_JINJA_N_FILTER,      // a | builtin(items); a NULL: the text of a block
    TP_JINJA_N_TEST,        // a is builtin(items)
    TP_JINJA_N_NOT,         // a
    TP_JINJA_N_NEGATE,      // - a
    TP_JINJA_N_PLUS,        // + a
    TP_JINJA_N_BINARY,      // a op b
    TP_JINJA_N_CONCAT,      // items
    TP_JINJA_N_COMPARE,     // a, then items: each op and a
    TP_JINJA_N_AND,         // a, b
    TP_JINJA_N_OR,          // a, b
    TP_JINJA_N_CONDITIONAL, // a if b else c
    // Statements; a body is a chain by `next`.
    TP_JINJA_N_TEXT,         // value
    TP_JINJA_N_OUTPUT,       // a
    TP_JINJA_N_IF,           // a, body, orelse
    TP_JINJA_N_FOR,          // target a, over b, where c, body, orelse
    TP_JINJA_N_SET,          // target a, value b; b NULL: the body, through filters c
    TP_JINJA_N_MACRO,        // name, items: parameters (name, default a), body
    TP_JINJA_N_CALL_BLOCK,   // call a, items: parameters, body
    TP_JINJA_N_FILTER_BLOCK, // filters a, body
    TP_JINJA_N_WITH,         // items: target a, value b; body
    TP_JINJA_N_SCOPE,        // body, with names of its own (generation blocks)
    TP_JINJA_N_BREAK,
    TP_JINJA_N_CONTINUE,
} tp_jinja_node_kind;

typedef struct tp_jinja_node tp_jinja_node;
struct tp_jinja_node {
    tp_jinja_node_kind kind;
    tp_jinja_token_kind op;
    tp_jinja_place place;
    tp_str name;
    tp_jinja_value value;
    const tp_jinja_builtin *builtin;
    tp_jinja_node *a;
    tp_jinja_node *b;
    tp_jinja_node *c;
    tp_jinja_node *d;
    tp_jinja_node *items;
    tp_jinja_node *body;
    tp_jinja_node *orelse;
    tp_jinja_node *next;
};

// "chat template:LINE:COLUMN: ..."
tapeout_status tp_jinja_fail_at(tapeout_error *err, tapeout_status status, tp_jinja_place place,
                                const char *format, ...) __attribute__((format(printf, 4, 5)));

tapeout_status tp_jinja_lex(tp_arena *arena, tp_str source, tp_jinja_tokens *ret_tokens,
                            tapeout_error *err);

typedef struct tp_jinja_parser {
    tp_arena *arena;
    const tp_jinja_token *at;
    uint32_t depth;
    uint32_t loop_depth; // for break and continue
    tapeout_error *err;
} tp_jinja_parser;

tapeout_status tp_jinja_parse(tp_arena *arena, const tp_jinja_tokens *tokens,
                              tp_jinja_node **ret_body, tapeout_error *err);

// Between jinja_parse.c (statements) and jinja_expression.c.
tapeout_status tp_jinja_node_new(tp_jinja_parser *parser, tp_jinja_node_kind kind,
                                 tp_jinja_node **ret);
tapeout_status tp_jinja_unexpected(tp_jinja_parser *parser, const char *expected);
tapeout_status tp_jinja_expect(tp_jinja_parser *parser, tp_jinja_token_kind kind, const char *what);
tapeout_status tp_jinja_expect_name(tp_jinja_parser *parser, tp_str *ret);
bool tp_jinja_at_name(const tp_jinja_token *token, const char *name);
bool tp_jinja_skip_name(tp_jinja_parser *parser, const char *name);
tapeout_status tp_jinja_enter(tp_jinja_parser *parser);
void tp_jinja_leave(tp_jinja_parser *parser);
tapeout_status tp_jinja_parse_expression(tp_jinja_parser *parser, bool with_condition,
                                         tp_jinja_node **ret);
// One expression, or several with commas between them as a tuple.
tapeout_status tp_jinja_parse_tuple(tp_jinja_parser *parser, bool with_condition,
                                    tp_jinja_node **ret);
tapeout_status tp_jinja_parse_target(tp_jinja_parser *parser, bool with_attribute,
                                     tp_jinja_node **ret);
// name(arguments) | name(arguments) ..., around `inner` (NULL: the text of a block).
tapeout_status tp_jinja_parse_filters(tp_jinja_parser *parser, tp_jinja_node *inner,
                                      tp_jinja_node **ret);

// -- running -------------------------------------------------------------------------------------

typedef struct tp_jinja_keyword {
    tp_str name;
    tp_jinja_value value;
} tp_jinja_keyword;

enum { TP_JINJA_MAX_ARGUMENTS = 32, TP_JINJA_MAX_PARAMETERS = 5 };

typedef struct tp_jinja_call {
    tp_jinja_value self;
    const tp_jinja_builtin *builtin;
    const tp_jinja_value *positional;
    size_t count;
    const tp_jinja_keyword *keywords;
    size_t keyword_count;
    // Of builtins that name their parameters: NULL where not given.
    const tp_jinja_value *bound[TP_JINJA_MAX_PARAMETERS];
} tp_jinja_call;

// A filter, a test, a method or a function.
struct tp_jinja_builtin {
    const char *name;
    const char *parameters; // "old new count"; "*" takes any
    size_t required;
    tapeout_status (*call)(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret);
};

const tp_jinja_builtin *tp_jinja_find_filter(tp_str name);
const tp_jinja_builtin *tp_jinja_find_filter_of_lists(tp_str name);
const tp_jinja_builtin *tp_jinja_find_filter_of_choice(tp_str name);
const tp_jinja_builtin *tp_jinja_find_test(tp_str name);
const tp_jinja_builtin *tp_jinja_find_text_method(tp_str name);
const tp_jinja_builtin *tp_jinja_find_container_method(tp_jinja_kind kind, tp_str name);
const tp_jinja_builtin *tp_jinja_find_function(tp_str name);
const tp_jinja_builtin *tp_jinja_find(const tp_jinja_builtin *table, size_t count, tp_str name);

typedef struct tp_jinja_variable {
    tp_str name;
    tp_jinja_value value;
} tp_jinja_variable;

typedef struct tp_jinja_scope tp_jinja_scope;
struct tp_jinja_scope {
    tp_jinja_scope *parent;
    size_t count;
    size_t capacity;
    tp_jinja_variable *variables;
};

struct tp_jinja_macro {
    const tp_jinja_node *node;
    tp_jinja_scope *scope; // where it was defined
};

struct tp_jinja_loop {
    const tp_jinja_list *list;
    size_t index;
    size_t depth;
    tp_jinja_list *changed; // what loop.changed saw last
};

typedef enum tp_jinja_flow { TP_JINJA_GO_ON, TP_JINJA_BROKEN, TP_JINJA_CONTINUED } tp_jinja_flow;

struct tp_jinja_run {
    tp_arena *arena;
    tapeout_error *err;
    const tp_jinja_node *at; // for messages
    tp_jinja_scope *scope;
    tp_jinja_out *out;
    uint64_t steps;
    uint32_t depth;
    size_t loop_depth;
    tp_jinja_flow flow;
    int64_t now_s;
};

// E_INVALID, at the place that is being run.
tapeout_status tp_jinja_fail(tp_jinja_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
tapeout_status tp_jinja_fail_limit(tp_jinja_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
tapeout_status tp_jinja_fail_memory(tp_jinja_run *run);
// `count` steps of work; E_LIMIT when the budget is spent.
tapeout_status tp_jinja_spend(tp_jinja_run *run, uint64_t count);
// Deeper by one, for whatever recurses; paired with `run->depth--` on success.
tapeout_status tp_jinja_descend(tp_jinja_run *run);

tapeout_status tp_jinja_eval(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret);
tapeout_status tp_jinja_binary(tp_jinja_run *run, tp_jinja_token_kind op, const tp_jinja_value *a,
                               const tp_jinja_value *b, tp_jinja_value *ret);
tapeout_status tp_jinja_attribute(tp_jinja_run *run, const tp_jinja_value *value, tp_str name,
                                  tp_jinja_value *ret);
tapeout_status tp_jinja_item(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_value *key, tp_jinja_value *ret);
tapeout_status tp_jinja_slice(tp_jinja_run *run, const tp_jinja_value *value,
                              const tp_jinja_value *bounds /* 3, none where open */,
                              tp_jinja_value *ret);
// "a.b.0" as the filters' attribute arguments have it.
tapeout_status tp_jinja_path(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_value *path, tp_jinja_value *ret);
tapeout_status tp_jinja_loop_attribute(tp_jinja_run *run, const tp_jinja_loop *loop, tp_str name,
                                       tp_jinja_value *ret);
const tp_jinja_value *tp_jinja_lookup(const tp_jinja_run *run, tp_str name);
tapeout_status tp_jinja_assign(tp_jinja_run *run, tp_jinja_scope *scope, tp_str name,
                               tp_jinja_value value);
tapeout_status tp_jinja_undefined(tp_jinja_run *run, tp_str name, tp_jinja_value *ret);
// Checks and names the arguments of a builtin, then calls it.
tapeout_status tp_jinja_call_builtin(tp_jinja_run *run, tp_jinja_call *call, tp_jinja_value *ret);
tapeout_status tp_jinja_call_macro(tp_jinja_run *run, const tp_jinja_macro *macro,
                                   const tp_jinja_call *call, tp_jinja_value *ret);
tapeout_status tp_jinja_call_node(tp_jinja_run *run, const tp_jinja_node *node,
                                  const tp_jinja_value *caller, tp_jinja_value *ret);
tapeout_status tp_jinja_filter_node(tp_jinja_run *run, const tp_jinja_node *node,
                                    const tp_jinja_value *text, tp_jinja_value *ret);
tapeout_status tp_jinja_run_body(tp_jinja_run *run, const tp_jinja_node *body);

// Arguments of builtins.
tapeout_status tp_jinja_need_text(tp_jinja_run *run, const tp_jinja_value *value, const char *what,
                                  const tp_jinja_text **ret);
tapeout_status tp_jinja_need_int(tp_jinja_run *run, const tp_jinja_value *value, const char *what,
                                 int64_t *ret);

// First place of `part` at or behind `from`, SIZE_MAX for none.
size_t tp_jinja_find_bytes(tp_str text, tp_str part, size_t from);

#endif
