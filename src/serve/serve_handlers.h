// SPDX-License-Identifier: Apache-2.0
//
// The handlers that stand in the table of routes (routes.c), by the file that each is in.
#ifndef SERVE_HANDLERS_H
#define SERVE_HANDLERS_H

#include "serve/serve_priv.h"

serve_handler tp_serve_root, tp_serve_live, tp_serve_ready, tp_serve_ping, tp_serve_health,
    tp_serve_version, tp_serve_metrics, tp_serve_openapi, tp_serve_v2_live,
    tp_serve_v2_ready;                                                      // route_probe.c
serve_handler tp_serve_score;                                               // route_score.c
serve_handler tp_serve_invocations;                                         // route_invocations.c
serve_handler tp_serve_promote, tp_serve_roll_back;                         // route_gate.c
serve_handler tp_serve_mlflow, tp_serve_mlflow_model, tp_serve_mlflow_info; // route_mlflow.c
serve_handler tp_serve_v1_list, tp_serve_v1_model, tp_serve_v1_predict;     // route_v1.c
serve_handler tp_serve_v2_server, tp_serve_v2_list, tp_serve_v2_model, tp_serve_v2_model_ready,
    tp_serve_v2_config, tp_serve_v2_stats, tp_serve_v2_index, tp_serve_v2_load,
    tp_serve_v2_unload;          // route_v2.c
serve_handler tp_serve_v2_infer; // oip_infer.c

serve_handler tp_serve_chat_completions;                                   // openai_chat.c
serve_handler tp_serve_completions;                                        // openai_completions.c
serve_handler tp_serve_tokenize, tp_serve_detokenize, tp_serve_embeddings; // openai_models.c
serve_handler tp_serve_responses;                                          // openai_responses_ask.c
serve_handler tp_serve_ollama_chat, tp_serve_ollama_generate;              // ollama_chat.c
serve_handler tp_serve_ollama_tags, tp_serve_ollama_ps, tp_serve_ollama_version,
    tp_serve_ollama_show, tp_serve_ollama_embed, tp_serve_ollama_embeddings,
    tp_serve_ollama_refuse; // ollama_models.c

#endif
