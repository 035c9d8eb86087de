// SPDX-License-Identifier: Apache-2.0
//
// Text to tree: tokens, nodes and lines of a feature program, and the one way to complain with line
// and column. Trees lie in an arena and end with the parse.
#ifndef FEATURE_AST_H
#define FEATURE_AST_H

#include "base/limits.h"
#include "base/tp_arena.h"
#include "base/tp_error.h"

// -- text to tree --------------------------------------------------------------------------------
typedef enum tp_feature_token_kind {
    TP_TOKEN_END,
    TP_TOKEN_NEWLINE,
    TP_TOKEN_NAME,   // text: the name
    TP_TOKEN_NUMBER, // number
    TP_TOKEN_STRING, // text: decoded
    TP_TOKEN_LEFT,
    TP_TOKEN_RIGHT,
    TP_TOKEN_COMMA,
    TP_TOKEN_ASSIGN,
    TP_TOKEN_ADD,
    TP_TOKEN_SUB,
    TP_TOKEN_MUL,
    TP_TOKEN_DIV,
    TP_TOKEN_MOD,
    TP_TOKEN_EQ,
    TP_TOKEN_NE,
    TP_TOKEN_LT,
    TP_TOKEN_LE,
    TP_TOKEN_GT,
    TP_TOKEN_GE,
    TP_TOKEN_AND,
    TP_TOKEN_OR,
    TP_TOKEN_NOT,
    TP_TOKEN_TRUE,
    TP_TOKEN_FALSE
} tp_feature_token_kind;

typedef struct tp_feature_place {
    uint32_t line;   // from 1
    uint32_t column; // from 1, in characters
} tp_feature_place;

typedef struct tp_feature_token {
    tp_feature_token_kind kind;
    tp_feature_place place;
    tp_str text;   // as written; decoded for strings and quoted names
    double number; // NUMBER
} tp_feature_token;

typedef struct tp_feature_lexer {
    tp_arena *arena; // of decoded strings
    tp_str text;
    size_t position;
    tp_feature_place place;
    uint32_t depth; // of open parentheses: inside them a line may be broken
} tp_feature_lexer;

tapeout_status tp_feature_lex(tp_feature_lexer *lexer, tp_feature_token *ret_token,
                              tapeout_error *err);

typedef enum tp_feature_node_kind {
    TP_NODE_NUMBER,
    TP_NODE_BOOL,
    TP_NODE_STRING,
    TP_NODE_NAME,
    TP_NODE_CALL,
    TP_NODE_UNARY, // op: SUB or NOT
    TP_NODE_BINARY
} tp_feature_node_kind;

typedef struct tp_feature_node {
    tp_feature_node_kind kind;
    tp_feature_token_kind op;
    tp_feature_place place;
    uint32_t height; // of the tree below, at most TP_MAX_FEATURE_HEIGHT
    uint32_t arg_count;
    double number;                 // NUMBER, BOOL
    tp_str text;                   // STRING, NAME; CALL: the function's name
    tp_str label;                  // of a named argument, else empty
    struct tp_feature_node **args; // [arg_count]
} tp_feature_node;

typedef struct tp_feature_line {
    tp_str name;
    tp_feature_place place;
    tp_feature_node *value;
    struct tp_feature_line *next;
} tp_feature_line;

// The lines in order; NULL for an empty program. Everything lies in `arena`.
tapeout_status tp_feature_parse_text(tp_arena *arena, tp_str text, tp_feature_line **ret_lines,
                                     tapeout_error *err);

// E_INVALID "features:LINE:COLUMN: ...".
tapeout_status tp_feature_fail(tapeout_error *err, tp_feature_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same as E_DATA, for what the rows and not the program are to blame for.
tapeout_status tp_feature_fail_data(tapeout_error *err, tp_feature_place place, const char *format,
                                    ...) __attribute__((format(printf, 3, 4)));

#endif
