// SPDX-License-Identifier: Apache-2.0
//
// What the two files of Ollama's protocol share.
#ifndef OLLAMA_H
#define OLLAMA_H

#include "serve/llm_answer.h"

extern const llm_dialect tp_ollama_chat_dialect, tp_ollama_generate_dialect;

// RFC 3339 with quotes.
void tp_ollama_time_write(int64_t unix_us, tp_buffer *out);
// -- keep_alive (ollama_keep.c) ------------------------------------------------------------------
// Does what `keep_alive` of a request asks for: has the exchange's model unloaded so long after its
// last use, or kept for ever. A number of seconds, or a duration such as "1h30m"; negative is for
// ever. Who changes what holds needs the right to. E_INVALID.
tapeout_status tp_ollama_keep(serve_exchange *exchange, yyjson_val *body, tapeout_error *err);
// Whether that was to unload it at once.
bool tp_ollama_is_unloading(const tp_served *model);
// The time at which the model is to be unloaded, as Ollama tells it.
void tp_ollama_expiry_write(const tp_served *model, tp_buffer *out);

#endif
