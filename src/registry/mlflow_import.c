// SPDX-License-Identifier: Apache-2.0
//
// A version logged in the form of XGBoost, LightGBM or ONNX becomes a bundle, so that it can be
// served. The file is known by where MLflow's flavors put it and taken for what its bytes say; what
// is of no such form, a pickle among it, is left as it is and not opened. A model that can't be
// imported is registered all the same, and the version says why it is not served.
#include "registry/mlflow_import.h"

#include "base/tp_error.h"
#include "base/tp_sandbox.h"
#include "registry/mlflow_convert.h"
#include "registry/mlflow_priv.h"

#include <stdio.h>
#include <string.h>

// The file of the folder that is a model of a known form; `*ret_is_found` false where none is.
static tapeout_status find_model(tp_mlflow *mlflow, tp_str folder, tp_map *ret_map,
                                 bool *ret_is_found, tapeout_error *err)
{
    static const char *const names[] = {"model.ubj", "model.xgb", "model.json",
                                        "model.lgb", "model.txt", "model.onnx"};
    char path[TP_MAX_MLFLOW_PATH_BYTES];
    *ret_is_found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !*ret_is_found; i++) {
        tp_map map;
        const int size = snprintf(path, sizeof(path), "%.*s/%s", TP_STR_ARGS(folder), names[i]);
        if (size < 0 || (size_t)size >= sizeof(path)) {
            return TAPEOUT_OK; // no artifact has so long a path
        }
        const tapeout_status status =
            tp_mlflow_artifact_open(mlflow, (tp_str){path, (size_t)size}, &map, err);
        if (status == TAPEOUT_E_NOT_FOUND) {
            continue;
        }
        TP_TRY(status);
        *ret_is_found = tp_mlflow_is_model((tp_str){(const char *)map.data, map.size});
        if (*ret_is_found) {
            *ret_map = map;
        } else {
            tp_map_close(&map);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status write_bundle(tp_mlflow *mlflow, const tp_map *model, tp_str name,
                                   mlflow_bundle *bundle, tapeout_error *err)
{
    const char *home = mlflow->registry->home;
    TP_TRY(tp_sandbox_folder_make(mlflow->alloc, home, &bundle->folder, err));
    const int size =
        snprintf(bundle->path, sizeof(bundle->path), "%s/model.tapeout", bundle->folder);
    if (size < 0 || (size_t)size >= sizeof(bundle->path)) {
        return tp_fail(err, TAPEOUT_E_IO, "the path of the home directory is too long");
    }
    const mlflow_conversion what = {.bytes = {(const char *)model->data, model->size},
                                    .name = name,
                                    .registry = mlflow->registry,
                                    .path = bundle->path,
                                    .folder = bundle->folder};
    TP_TRY(tp_mlflow_convert(mlflow->alloc, &what, &bundle->hash, err));
    return tp_map_open(bundle->path, &bundle->map, err);
}

// What is wrong with the model is said of the version; what is wrong here fails the request.
static bool is_of_the_model(tapeout_status status)
{
    return status == TAPEOUT_E_UNSUPPORTED || status == TAPEOUT_E_CORRUPT ||
           status == TAPEOUT_E_DATA || status == TAPEOUT_E_INVALID || status == TAPEOUT_E_LIMIT ||
           status == TAPEOUT_E_TIMEOUT;
}

tapeout_status tp_mlflow_import(tp_mlflow *mlflow, tp_str folder, tp_str name,
                                mlflow_bundle *ret_bundle, tapeout_error *err)
{
    tp_map model;
    bool is_found = false;
    mlflow_bundle bundle = {.alloc = mlflow->alloc};
    TP_TRY(find_model(mlflow, folder, &model, &is_found, err));
    if (!is_found) {
        (void)snprintf(bundle.message, sizeof(bundle.message),
                       "stored as it was logged; no model of XGBoost, LightGBM or ONNX in it, so "
                       "it is not served");
        *ret_bundle = bundle;
        return TAPEOUT_OK;
    }
    tapeout_error why = {0};
    const tapeout_status status = write_bundle(mlflow, &model, name, &bundle, &why);
    tp_map_close(&model);
    bundle.is_there = status == TAPEOUT_OK;
    if (!bundle.is_there) {
        tp_mlflow_import_end(&bundle);
    }
    if (!bundle.is_there && !is_of_the_model(status)) {
        if (err != NULL) {
            *err = why;
        }
        return status;
    }
    (void)snprintf(bundle.message, sizeof(bundle.message), "%s%.400s",
                   bundle.is_there ? "imported, to be served under its name"
                                   : "stored as it was logged and not served: ",
                   bundle.is_there ? "" : why.message);
    *ret_bundle = bundle;
    return TAPEOUT_OK;
}

// The blob is what counts from now on.
void tp_mlflow_import_end(mlflow_bundle *bundle)
{
    if (bundle->is_there) {
        tp_map_close(&bundle->map);
    }
    tp_sandbox_folder_remove(bundle->alloc, bundle->folder);
    bundle->folder = NULL;
}
