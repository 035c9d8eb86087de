// SPDX-License-Identifier: Apache-2.0
//
// Renders templates for tests in another language. Each line of stdin is a JSON object {template,
// messages, tools, extra, bos_token, eos_token, add_generation_prompt, now_s}; each line of stdout
// is {"text": ..., "runs": [[begin, end, trusted], ...]} or {"status": ..., "error": ...}.
#include "base/tp_error.h"
#include "llm/template/tp_template.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <string.h>

static tapeout_status render(const tp_env *env, yyjson_val *root, tp_rendered *ret,
                             tapeout_error *err)
{
    tp_template *made;
    const tp_template_input input = {
        .messages = yyjson_obj_get(root, "messages"),
        .tools = yyjson_obj_get(root, "tools"),
        .extra = yyjson_obj_get(root, "extra"),
        .bos_token = tp_json_get_str(root, "bos_token"),
        .eos_token = tp_json_get_str(root, "eos_token"),
        .add_generation_prompt = yyjson_get_bool(yyjson_obj_get(root, "add_generation_prompt")),
        .now_s = yyjson_get_sint(yyjson_obj_get(root, "now_s")),
    };
    TP_TRY(tp_template_new(env, tp_json_get_str(root, "template"), &made, err));
    const tapeout_status status = tp_template_render(made, &input, ret, err);
    tp_template_free(made);
    return status;
}

static void answer(const tp_env *env, tp_str line, tp_buffer *out)
{
    tapeout_error err = {0};
    yyjson_doc *doc = NULL;
    tp_rendered rendered = {0};
    tapeout_status status = tp_json_parse(env->alloc, line, "case", &doc, &err);
    if (status == TAPEOUT_OK) {
        status = render(env, yyjson_doc_get_root(doc), &rendered, &err);
    }
    tp_buffer_append_char(out, '{');
    if (status == TAPEOUT_OK) {
        tp_json_append_key(out, "text");
        tp_json_append_str(out, tp_buffer_view(&rendered.text));
        tp_json_append_key(out, "runs");
        for (size_t i = 0; i < rendered.run_count; i++) {
            const tp_template_run *run = &rendered.runs[i];
            tp_buffer_printf(out, "%s[%zu,%zu,%s]", i == 0 ? "[" : ",", run->begin, run->end,
                             run->is_trusted ? "true" : "false");
        }
        tp_buffer_append_text(out, rendered.run_count == 0 ? "[]" : "]");
        tp_rendered_deinit(&rendered);
    } else {
        tp_json_append_key(out, "status");
        tp_json_append_i64(out, (int64_t)status);
        tp_json_append_key(out, "error");
        tp_json_append_str(out, tp_str_from(err.message));
    }
    tp_buffer_append_text(out, "}\n");
    yyjson_doc_free(doc);
}

int main(void)
{
    static char line[1 << 22];
    const tp_env env = tp_env_plain();
    while (fgets(line, sizeof(line), stdin) != NULL) {
        tp_buffer out;
        tp_buffer_init(&out, env.alloc, 1u << 30);
        answer(&env, (tp_str){line, strlen(line)}, &out);
        (void)fwrite(out.data, 1, out.size, stdout); // a broken pipe ends the test anyway
        (void)fflush(stdout);
        tp_buffer_deinit(&out);
    }
    return 0;
}
