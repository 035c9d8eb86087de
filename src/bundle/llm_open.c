// SPDX-License-Identifier: Apache-2.0
//
// Opening a bundle of a language model. All chunks are hashed first, in parallel: what cannot be
// verified is not looked at. That costs about 0.7 ms a MB and thread, which a first answer can
// afford (docs/internals/bundle.md has the figures), so there is no state in which a model runs and
// is not yet known to be whole.
#include "bundle/tp_llm_bundle.h"

#include "base/tp_error.h"

static void close_bundle(void *user)
{
    tp_bundle *bundle = user;
    tp_bundle_close(&bundle);
}

static tapeout_status make_model(const tp_env *env, tp_bundle *bundle, bool is_outline,
                                 tp_llm **ret_llm, tapeout_error *err)
{
    const tp_str metadata = tp_bundle_section_find(bundle, TP_STR("metadata"));
    const tp_str weights = tp_bundle_section_find(bundle, TP_STR("weights"));
    const tp_str kind = tp_bundle_kind(bundle);
    if (!tp_str_equal(kind, TP_STR("llm"))) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "is a bundle of kind \"%.*s\", expected a language model (\"llm\")",
                       TP_STR_ARGS(kind));
    }
    if (metadata.data == NULL || weights.data == NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "the bundle lacks the section \"%s\"",
                       metadata.data == NULL ? "metadata" : "weights");
    }
    tp_gguf *gguf = NULL;
    TP_TRY(tp_gguf_parse_metadata(env, metadata, &gguf, err));
    return is_outline ? tp_llm_outline(env, gguf, ret_llm, err)
                      : tp_llm_from_parts(env, gguf, weights, ret_llm, err);
}

static tapeout_status take_bundle(const tp_env *env, tp_bundle **bundle, bool is_outline,
                                  tp_llm **ret_llm, tapeout_error *err)
{
    tp_llm *llm = NULL;
    const tapeout_status status = make_model(env, *bundle, is_outline, &llm, err);
    if (status != TAPEOUT_OK) {
        tp_bundle_close(bundle);
        return status;
    }
    tp_llm_on_free(llm, close_bundle, *bundle);
    *bundle = NULL;
    *ret_llm = llm;
    return TAPEOUT_OK;
}

static tapeout_status open_as(const tp_env *env, const char *path, bool is_outline,
                              tp_llm **ret_llm, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    TP_TRY(tp_bundle_open(env, path, &bundle, err));
    const tapeout_status status = take_bundle(env, &bundle, is_outline, ret_llm, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

tapeout_status tp_llm_from_bundle(const tp_env *env, tp_bundle **bundle, tp_llm **ret_llm,
                                  tapeout_error *err)
{
    return take_bundle(env, bundle, false, ret_llm, err);
}

tapeout_status tp_llm_bundle_open(const tp_env *env, const char *path, tp_llm **ret_llm,
                                  tapeout_error *err)
{
    return open_as(env, path, false, ret_llm, err);
}

tapeout_status tp_llm_bundle_outline(const tp_env *env, const char *path, tp_llm **ret_llm,
                                     tapeout_error *err)
{
    return open_as(env, path, true, ret_llm, err);
}
