// SPDX-License-Identifier: Apache-2.0
//
// A request by MLflow's REST API while it is being answered. Its fields stand in the query of a GET
// and in the JSON body of all others; here both are one object, since MLflow's messages are
// protobuf's: whole numbers may be texts, a list of one may stand without brackets, null is absent.
//
// Fields are read freely; the first that is wrong is remembered and told by tp_ask_check, which a
// route calls before it acts.
#ifndef MLFLOW_ASK_H
#define MLFLOW_ASK_H

#include "serve/serve_priv.h"
#include "serve/serve_store.h"

struct mlflow_ask {
    serve_exchange *exchange;
    yyjson_doc *doc;
    yyjson_val *root; // an object
    tp_arena arena;   // for lists
    serve_handle *handle;
    tp_mlflow *mlflow; // the tables of the caller's tenant
    tp_buffer *json;   // the reply, begun with '{'; its '}' comes by itself
    tapeout_error error;
};
typedef struct mlflow_ask mlflow_ask;

// The object of a query: "a=1&b=x%20y&b=z" is {"a":"1","b":["x y","z"]}. E_INVALID for what is no
// UTF-8 or no percent-encoding.
tapeout_status tp_ask_query_json(tp_str query, tp_buffer *ret_json, tapeout_error *err);

// {NULL, 0} where it is absent. Texts never hold a NUL.
tp_str tp_ask_text(mlflow_ask *ask, const char *key);
tp_str tp_ask_needed_text(mlflow_ask *ask, const char *key); // absent or empty is an error
int64_t tp_ask_integer(mlflow_ask *ask, const char *key, int64_t otherwise);
bool tp_ask_flag(mlflow_ask *ask, const char *key);
// The list's texts, in `ask->arena`.
tp_mlflow_texts tp_ask_texts(mlflow_ask *ask, const char *key);
// The list's objects, at most `max`, one by one by yyjson; NULL: absent or empty.
yyjson_val *tp_ask_list(mlflow_ask *ask, yyjson_val *object, const char *key, uint32_t max);
// An object within the request, or NULL.
yyjson_val *tp_ask_object(mlflow_ask *ask, yyjson_val *object, const char *key);
// "tags": [{"key": …, "value": …}], in `ask->arena`.
tp_mlflow_pairs tp_ask_pairs(mlflow_ask *ask, const char *key, uint32_t max);
tp_mlflow_pairs tp_ask_pairs_of(mlflow_ask *ask, yyjson_val *object, const char *key, uint32_t max);

// The same of an object within the request; `what` stands in messages.
tp_str tp_ask_text_of(mlflow_ask *ask, yyjson_val *object, const char *key);
int64_t tp_ask_integer_of(mlflow_ask *ask, yyjson_val *object, const char *key, int64_t otherwise);
// A number, or "NaN", "Infinity", "-Infinity" as protobuf's JSON has them; absent is 0, as there.
double tp_ask_real_of(mlflow_ask *ask, yyjson_val *object, const char *key);

// filter, order_by, max_results, page_token, view and experiments, as all searches have them.
tp_mlflow_search tp_ask_search(mlflow_ask *ask, const char *view_key);

// `"key":"value"` into the reply.
void tp_ask_put_text(mlflow_ask *ask, const char *key, tp_str value);

void tp_ask_refuse(mlflow_ask *ask, const char *format, ...) __attribute__((format(printf, 2, 3)));
tapeout_status tp_ask_check(const mlflow_ask *ask, tapeout_error *err);

#endif
