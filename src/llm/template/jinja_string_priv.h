// SPDX-License-Identifier: Apache-2.0
//
// Operations on texts that filters, methods and operators share. Each keeps the marks of what it
// copies.
#ifndef TP_JINJA_STRING_PRIV_H
#define TP_JINJA_STRING_PRIV_H

#include "llm/template/jinja_priv.h"

typedef enum tp_jinja_case {
    TP_JINJA_UPPER,
    TP_JINJA_LOWER,
    TP_JINJA_CAPITALIZE,   // the first character up, the rest down
    TP_JINJA_TITLE,        // str.title: after anything that is no letter
    TP_JINJA_TITLE_FILTER, // |title: after white space, - ( { [ <
} tp_jinja_case;
tapeout_status tp_jinja_change_case(tp_jinja_run *run, const tp_jinja_text *text, tp_jinja_case how,
                                    tp_jinja_value *ret);
enum { TP_JINJA_STRIP_LEFT = 1, TP_JINJA_STRIP_RIGHT = 2 };
tapeout_status tp_jinja_strip(tp_jinja_run *run, const tp_jinja_text *text,
                              const tp_jinja_value *chars /* may be NULL */, int sides,
                              tp_jinja_value *ret);
tapeout_status tp_jinja_replace(tp_jinja_run *run, const tp_jinja_text *text,
                                const tp_jinja_text *const from_to[2], int64_t count,
                                tp_jinja_value *ret);
tapeout_status tp_jinja_join(tp_jinja_run *run, const tp_jinja_list *list,
                             const tp_jinja_text *between, bool needs_text, tp_jinja_value *ret);
tapeout_status tp_jinja_format(tp_jinja_run *run, const tp_jinja_text *format,
                               const tp_jinja_list *values, tp_jinja_value *ret);

#endif
