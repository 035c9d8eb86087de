// SPDX-License-Identifier: Apache-2.0
//
// What the tests of templates share: a template rendered over messages in one call.
#ifndef TEMPLATE_CASES_H
#define TEMPLATE_CASES_H

#include "base/tp_error.h"
#include "llm/template/tp_template.h"
#include "table/tp_json.h"

// Renders `source` with the messages and tools in `json`: {"messages": [...], "tools": [...]}.
static inline tapeout_status template_case(const tp_env *env, tp_str source, tp_str json,
                                           tp_rendered *ret, tapeout_error *err)
{
    yyjson_doc *doc;
    tp_template *made;
    TP_TRY(tp_json_parse(env->alloc, json, "case", &doc, err));
    tapeout_status status = tp_template_new(env, source, &made, err);
    if (status == TAPEOUT_OK) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        const tp_template_input input = {.messages = yyjson_obj_get(root, "messages"),
                                         .tools = yyjson_obj_get(root, "tools"),
                                         .extra = yyjson_obj_get(root, "extra"),
                                         .bos_token = TP_STR("<s>"),
                                         .eos_token = TP_STR("</s>"),
                                         .add_generation_prompt = true,
                                         .now_s = 1753600000};
        status = tp_template_render(made, &input, ret, err);
        tp_template_free(made);
    }
    yyjson_doc_free(doc);
    return status;
}

#endif
