// SPDX-License-Identifier: Apache-2.0
//
// XGBoost's model, as save_model of 1.0 and later writes it in JSON or UBJSON (versions 3.2's own
// arithmetic): the learner's parameters, the objective, the names and types of the columns. The
// base score stands in the file as a prediction and is turned into a margin as XGBoost does.
#include "import/xgboost_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "kernels/tp_libm.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

static const xgboost_objective objectives[] = {
    {"binary:logistic", TP_TASK_BINARY, TP_OBJECTIVE_BINARY, TP_LINK_XGB_LOGISTIC,
     XGBOOST_BASE_LOGIT},
    {"reg:logistic", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_XGB_LOGISTIC,
     XGBOOST_BASE_LOGIT},
    {"binary:logitraw", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"binary:hinge", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_XGB_HINGE,
     XGBOOST_BASE_AS_IT_IS},
    {"multi:softprob", TP_TASK_MULTICLASS, TP_OBJECTIVE_MULTICLASS, TP_LINK_XGB_SOFTMAX,
     XGBOOST_BASE_AS_IT_IS},
    {"multi:softmax", TP_TASK_MULTICLASS, TP_OBJECTIVE_MULTICLASS, TP_LINK_XGB_ARGMAX,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:squarederror", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:linear", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:squaredlogerror", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:absoluteerror", TP_TASK_REGRESSION, TP_OBJECTIVE_ABSOLUTE, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:pseudohubererror", TP_TASK_REGRESSION, TP_OBJECTIVE_HUBER, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"reg:quantileerror", TP_TASK_REGRESSION, TP_OBJECTIVE_QUANTILE, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"count:poisson", TP_TASK_COUNT, TP_OBJECTIVE_POISSON, TP_LINK_XGB_EXP, XGBOOST_BASE_LOG},
    {"reg:gamma", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_XGB_EXP, XGBOOST_BASE_LOG},
    {"reg:tweedie", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_XGB_EXP, XGBOOST_BASE_LOG},
    {"survival:cox", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_XGB_EXP, XGBOOST_BASE_LOG},
    {"survival:aft", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_XGB_EXP, XGBOOST_BASE_LOG},
    {"rank:pairwise", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"rank:ndcg", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY,
     XGBOOST_BASE_AS_IT_IS},
    {"rank:map", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY, XGBOOST_BASE_AS_IT_IS},
};

tapeout_status tp_xgboost_corrupt(xgboost_reader *reader, const char *what)
{
    return tp_fail(reader->err, TAPEOUT_E_CORRUPT, "xgboost: %s", what);
}

// -- parameters ----------------------------------------------------------------------------------

tapeout_status tp_xgboost_count(xgboost_reader *reader, const tp_document_value *object,
                                const char *key, uint32_t most, uint32_t *ret_count)
{
    const tp_str text = tp_document_get_text(object, key);
    uint64_t count = *ret_count;
    if (text.data != NULL && !tp_str_to_uint64(text, &count)) {
        return tp_fail(reader->err, TAPEOUT_E_CORRUPT, "xgboost: \"%s\" is \"%.*s\", no count", key,
                       TP_STR_ARGS(text));
    }
    if (count > most) {
        return tp_fail(reader->err, TAPEOUT_E_LIMIT,
                       "xgboost: \"%s\" is %llu; at most %u are taken", key,
                       (unsigned long long)count, most);
    }
    *ret_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static float margin_of(const xgboost_objective *objective, float score)
{
    if (objective->base == XGBOOST_BASE_LOG) {
        return tp_libm_logf(score);
    }
    if (objective->base == XGBOOST_BASE_LOGIT) {
        const float bounded = fminf(fmaxf(score, 1e-6f), 1.0f - 1e-6f);
        return -tp_libm_logf(1.0f / bounded - 1.0f);
    }
    return score;
}

// "5E-1", or since 3.1 "[5E-1,…]": one for all outputs, or one each.
static tapeout_status read_base(xgboost_reader *reader, const tp_document_value *param,
                                const xgboost_objective *objective)
{
    tp_str text = tp_str_trim(tp_document_get_text(param, "base_score"));
    const uint32_t outputs = reader->output_count;
    uint32_t count = 0;
    if (tp_str_has_prefix(text, TP_STR("[")) && tp_str_has_suffix(text, TP_STR("]"))) {
        text = (tp_str){text.data + 1, text.size - 2};
    }
    while (text.size > 0) {
        const char *comma = memchr(text.data, ',', text.size);
        const size_t size = comma != NULL ? (size_t)(comma - text.data) : text.size;
        const size_t taken = size + (comma != NULL ? 1 : 0);
        double score = 0;
        if (count == outputs || !tp_parse_f64(tp_str_trim((tp_str){text.data, size}), &score)) {
            return tp_xgboost_corrupt(reader, "\"base_score\" is no list of a number an output");
        }
        const float margin = margin_of(objective, (float)score);
        if (!isfinite(margin)) {
            return tp_xgboost_corrupt(reader, "\"base_score\" is none that its objective can have");
        }
        reader->base[count++] = margin;
        text = (tp_str){text.data + taken, text.size - taken};
    }
    if (count != 1 && count != outputs) {
        return tp_xgboost_corrupt(reader, "\"base_score\" has not one number for each output");
    }
    for (; count < outputs; count++) {
        reader->base[count] = reader->base[0];
    }
    return TAPEOUT_OK;
}

// -- columns -------------------------------------------------------------------------------------

static tapeout_status read_columns(xgboost_reader *reader, uint32_t count)
{
    tp_import *import = reader->import;
    const tp_document_value *names = tp_document_get(reader->learner, "feature_names");
    const bool is_named = names != NULL && names->count > 0;
    TP_TRY(tp_import_columns_new(import, count, "float32", reader->err));
    if (is_named && (names->kind != TP_DOCUMENT_LIST || names->count != count)) {
        return tp_xgboost_corrupt(reader, "\"feature_names\" is no list of a name a feature");
    }
    const tp_document_value *name = is_named ? names->first : NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (name != NULL && name->kind != TP_DOCUMENT_TEXT) {
            return tp_xgboost_corrupt(reader, "a name among \"feature_names\" is no text");
        }
        import->columns[i].name = name != NULL ? tp_arena_str(&import->arena, name->text)
                                               : tp_import_print(import, "f%u", i);
        if (import->columns[i].name.data == NULL) {
            return tp_arena_check(&import->arena, "xgboost: names", reader->err);
        }
        name = name != NULL ? name->next : NULL;
    }
    return TAPEOUT_OK;
}

// -- the learner ---------------------------------------------------------------------------------

static const xgboost_objective *find_objective(tp_str name)
{
    for (size_t i = 0; i < sizeof(objectives) / sizeof(objectives[0]); i++) {
        if (tp_str_equal(name, tp_str_from(objectives[i].name))) {
            return &objectives[i];
        }
    }
    return NULL;
}

static tapeout_status read_version(xgboost_reader *reader, const tp_document_value *root)
{
    const tp_document_value *version = tp_document_get(root, "version");
    reader->import->facts.version = TP_STR("");
    if (tp_document_is_numbers(version) && version->count == 3) {
        reader->import->facts.version =
            tp_import_print(reader->import, "%.0f.%.0f.%.0f", tp_document_number(version, 0),
                            tp_document_number(version, 1), tp_document_number(version, 2));
    }
    return reader->import->facts.version.data != NULL ? TAPEOUT_OK : tp_fail_nomem(reader->err);
}

static tapeout_status read_booster(xgboost_reader *reader)
{
    const tp_document_value *booster = tp_document_get(reader->learner, "gradient_booster");
    const tp_str name = tp_document_get_text(booster, "name");
    if (tp_str_equal(name, TP_STR("gbtree")) || tp_str_equal(name, TP_STR("dart"))) {
        return tp_xgboost_forest(reader, booster);
    }
    if (tp_str_equal(name, TP_STR("gblinear"))) {
        return tp_xgboost_linear(reader, booster);
    }
    return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                   "xgboost: booster \"%.*s\"; gbtree, dart and gblinear are taken",
                   TP_STR_ARGS(name));
}

