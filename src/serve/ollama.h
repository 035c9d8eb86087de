// SPDX-License-Identifier: Apache-2.0
//
// What the two files of Ollama's protocol share.
#ifndef OLLAMA_H
#define OLLAMA_H

#include "serve/llm_answer.h"

extern const llm_dialect tp_ollama_chat_dialect, tp_ollama_generate_dialect;

// RFC 3339 with quotes.
void tp_ollama_time_write(int64_t unix_us, tp_buffer *out);
// Gives the exchange's model up, as keep_alive 0 asks for.
tapeout_status tp_ollama_unload(serve_exchange *exchange, tapeout_error *err);

#endif
