// SPDX-License-Identifier: Apache-2.0
//
// JSON files of a Hugging Face folder: read whole, under a limit, errors with the file's name.
#include "import/hf_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <string.h>

tapeout_status tp_hf_json_read(const tp_env *env, const char *folder, const char *name,
                               bool is_optional, hf_json *ret_json, tapeout_error *err)
{
    char *path = tp_path_join(env->alloc, folder, name);
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = TAPEOUT_OK;
    hf_json json = {.doc = NULL};
    if (!is_optional || tp_path_exists(path)) {
        status = tp_file_read(env->alloc, path, TP_MAX_HF_JSON_BYTES, &json.text, err);
        if (status == TAPEOUT_OK) {
            status = tp_json_parse(env->alloc, json.text, path, &json.doc, err);
        }
    }
    tp_free(env->alloc, path, strlen(path) + 1);
    if (status != TAPEOUT_OK) {
        tp_hf_json_free(env, &json);
        return status;
    }
    *ret_json = json;
    return TAPEOUT_OK;
}

void tp_hf_json_free(const tp_env *env, hf_json *json)
{
    yyjson_doc_free(json->doc);
    if (json->text.data != NULL) {
        tp_free(env->alloc, (char *)(uintptr_t)json->text.data, json->text.size + 1);
    }
    *json = (hf_json){.doc = NULL};
}

yyjson_val *tp_hf_json_root(const hf_json *json)
{
    return json->doc == NULL ? NULL : yyjson_doc_get_root(json->doc);
}

tapeout_status tp_hf_json_count(const hf_json *json, const char *file, const char *key,
                                uint64_t max, uint32_t *ret_value, tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(tp_hf_json_root(json), key);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) < 1 || yyjson_get_uint(value) > max) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "%s: \"%s\" must be a whole number from 1 to %llu",
                       file, key, (unsigned long long)max);
    }
    *ret_value = (uint32_t)yyjson_get_uint(value);
    return TAPEOUT_OK;
}
