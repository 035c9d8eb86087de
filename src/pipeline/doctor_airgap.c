// SPDX-License-Identifier: Apache-2.0
//
// tapeout_doctor_airgap: what `serve --airgap` promises, tried on this machine and told try by try.
#include "base/limits.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_sandbox.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/doctor.h>

static void append_try(tp_buffer *json, const tp_sandbox_tried *tried)
{
    char words[128] = "works";
    if (tried->code != 0) {
        (void)snprintf(words, sizeof(words), "refused: %s", strerrordesc_np(tried->code));
    } else if (!tried->must_work) {
        (void)snprintf(words, sizeof(words), "was let through");
    }
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "name");
    tp_json_append_str(json, tp_str_from(tried->name));
    tp_json_append_key(json, "state");
    tp_json_append_str(json, tried->is_good ? TP_STR("ok") : TP_STR("broken"));
    tp_json_append_key(json, "words");
    tp_json_append_str(json, tp_str_from(words));
    tp_buffer_append_char(json, '}');
}

tapeout_status tapeout_doctor_airgap(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    tp_sandbox_tried tried[TP_SANDBOX_TRIES];
    tp_buffer json;
    bool is_ok = true;
    TP_TRY(tp_sandbox_airgap_try(false, tried, err));
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_text(&json, "{\"checks\":[");
    for (int i = 0; i < TP_SANDBOX_TRIES; i++) {
        if (i > 0) {
            tp_buffer_append_char(&json, ',');
        }
        append_try(&json, &tried[i]);
        is_ok = is_ok && tried[i].is_good;
    }
    tp_buffer_append_text(&json, is_ok ? "],\"ok\":true}" : "],\"ok\":false}");
    return tp_text_from_buffer(&json, "doctor", ret_json, err);
}
