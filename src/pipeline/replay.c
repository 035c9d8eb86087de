// SPDX-License-Identifier: Apache-2.0
//
// tapeout_replay: from a receipt of the audit log to the same prediction once more. The bundle is
// found by name or path and must have the receipt's hash; the rows are the receipt's own, or a
// file's whose written form has the receipt's hash; what comes out is compared as text, which is as
// good as bits.
#include <tapeout/replay.h>

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "pipeline/tp_model_file.h"
#include "pipeline/tp_receipt.h"
#include "pipeline/tp_receipt_llm.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/audit.h>
#include <tapeout/registry.h>

typedef struct replay {
    tapeout_context *context;
    const tp_env *env;
    const tapeout_replay_options *options;
    tp_buffer line; // the entry
    yyjson_doc *entry;
    yyjson_val *what;  // of the entry
    yyjson_doc *input; // of a file; NULL: the receipt's
    tp_scorer *scorer;
    tp_table_builder *builder;
    tp_session *session;
    tp_buffer rows;
    tp_buffer output;
    tapeout_model_ref ref;
    bool is_generation; // of a language model
    bool is_same;
} replay;

void tapeout_replay_options_init(tapeout_replay_options *options)
{
    *options = (tapeout_replay_options){.struct_size = sizeof(*options)};
}

// -- the receipt ---------------------------------------------------------------------------------
static tapeout_status keep_line(void *user, const char *data, size_t size, tapeout_error *err)
{
    tp_buffer *line = user;
    tp_buffer_append(line, data, size);
    return tp_buffer_check(line, "the receipt", err);
}

static tapeout_status read_line(replay *self, tapeout_error *err)
{
    uint64_t sequence = 0;
    if (tp_str_to_uint64(tp_str_from(self->options->receipt), &sequence)) {
        tapeout_audit_list_options list;
        tapeout_audit_list_options_init(&list);
        list.since = sequence;
        list.limit = 1;
        TP_TRY(tapeout_audit_list(self->context, &list, keep_line, &self->line, err));
        return self->line.size > 0 ? TAPEOUT_OK
                                   : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                                             "audit: there is no entry %s", self->options->receipt);
    }
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(self->env->alloc, self->options->receipt, TP_MAX_AUDIT_LINE_BYTES, &text,
                        err));
    tp_buffer_append_str(&self->line, text);
    tp_free(self->env->alloc, (char *)(uintptr_t)text.data, text.size + 1);
    return tp_buffer_check(&self->line, "the receipt", err);
}

static tapeout_status read_receipt(replay *self, tapeout_error *err)
{
    TP_TRY(read_line(self, err));
    TP_TRY(tp_json_parse(self->env->alloc, tp_buffer_view(&self->line), "the receipt", &self->entry,
                         err));
    yyjson_val *root = yyjson_doc_get_root(self->entry);
    self->what = yyjson_obj_get(root, "what");
    if (!tp_str_equal(tp_json_get_str(root, "kind"), TP_STR("prediction")) ||
        tp_json_get_str(self->what, "bundle").size != TP_SHA256_HEX_SIZE ||
        tp_json_get_str(self->what, "input").size != TP_SHA256_HEX_SIZE ||
        tp_json_get_str(self->what, "output").size != TP_SHA256_HEX_SIZE) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: no receipt of a prediction, but an entry of kind \"%.*s\"",
                       self->options->receipt, TP_STR_ARGS(tp_json_get_str(root, "kind")));
    }
    return TAPEOUT_OK;
}

// -- the bundle ----------------------------------------------------------------------------------
static tapeout_status find_bundle(const replay *self, tapeout_model_ref *ret_ref,
                                  tapeout_error *err)
{
    if (self->options->bundle != NULL) {
        return tapeout_registry_resolve(self->context, self->options->bundle, ret_ref, err);
    }
    char model[TAPEOUT_MODEL_NAME_SIZE + 32];
    const tp_str name = tp_json_get_str(self->what, "model");
    const tp_str version = tp_json_get_str(self->what, "version");
    (void)snprintf(model, sizeof(model), "%.*s:%.*s", TP_STR_ARGS(name), TP_STR_ARGS(version));
    const tapeout_status status = tapeout_registry_resolve(self->context, model, ret_ref, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "the receipt's bundle, which --bundle FILE may name");
    }
    return status;
}