// Whom the file's classes are for: how many outputs there are.
static tapeout_status read_outputs(xgboost_reader *reader, const tp_document_value *param,
                                   const xgboost_objective *objective)
{
    uint32_t classes = 0;
    uint32_t targets = 1;
    const bool is_class = objective->task == TP_TASK_MULTICLASS;
    TP_TRY(tp_xgboost_count(reader, param, "num_class", TP_MAX_CLASSES, &classes));
    TP_TRY(tp_xgboost_count(reader, param, "num_target", UINT32_MAX, &targets));
    if (targets > 1) {
        return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                       "xgboost: a model of %u targets; a bundle has one", targets);
    }
    if (is_class ? classes < 2 : classes > 1) {
        return tp_fail(reader->err, TAPEOUT_E_CORRUPT,
                       "xgboost: %u classes do not go with objective %s", classes, objective->name);
    }
    reader->output_count = is_class ? classes : 1;
    reader->base = tp_arena_array(&reader->import->arena, reader->output_count, sizeof(float));
    return reader->base != NULL ? TAPEOUT_OK : tp_fail_nomem(reader->err);
}

static tapeout_status read_learner(xgboost_reader *reader, const tp_document_value *root)
{
    tp_import *import = reader->import;
    reader->learner = tp_document_get(root, "learner");
    const tp_document_value *param = tp_document_get(reader->learner, "learner_model_param");
    const tp_str name = tp_document_get_text(tp_document_get(reader->learner, "objective"), "name");
    if (param == NULL || name.data == NULL) {
        return tp_xgboost_corrupt(reader, "this is no model: it lacks \"learner\" with "
                                          "\"learner_model_param\" and \"objective\"");
    }
    const xgboost_objective *objective = find_objective(name);
    if (objective == NULL) {
        return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                       "xgboost: objective \"%.*s\" is not among those that are imported",
                       TP_STR_ARGS(name));
    }
    uint32_t features = 0;
    TP_TRY(tp_xgboost_count(reader, param, "num_feature", UINT32_MAX, &features));
    TP_TRY(read_outputs(reader, param, objective));
    TP_TRY(read_base(reader, param, objective));
    TP_TRY(read_columns(reader, features));
    TP_TRY(read_version(reader, root));
    import->facts.objective = tp_str_from(objective->name);
    import->parts.objective = objective->objective;
    import->parts.foreign.link = objective->link;
    // A probability of exactly one half is not positive there.
    import->parts.threshold = objective->task == TP_TASK_BINARY ? 0x1.000002p-1 : 0;
    const uint32_t classes = objective->task == TP_TASK_BINARY       ? 2
                             : objective->task == TP_TASK_MULTICLASS ? reader->output_count
                                                                     : 0;
    TP_TRY(tp_import_target_set(import, objective->task, classes, reader->err));
    return read_booster(reader);
}

tapeout_status tp_xgboost_read(const tp_env *env, tp_str bytes, tp_import *import,
                               tapeout_error *err)
{
    tp_document document = {.json = NULL};
    xgboost_reader reader = {.env = env, .import = import, .err = err};
    const bool is_ubjson = bytes.size > 1 && memchr("LlIiU#", bytes.data[1], 6) != NULL;
    tapeout_status status = is_ubjson ? tp_document_from_ubjson(env, bytes, &document, err)
                                      : tp_document_from_json(env, bytes, &document, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "xgboost");
        return status;
    }
    status = read_learner(&reader, document.root);
    tp_document_deinit(&document);
    return status;
}
