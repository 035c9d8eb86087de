// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a chat template, rendered over a small conversation with a tool: no crash, bounded
// work, runs that cover the text.
#include "base/tp_error.h"
#include "llm/template/tp_template.h"
#include "table/tp_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char chat[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\" s \"},{\"role\":\"user\",\"content\":"
    "\"H\\u00e9 <b> 'q'\",\"n\":[1,2.5,true,null]},{\"role\":\"assistant\",\"content\":\"\","
    "\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],"
    "\"extra\":{\"l\":[3,1,2],\"w\":[\"b\",\"A\",\"a\"],\"d\":{\"k\":1,\"j\":\"v\"}}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    yyjson_doc *doc;
    tp_template *made;
    tp_rendered rendered;
    tapeout_error err;
    if (tp_json_parse(env.alloc, TP_STR(chat), "chat", &doc, &err) != TAPEOUT_OK) {
        return 0;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    const tp_template_input input = {.messages = yyjson_obj_get(root, "messages"),
                                     .tools = yyjson_obj_get(root, "tools"),
                                     .extra = yyjson_obj_get(root, "extra"),
                                     .bos_token = TP_STR("<s>"),
                                     .eos_token = TP_STR("</s>"),
                                     .add_generation_prompt = true,
                                     .now_s = 1753600000};
    if (tp_template_new(&env, (tp_str){(const char *)data, size}, &made, &err) == TAPEOUT_OK) {
        if (tp_template_render(made, &input, &rendered, &err) == TAPEOUT_OK) {
            size_t at = 0;
            for (size_t i = 0; i < rendered.run_count; i++) {
                if (rendered.runs[i].begin != at || rendered.runs[i].end <= at) {
                    __builtin_trap();
                }
                at = rendered.runs[i].end;
            }
            if (at != rendered.text.size) {
                __builtin_trap();
            }
            tp_rendered_deinit(&rendered);
        }
        tp_template_free(made);
    }
    yyjson_doc_free(doc);
    return 0;
}
