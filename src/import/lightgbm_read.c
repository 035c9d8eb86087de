// SPDX-License-Identifier: Apache-2.0
//
// LightGBM's text model (save_model; model.txt, version v3 and v4): lines of "key=value", then a
// block for each tree, whose lengths in bytes `tree_sizes` gives and which must stand just there.
// Of what stands behind "end of trees" only pandas' categories decide anything.
#include "import/lightgbm_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

typedef struct objective {
    const char *name;
    tp_task task;
    tp_objective objective;
    tp_link link;
} objective;

static const objective objectives[] = {
    {"binary", TP_TASK_BINARY, TP_OBJECTIVE_BINARY, TP_LINK_LGB_LOGISTIC},
    {"cross_entropy", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_LGB_LOGISTIC},
    {"cross_entropy_lambda", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_LGB_LOG1P_EXP},
    {"multiclass", TP_TASK_MULTICLASS, TP_OBJECTIVE_MULTICLASS, TP_LINK_LGB_SOFTMAX},
    {"multiclassova", TP_TASK_MULTICLASS, TP_OBJECTIVE_MULTICLASS, TP_LINK_LGB_LOGISTIC_EACH},
    {"regression", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY},
    {"regression_l1", TP_TASK_REGRESSION, TP_OBJECTIVE_ABSOLUTE, TP_LINK_IDENTITY},
    {"huber", TP_TASK_REGRESSION, TP_OBJECTIVE_HUBER, TP_LINK_IDENTITY},
    {"fair", TP_TASK_REGRESSION, TP_OBJECTIVE_HUBER, TP_LINK_IDENTITY},
    {"quantile", TP_TASK_REGRESSION, TP_OBJECTIVE_QUANTILE, TP_LINK_IDENTITY},
    {"mape", TP_TASK_REGRESSION, TP_OBJECTIVE_ABSOLUTE, TP_LINK_IDENTITY},
    {"poisson", TP_TASK_COUNT, TP_OBJECTIVE_POISSON, TP_LINK_LGB_EXP},
    {"gamma", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_LGB_EXP},
    {"tweedie", TP_TASK_REGRESSION, TP_OBJECTIVE_TWEEDIE, TP_LINK_LGB_EXP},
    {"lambdarank", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY},
    {"rank_xendcg", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY},
    {"custom", TP_TASK_REGRESSION, TP_OBJECTIVE_SQUARED, TP_LINK_IDENTITY},
};

static tapeout_status corrupt(lightgbm_reader *reader, const char *what)
{
    return tp_fail(reader->err, TAPEOUT_E_CORRUPT, "lightgbm: %s", what);
}

// -- text ----------------------------------------------------------------------------------------

tp_str tp_lightgbm_line(tp_str *text)
{
    const char *end = text->size > 0 ? memchr(text->data, '\n', text->size) : NULL;
    const size_t size = end != NULL ? (size_t)(end - text->data) : text->size;
    const size_t taken = size + (end != NULL ? 1 : 0);
    tp_str line = {text->data, size};
    *text = (tp_str){text->data + taken, text->size - taken};
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    return line;
}

tp_str tp_lightgbm_word(tp_str *text)
{
    while (text->size > 0 && text->data[0] == ' ') {
        *text = (tp_str){text->data + 1, text->size - 1};
    }
    if (text->size == 0) {
        return (tp_str){NULL, 0};
    }
    const char *end = memchr(text->data, ' ', text->size);
    const size_t size = end != NULL ? (size_t)(end - text->data) : text->size;
    const tp_str word = {text->data, size};
    *text = (tp_str){text->data + size, text->size - size};
    return word;
}

tp_str tp_lightgbm_find(tp_str text, const char *key)
{
    const size_t size = strlen(key);
    while (text.size > 0) {
        const tp_str line = tp_lightgbm_line(&text);
        if (line.size > size && memcmp(line.data, key, size) == 0 && line.data[size] == '=') {
            return (tp_str){line.data + size + 1, line.size - size - 1};
        }
    }
    return (tp_str){NULL, 0};
}

tapeout_status tp_lightgbm_count(lightgbm_reader *reader, tp_str text, const char *key,
                                 uint32_t most, uint32_t *ret_count)
{
    const tp_str value = tp_lightgbm_find(text, key);
    uint64_t count = 0;
    if (value.data == NULL || !tp_str_to_uint64(value, &count)) {
        return tp_fail(reader->err, TAPEOUT_E_CORRUPT, "lightgbm: there is no \"%s\" with a count",
                       key);
    }
    if (count > most) {
        return tp_fail(reader->err, TAPEOUT_E_LIMIT,
                       "lightgbm: \"%s\" is %llu; at most %u are taken", key,
                       (unsigned long long)count, most);
    }
    *ret_count = (uint32_t)count;
    return TAPEOUT_OK;
}

// -- the head ------------------------------------------------------------------------------------