// A model file of another program is known by the hash of the bundle that it becomes.
static tapeout_status check_bundle(const replay *self, const tp_sha256 *hash, bool is_foreign,
                                   tapeout_error *err)
{
    static const char named[] = "; a bundle made of a model file has the file's name in it, so it "
                                "must be called as it was served";
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(hash, hex);
    const tp_str want = tp_json_get_str(self->what, "bundle");
    return tp_str_equal(want, tp_str_from(hex))
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_CORRUPT,
                         "%s has the hash %s, and the prediction was made by %.*s%s",
                         self->ref.path, hex, TP_STR_ARGS(want), is_foreign ? named : "");
}

// A model file of another program is imported first, as the server did.
static tapeout_status open_file(const replay *self, bool is_foreign, tp_bundle **ret_bundle,
                                tapeout_error *err)
{
    const tp_admission asked = {.home = tp_context_home(self->context), .path = self->ref.path};
    tp_admitted admitted;
    return is_foreign ? tp_model_file_open(self->env, &asked, ret_bundle, &admitted, err)
                      : tp_bundle_open(self->env, self->ref.path, ret_bundle, err);
}

// The receipt's hash says which bytes they must be, signed or not.
static tapeout_status open_bundle(replay *self, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    TP_TRY(find_bundle(self, &self->ref, err));
    const bool is_foreign = !tp_bundle_probe(self->ref.path);
    TP_TRY(open_file(self, is_foreign, &bundle, err));
    const tp_sha256 hash = tp_bundle_hash(bundle);
    const tapeout_status status = check_bundle(self, &hash, is_foreign, err);
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&bundle);
        return status;
    }
    return tp_scorer_from_bundle(self->env, &bundle, &self->scorer, err);
}

// -- the rows ------------------------------------------------------------------------------------
static tapeout_status read_input_file(replay *self, tapeout_error *err)
{
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(self->env->alloc, self->options->input, TP_MAX_RECEIPT_INPUT_FILE_BYTES,
                        &text, err));
    const tapeout_status status =
        tp_json_parse(self->env->alloc, text, self->options->input, &self->input, err);
    tp_free(self->env->alloc, (char *)(uintptr_t)text.data, text.size + 1);
    return status;
}

// Of a file, or the receipt's own at `key`.
static tapeout_status find_input(replay *self, const char *key, yyjson_val **ret_input,
                                 tapeout_error *err)
{
    if (self->options->input != NULL) {
        TP_TRY(read_input_file(self, err));
        *ret_input = yyjson_doc_get_root(self->input);
        return TAPEOUT_OK;
    }
    *ret_input = yyjson_obj_get(self->what, key);
    return *ret_input != NULL
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID,
                         "the receipt has the hash of its input alone; --input FILE brings it, in "
                         "JSON as \"%s\" of a receipt has it",
                         key);
}

static bool has_hash(tp_str text, tp_str hex)
{
    char found[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(text.data, text.size);
    tp_sha256_hex(&hash, found);
    return tp_str_equal(hex, tp_str_from(found));
}

static tapeout_status score(replay *self, tapeout_error *err)
{
    yyjson_val *rows = NULL;
    const tapeout_table *table = NULL;
    tp_scores scores;
    const tp_schema *schema = tp_scorer_schema(self->scorer);
    TP_TRY(find_input(self, "row_list", &rows, err));
    TP_TRY(tp_table_builder_new(self->env->alloc, schema, &self->builder, err));
    TP_TRY(tp_receipt_rows_read(rows, schema, self->builder, err));
    TP_TRY(tp_table_builder_view(self->builder, &table, err));
    tp_receipt_rows_write(table, &self->rows);
    TP_TRY(tp_buffer_check(&self->rows, "the rows", err));
    const tp_str want = tp_json_get_str(self->what, "input");
    if (!has_hash(tp_buffer_view(&self->rows), want)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "these rows are not those of the receipt (%.*s)",
                       TP_STR_ARGS(want));
    }
    TP_TRY(tp_session_new(self->env, self->scorer, &self->session, err));
    const tp_row_choice all = {NULL, table->row_count};
    TP_TRY(tp_session_score(self->session, table, all, &scores, err));
    tp_receipt_output_write(&scores, tp_scorer_target(self->scorer)->class_count, &self->output);
    return TAPEOUT_OK;
}

