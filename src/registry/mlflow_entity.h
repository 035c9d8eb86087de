// SPDX-License-Identifier: Apache-2.0
//
// The things that can be searched. A query that uses one names its table as mlflow_entity.c says.
#ifndef MLFLOW_ENTITY_H
#define MLFLOW_ENTITY_H

#include "registry/mlflow_filter.h"

extern const mlflow_entity tp_mlflow_runs;
extern const mlflow_entity tp_mlflow_experiments;
extern const mlflow_entity tp_mlflow_logged_models;

#endif