// "binary sigmoid:1": the name, then settings, of which two matter.
static tapeout_status read_objective(lightgbm_reader *reader, tp_str text, uint32_t classes,
                                     uint32_t outputs)
{
    tp_import *import = reader->import;
    const objective *found = NULL;
    tp_str rest = text;
    const tp_str name = text.data == NULL ? TP_STR("custom") : tp_lightgbm_word(&rest);
    for (size_t i = 0; i < sizeof(objectives) / sizeof(objectives[0]); i++) {
        if (tp_str_equal(name, tp_str_from(objectives[i].name))) {
            found = &objectives[i];
        }
    }
    if (found == NULL) {
        return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                       "lightgbm: objective \"%.*s\" is not among those that are imported",
                       TP_STR_ARGS(name));
    }
    const bool is_multi = found->task == TP_TASK_MULTICLASS;
    if (is_multi ? classes < 2 || outputs != classes : outputs != 1) {
        return tp_fail(
            reader->err, TAPEOUT_E_UNSUPPORTED,
            "lightgbm: %u classes with %u trees an iteration do not go with objective %s", classes,
            outputs, found->name);
    }
    import->facts.objective = tp_str_from(found->name);
    import->parts.objective = found->objective;
    import->parts.foreign.link = found->link;
    // A probability of exactly one half is not positive there.
    import->parts.threshold = found->task == TP_TASK_BINARY ? 0x1.0000000000001p-1 : 0;
    for (;;) {
        const tp_str word = tp_lightgbm_word(&rest);
        if (word.data == NULL) {
            break;
        }
        if (tp_str_equal(word, TP_STR("sqrt")) && found->link == TP_LINK_IDENTITY) {
            import->parts.foreign.link = TP_LINK_LGB_SQUARE;
        }
        const size_t key = strlen("sigmoid:");
        if (tp_str_has_prefix(word, TP_STR("sigmoid:")) &&
            (!tp_parse_f64((tp_str){word.data + key, word.size - key},
                           &import->parts.foreign.scale) ||
             !isfinite(import->parts.foreign.scale))) {
            return corrupt(reader, "\"sigmoid\" is not a number");
        }
    }
    const uint32_t count = found->task == TP_TASK_BINARY ? 2 : is_multi ? classes : 0;
    return tp_import_target_set(import, found->task, count, reader->err);
}

static tapeout_status read_columns(lightgbm_reader *reader, tp_str head)
{
    uint32_t last = 0;
    tp_import *import = reader->import;
    TP_TRY(tp_lightgbm_count(reader, head, "max_feature_idx", UINT32_MAX - 1, &last));
    TP_TRY(tp_import_columns_new(import, (uint64_t)last + 1, "lightgbm", reader->err));
    reader->uses = tp_arena_array(&import->arena, import->facts.columns, sizeof(*reader->uses));
    if (reader->uses == NULL) {
        return tp_arena_check(&import->arena, "lightgbm: columns", reader->err);
    }
    tp_str names = tp_lightgbm_find(head, "feature_names");
    for (uint32_t i = 0; i <= last; i++) {
        const tp_str name = tp_lightgbm_word(&names);
        if (name.data == NULL) {
            return corrupt(reader,
                           "\"feature_names\" has fewer names than \"max_feature_idx\" says");
        }
        import->columns[i].name = tp_arena_str(&import->arena, name);
        if (import->columns[i].name.data == NULL) {
            return tp_arena_check(&import->arena, "lightgbm: names", reader->err);
        }
    }
    return tp_lightgbm_word(&names).data == NULL
               ? TAPEOUT_OK
               : corrupt(reader, "\"feature_names\" has more names than \"max_feature_idx\" says");
}

// -- trees ---------------------------------------------------------------------------------------

static const char first_tree[] = "Tree=";

// The head ends where the first tree begins, or the trees do.
static tp_str head_of(tp_str bytes)
{
    tp_str rest = bytes;
    while (rest.size > 0) {
        const size_t at = bytes.size - rest.size;
        const tp_str line = tp_lightgbm_line(&rest);
        if (tp_str_has_prefix(line, tp_str_from(first_tree)) ||
            tp_str_equal(line, TP_STR("end of trees"))) {
            return (tp_str){bytes.data, at};
        }
    }
    return bytes;
}

static uint32_t count_words(tp_str text)
{
    uint32_t count = 0;
    while (tp_lightgbm_word(&text).data != NULL) {
        count++;
    }
    return count;
}

