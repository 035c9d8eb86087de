// SPDX-License-Identifier: Apache-2.0
//
// The words of a query: tokens come in order, stay inside the text, and end; a value quoted by us
// is one token that gives the value back; a forbidden call is found whatever stands around it.
#include "base/tp_alloc.h"
#include "table/sql_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_order(tp_str query)
{
    size_t offset = 0;
    size_t last = 0;
    sql_token token;
    while (tp_sql_token_next(query, &offset, &token)) {
        check(offset > last && offset <= query.size);
        check(token.text.data >= query.data + last);
        check(token.text.data + token.text.size <= query.data + offset);
        last = offset;
    }
    check(offset == query.size);
}

static void check_quoting(tp_str value, char quote, sql_token_kind kind)
{
    tp_buffer text;
    tp_buffer back;
    tp_buffer_init(&text, tp_allocator_default(), 1 << 24);
    tp_buffer_init(&back, tp_allocator_default(), 1 << 24);
    tp_sql_append_quoted(&text, quote, value);
    size_t offset = 0;
    sql_token token;
    check(tp_sql_token_next(tp_buffer_view(&text), &offset, &token));
    check(token.kind == kind && offset == text.size);
    tp_sql_token_value(&token, &back);
    check(tp_str_equal(tp_buffer_view(&back), value));
    tp_buffer_deinit(&text);
    tp_buffer_deinit(&back);
}

static void check_forbidden(tp_str around)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1 << 24);
    tp_buffer_append_str(&text, around);
    tp_buffer_append_text(&text, " Enable_Logging (");
    tp_buffer_append_str(&text, around);
    check(tp_sql_forbidden_call(tp_buffer_view(&text)) != NULL);
    tp_buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str query = {(const char *)data, size};
    check_order(query);
    check_quoting(query, '"', SQL_TOKEN_NAME);
    check_quoting(query, '\'', SQL_TOKEN_LITERAL);
    check_forbidden(query);
    return 0;
}
