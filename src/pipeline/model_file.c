// SPDX-License-Identifier: Apache-2.0
//
// Opening what is to be scored with. A foreign model file is no second kind of model: it becomes
// the bundle that `tapeout import` would have made of it, byte for byte, which is mapped and whose
// name is then taken away. So predictions, hashes and errors are the same on both ways, and nothing
// in this process reads the foreign file beyond the bytes that tell what it is.
#include "pipeline/tp_model_file.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "import/tp_import.h"
#include "pipeline/import_sandbox.h"
#include "pipeline/tp_llm_open.h"

#include <stdlib.h>
#include <string.h>

// -- what it is called ---------------------------------------------------------------------------

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

void tp_model_file_name(const char *path, char ret_name[TP_MAX_MODEL_NAME_BYTES + 1])
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    size_t begin = size;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    tp_str text = {path + begin, size - begin};
    static const char *const ends[] = {".gguf", ".ubj", ".json", ".txt", ".lgb", ".onnx", ".model"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (tp_str_has_suffix(text, tp_str_from(ends[i]))) {
            text.size -= strlen(ends[i]);
            break;
        }
    }
    const size_t part = strlen("-00001-of-00001");
    if (text.size > part && memcmp(text.data + text.size - part, "-00001-of-", 10) == 0) {
        text.size -= part;
    }
    size_t used = 0;
    for (size_t i = 0; i < text.size && used < TP_MAX_MODEL_NAME_BYTES; i++) {
        const char c = is_name_byte(text.data[i]) ? text.data[i] : '-';
        if (used > 0 || (c != '.' && c != '-' && c != '_')) {
            ret_name[used++] = c;
        }
    }
    ret_name[used] = '\0';
}

// -- a file of another program -------------------------------------------------------------------

typedef struct conversion {
    const char *source;
    const char *bundle_path;
    char name[TP_MAX_MODEL_NAME_BYTES + 1];
} conversion;

static tapeout_status convert(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    const conversion *self = user;
    const tp_import_options options = {.name = tp_str_from(self->name)};
    tp_sha256 hash;
    (void)reply; // the bundle says all
    return tp_import_file(env, self->source, &options, self->bundle_path, &hash, err);
}

static tapeout_status import_into(const tp_env *env, const char *source, const char *folder,
                                  tp_bundle **ret_bundle, tapeout_error *err)
{
    char *path = tp_path_join(env->alloc, folder, "bundle.tapeout");
    tp_buffer reply;
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    conversion what = {.source = source, .bundle_path = path};
    tp_model_file_name(source, what.name);
    if (!tp_model_name_is_valid(tp_str_from(what.name))) {
        memcpy(what.name, "model", sizeof("model"));
    }
    const tp_import_work work = {.source = source, .folder = folder, .run = convert, .user = &what};
    tp_buffer_init(&reply, env->alloc, 0);
    tapeout_status status = tp_import_locked_up(env, &work, &reply, err);
    tp_buffer_deinit(&reply);
    if (status == TAPEOUT_OK) {
        status = tp_bundle_open(env, path, ret_bundle, err);
    }
    tp_free(env->alloc, path, strlen(path) + 1);
    return status;
}

static tapeout_status import_file(const tp_env *env, const char *source, tp_bundle **ret_bundle,
                                  tapeout_error *err)
{
    const char *place = getenv("TMPDIR");
    char *folder = NULL;
    TP_TRY(tp_sandbox_folder_make(env->alloc, place == NULL || place[0] == '\0' ? "/tmp" : place,
                                  &folder, err));
    const tapeout_status status = import_into(env, source, folder, ret_bundle, err);
    tp_sandbox_folder_remove(env->alloc, folder); // the mapping stays
    return status;
}

// -- either --------------------------------------------------------------------------------------

tapeout_status tp_model_file_open(const tp_env *env, const tp_admission *asked,
                                  tp_bundle **ret_bundle, tp_admitted *ret_admitted,
                                  tapeout_error *err)
{
    if (asked->sha256.size > 0 || tp_bundle_probe(asked->path)) {
        return tp_trust_open(env, asked, ret_bundle, ret_admitted, err);
    }
    if (tp_llm_path_is_model(asked->path)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "%s: is a language model (GGUF), not a table's model; generate, chat, score "
                       "and embed take it",
                       asked->path);
    }
    if (tp_import_is_model(asked->path)) {
        TP_TRY(import_file(env, asked->path, ret_bundle, err));
        *ret_admitted = (tp_admitted){.signers = "unsigned"};
        return TAPEOUT_OK;
    }
    tp_map map;
    TP_TRY(tp_map_open(asked->path, &map, err)); // says what is wrong with the path itself
    tp_map_close(&map);
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "%s: is neither a bundle nor a model file that can be imported: XGBoost (JSON, "
                   "UBJSON), LightGBM (text) or ONNX; pickles are never opened",
                   asked->path);
}
