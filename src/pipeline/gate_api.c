// SPDX-License-Identifier: Apache-2.0
//
// The public calls of the gate: each opens the context's registry, does one thing and closes it.
#include <tapeout/gate.h>

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "pipeline/tp_gate.h"
#include "registry/tp_entry.h"
#include "registry/tp_registry.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tapeout_decision_init(tapeout_decision *decision)
{
    *decision = (tapeout_decision){.struct_size = sizeof(*decision)};
}

static tapeout_status bad_call(const char *name, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "%s: needs a context, what it is about, and a place for the result", name);
}

enum { PERSON_SIZE = 128 };

// The user that runs the process, by name where it has one.
static tp_str person(const char *given, char ret_name[PERSON_SIZE])
{
    struct passwd entry;
    struct passwd *found = NULL;
    char memory[4096];
    if (given != NULL) {
        return tp_str_from(given);
    }
    const uid_t user = getuid();
    if (getpwuid_r(user, &entry, memory, sizeof(memory), &found) == 0 && found != NULL) {
        (void)snprintf(ret_name, PERSON_SIZE, "%s", entry.pw_name);
    } else {
        (void)snprintf(ret_name, PERSON_SIZE, "uid:%lu", (unsigned long)user);
    }
    return tp_str_from(ret_name);
}

// What is done with the open registry.
typedef tapeout_status (*gate_action)(const tp_gate_call *call, const void *what, tp_buffer *json,
                                      tapeout_error *err);

// JSON is handed out after E_GATE too, where there is any.
static tapeout_status with_registry(tapeout_context *context, gate_action action, const void *what,
                                    char **ret_json, tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    tp_registry *registry = NULL;
    tp_buffer json;
    *ret_json = NULL;
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_WRITE, &registry, err));
    const tp_gate_call call = {env, tp_context_home(context), registry, NULL,
                               tp_context_stop(context)};
    tp_buffer_init(&json, env->alloc, TP_MAX_GATE_BYTES);
    const tapeout_status status = action(&call, what, &json, err);
    tp_registry_close(&registry);
    if (status != TAPEOUT_OK && !(status == TAPEOUT_E_GATE && json.size > 0)) {
        tp_buffer_deinit(&json);
        return status;
    }
    const tapeout_status text = tp_text_from_buffer(&json, "gate", ret_json, NULL);
    return status != TAPEOUT_OK || text == TAPEOUT_OK ? status : tp_fail_nomem(err);
}

// -- policy --------------------------------------------------------------------------------------
static tapeout_status show_policy(const tp_gate_call *call, const void *what, tp_buffer *json,
                                  tapeout_error *err)
{
    (void)what;
    tp_arena arena;
    tp_policy_record policy;
    char time[TP_VALUE_TEXT_SIZE];
    tp_arena_init(&arena, call->env->alloc, TP_MAX_GATE_BYTES);
    const tapeout_status status =
        tp_policy_last(tp_registry_store(call->registry), &arena, &policy, err);
    if (status == TAPEOUT_OK) {
        const size_t size = tp_print_timestamp(policy.set_us, true, time);
        tp_buffer_append_char(json, '{');
        tp_json_append_key(json, "sha256");
        tp_json_append_str(json, policy.sha256);
        tp_json_append_key(json, "set");
        tp_json_append_str(json, (tp_str){time, size});
        tp_json_append_key(json, "by");
        tp_json_append_str(json, policy.who);
        tp_json_append_key(json, "policy");
        tp_json_append_str(json, policy.text);
        tp_buffer_append_char(json, '}');
    }
    tp_arena_deinit(&arena);
    return status;
}

tapeout_status tapeout_policy_show(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    if (context == NULL || ret_json == NULL) {
        return bad_call("tapeout_policy_show", err);
    }
    return with_registry(context, show_policy, NULL, ret_json, err);
}

typedef struct policy_change {
    const char *path;
    tp_str who;
} policy_change;

static tapeout_status set_text(const tp_gate_call *call, const policy_change *file, tp_str text,
                               tapeout_error *err)
{
    char *directory = tp_path_directory(call->env->alloc, file->path);
    if (directory == NULL) {
        return tp_fail_nomem(err);
    }
    char absolute[PATH_MAX];
    const tapeout_status status =
        realpath(directory, absolute) == NULL
            ? tp_fail(err, TAPEOUT_E_IO, "%s: its folder cannot be found", file->path)
            : tp_gate_policy_set(call, &(tp_policy_file){text, file->path, absolute}, file->who,
                                 err);
    tp_free(call->env->alloc, directory, strlen(directory) + 1);
    return status;
}

static tapeout_status set_policy(const tp_gate_call *call, const void *what, tp_buffer *json,
                                 tapeout_error *err)
{
    const policy_change *file = what;
    tp_str text;
    TP_TRY(tp_file_read(call->env->alloc, file->path, TP_MAX_POLICY_BYTES, &text, err));
    const tapeout_status status = set_text(call, file, text, err);
    tp_free(call->env->alloc, (void *)(uintptr_t)text.data, text.size + 1);
    return status == TAPEOUT_OK ? show_policy(call, NULL, json, err) : status;
}

tapeout_status tapeout_policy_set(tapeout_context *context, const char *path, const char *by,
                                  char **ret_json, tapeout_error *err)
{
    char name[PERSON_SIZE];
    if (context == NULL || path == NULL || ret_json == NULL) {
        return bad_call("tapeout_policy_set", err);
    }
    const policy_change file = {path, person(by, name)};
    return with_registry(context, set_policy, &file, ret_json, err);
}

// -- decisions -----------------------------------------------------------------------------------
static tapeout_status do_promote(const tp_gate_call *call, const void *what, tp_buffer *json,
                                 tapeout_error *err)
{
    return tp_gate_promote(call, what, json, err);
}

static tapeout_status do_roll_back(const tp_gate_call *call, const void *what, tp_buffer *json,
                                   tapeout_error *err)
{
    return tp_gate_roll_back(call, what, json, err);
}

static tapeout_status decide(tapeout_context *context, const tapeout_decision *decision,
                             gate_action action, char **ret_json, tapeout_error *err)
{
    char name[PERSON_SIZE];
    if (context == NULL || decision == NULL || ret_json == NULL ||
        decision->struct_size != sizeof(*decision) || decision->model == NULL ||
        decision->alias == NULL) {
        return bad_call("a decision", err);
    }
    const tp_gate_ask ask = {.model = tp_str_from(decision->model),
                             .alias = tp_str_from(decision->alias),
                             .who = person(decision->by, name),
                             .reason =
                                 tp_str_from(decision->reason == NULL ? "" : decision->reason)};
    return with_registry(context, action, &ask, ret_json, err);
}

tapeout_status tapeout_promote(tapeout_context *context, const tapeout_decision *decision,
                               char **ret_json, tapeout_error *err)
{
    return decide(context, decision, do_promote, ret_json, err);
}

tapeout_status tapeout_rollback(tapeout_context *context, const tapeout_decision *decision,
                                char **ret_json, tapeout_error *err)
{
    return decide(context, decision, do_roll_back, ret_json, err);
}

tapeout_status tapeout_gate_check(tapeout_context *context, const char *model, char **ret_json,
                                  tapeout_error *err)
{
    if (context == NULL || model == NULL || ret_json == NULL) {
        return bad_call("tapeout_gate_check", err);
    }
    const tp_gate_ask ask = {.model = tp_str_from(model)};
    return with_registry(context, do_promote, &ask, ret_json, err);
}