// -- a generation --------------------------------------------------------------------------------
static tapeout_status generate(replay *self, tapeout_error *err)
{
    tp_sha256 hash;
    tp_receipt_replay job = {
        .context = self->context, .ref = &self->ref, .input = tp_json_get_str(self->what, "input")};
    TP_TRY(find_bundle(self, &self->ref, err));
    TP_TRY(tp_sha256_file(self->ref.path, &hash, err));
    TP_TRY(check_bundle(self, &hash, false, err));
    TP_TRY(find_input(self, "generation", &job.generation, err));
    return tp_receipt_generate(&job, &self->output, err);
}

// -- the answer ----------------------------------------------------------------------------------
static void append_value(tp_buffer *json, const char *key, yyjson_val *value)
{
    tp_json_append_key(json, key);
    if (value == NULL) {
        tp_buffer_append_text(json, "null");
    } else {
        tp_json_append_value(json, value);
    }
}

static tapeout_status write_answer(const replay *self, char **ret_json, tapeout_error *err)
{
    yyjson_val *root = yyjson_doc_get_root(self->entry);
    const bool is_generation = self->is_generation;
    yyjson_val *recorded = yyjson_obj_get(self->what, is_generation ? "answer" : "scores");
    const char *count_key = is_generation ? "choices" : "rows";
    tp_buffer json;
    tp_buffer_init(&json, self->env->alloc, TP_MAX_RECEIPT_INPUT_FILE_BYTES);
    tp_buffer_append_text(&json, self->is_same ? "{\"same\":true" : "{\"same\":false");
    append_value(&json, "sequence", yyjson_obj_get(root, "seq"));
    append_value(&json, "time", yyjson_obj_get(root, "time"));
    append_value(&json, "model", yyjson_obj_get(self->what, "model"));
    append_value(&json, "version", yyjson_obj_get(self->what, "version"));
    append_value(&json, "bundle", yyjson_obj_get(self->what, "bundle"));
    append_value(&json, count_key, yyjson_obj_get(self->what, count_key));
    append_value(&json, "recorded",
                 recorded != NULL ? recorded : yyjson_obj_get(self->what, "output"));
    tp_json_append_key(&json, "replayed");
    tp_buffer_append_str(&json, tp_buffer_view(&self->output));
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "the answer", ret_json, err);
}

static tapeout_status run(replay *self, char **ret_json, tapeout_error *err)
{
    TP_TRY(read_receipt(self, err));
    self->is_generation = yyjson_obj_get(self->what, "choices") != NULL;
    if (self->is_generation) {
        TP_TRY(generate(self, err));
    } else {
        TP_TRY(open_bundle(self, err));
        TP_TRY(score(self, err));
    }
    TP_TRY(tp_buffer_check(&self->output, "the output", err));
    self->is_same = has_hash(tp_buffer_view(&self->output), tp_json_get_str(self->what, "output"));
    TP_TRY(write_answer(self, ret_json, err));
    return self->is_same
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DATA, "the prediction of receipt %s comes out differently",
                         self->options->receipt);
}

tapeout_status tapeout_replay(tapeout_context *context, const tapeout_replay_options *options,
                              char **ret_json, tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_json == NULL || options->receipt == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_replay: needs a context, options made with "
                       "tapeout_replay_options_init that name a receipt, and a place for the "
                       "result");
    }
    const tp_env *env = tp_context_env(context);
    replay self = {.context = context, .env = env, .options = options};
    tp_buffer_init(&self.line, env->alloc, TP_MAX_AUDIT_LINE_BYTES);
    tp_buffer_init(&self.rows, env->alloc, TP_MAX_RECEIPT_INPUT_FILE_BYTES);
    tp_buffer_init(&self.output, env->alloc, TP_MAX_RECEIPT_INPUT_FILE_BYTES);
    const tapeout_status status = run(&self, ret_json, err);
    tp_session_free(self.session);
    tp_table_builder_free(self.builder);
    tp_scorer_close(&self.scorer);
    yyjson_doc_free(self.input);
    yyjson_doc_free(self.entry);
    tp_buffer_deinit(&self.output);
    tp_buffer_deinit(&self.rows);
    tp_buffer_deinit(&self.line);
    return status;
}