// The block of the next tree: as long as its size says, and beginning as a tree does.
static tapeout_status next_block(lightgbm_reader *reader, uint32_t number, tp_str *sizes,
                                 tp_str *body, tp_str *ret_block)
{
    uint64_t size = 0;
    uint64_t named = 0;
    if (!tp_str_to_uint64(tp_lightgbm_word(sizes), &size) || size > body->size) {
        return tp_fail_at(reader->err, TAPEOUT_E_CORRUPT, number,
                          "lightgbm: the size of tree %u in \"tree_sizes\" exceeds the file",
                          number);
    }
    *ret_block = (tp_str){body->data, (size_t)size};
    *body = (tp_str){body->data + size, body->size - (size_t)size};
    const tp_str line = tp_lightgbm_line(ret_block);
    const size_t key = strlen(first_tree);
    if (!tp_str_has_prefix(line, tp_str_from(first_tree)) ||
        !tp_str_to_uint64((tp_str){line.data + key, line.size - key}, &named) || named != number) {
        return tp_fail_at(reader->err, TAPEOUT_E_CORRUPT, number,
                          "lightgbm: \"Tree=%u\" does not stand where \"tree_sizes\" says", number);
    }
    return TAPEOUT_OK;
}

// `body` is moved to what stands behind the trees.
static tapeout_status read_trees(lightgbm_reader *reader, tp_str sizes, tp_str *body,
                                 uint32_t outputs)
{
    const uint32_t count = count_words(sizes);
    tp_import *import = reader->import;
    if (count > TP_MAX_GBT_TREES || count % outputs != 0) {
        return tp_fail(reader->err, count % outputs != 0 ? TAPEOUT_E_CORRUPT : TAPEOUT_E_LIMIT,
                       "lightgbm: %u trees; at most %u are taken, a multiple of %u", count,
                       TP_MAX_GBT_TREES, outputs);
    }
    tp_gbt *gbt = NULL;
    TP_TRY(
        tp_gbt_new(reader->env->alloc, import->facts.columns, outputs, count, &gbt, reader->err));
    import->parts.gbt = gbt; // freed with the import
    import->parts.kind = TP_LEARNER_GBT;
    gbt->flags = TP_GBT_CODES_ARE_NUMBERS;
    for (uint32_t t = 0; t < count; t++) {
        tp_str block = {NULL, 0};
        TP_TRY(next_block(reader, t, &sizes, body, &block));
        TP_TRY(tp_lightgbm_tree(reader, block, t, &gbt->trees[t]));
    }
    gbt->tree_count = count;
    import->facts.trees = count;
    if (!tp_str_has_prefix(*body, TP_STR("end of trees"))) {
        return corrupt(reader, "\"end of trees\" does not stand behind the last tree");
    }
    TP_TRY(tp_lightgbm_make_linear(reader));
    const tapeout_status status = tp_gbt_finish(gbt, NULL, reader->err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(reader->err, "lightgbm");
    }
    return status;
}

static void choose_calls(lightgbm_reader *reader)
{
    for (uint32_t i = 0; i < reader->import->facts.columns; i++) {
        if (reader->uses[i] == LIGHTGBM_ZERO_IS_MISSING) {
            reader->import->columns[i].call = "lightgbm_zero";
        } else if (reader->uses[i] == LIGHTGBM_CODE) {
            reader->import->columns[i].call = "lightgbm_code";
        }
    }
}

static bool has_line(tp_str text, const char *wanted)
{
    while (text.size > 0) {
        if (tp_str_equal(tp_lightgbm_line(&text), tp_str_from(wanted))) {
            return true;
        }
    }
    return false;
}

tapeout_status tp_lightgbm_read(const tp_env *env, tp_str bytes, tp_import *import,
                                tapeout_error *err)
{
    lightgbm_reader reader = {.env = env, .import = import, .err = err};
    const tp_str head = head_of(bytes);
    tp_str rest = {bytes.data + head.size, bytes.size - head.size};
    const tp_str sizes = tp_lightgbm_find(head, "tree_sizes");
    uint32_t classes = 0;
    uint32_t outputs = 0;
    TP_TRY(tp_lightgbm_count(&reader, head, "num_class", TP_MAX_CLASSES, &classes));
    TP_TRY(tp_lightgbm_count(&reader, head, "num_tree_per_iteration", TP_MAX_CLASSES, &outputs));
    if (sizes.data == NULL || outputs == 0) {
        return corrupt(&reader, "there are no \"tree_sizes\", or no trees an iteration");
    }
    TP_TRY(read_columns(&reader, head));
    TP_TRY(read_objective(&reader, tp_lightgbm_find(head, "objective"), classes, outputs));
    TP_TRY(read_trees(&reader, sizes, &rest, outputs));
    choose_calls(&reader);
    TP_TRY(tp_lightgbm_pandas(&reader, rest));
    if (has_line(head, "average_output") && import->facts.trees > 0) {
        import->parts.foreign.divisor = (double)(import->facts.trees / outputs);
    }
    const tp_str version = tp_lightgbm_find(head, "version");
    import->facts.version =
        tp_arena_str(&import->arena, version.data != NULL ? version : TP_STR(""));
    return import->facts.version.data != NULL ? TAPEOUT_OK : tp_fail_nomem(err);
}
