// SPDX-License-Identifier: Apache-2.0
//
// The keys and values of past positions, in pages of 32. A page is a number; who has which page is
// the scheduler's business, a sequence is a list of them. Within a page keys lie so that a vector
// lane is a position, values so that a lane is a channel (kv.c). A page that a sequence begins to
// write at its first position is cleared, so nothing of a former owner is ever computed with.
//
// F16 takes 2 bytes a number; Q8_0 takes 8 bits and a 16-bit scale for 32 numbers.
#ifndef TP_KV_H
#define TP_KV_H

#include "llm/model/tp_llm.h"

enum { TP_KV_PAGE_POSITIONS = 32 };

typedef enum tp_kv_type { TP_KV_F16, TP_KV_Q8_0 } tp_kv_type;

// @thread confined, with the one run that writes to it
typedef struct tp_kv tp_kv;

// Of one page, over all layers.
uint64_t tp_kv_page_bytes(const tp_llm *llm, tp_kv_type type);
// E_UNSUPPORTED for Q8_0 with heads that are no multiple of 32 wide.
tapeout_status tp_kv_type_check(const tp_llm *llm, tp_kv_type type, tapeout_error *err);

// Memory is asked for at once and touched as pages are used. E_UNSUPPORTED for Q8_0 with heads that
// are no multiple of 32 wide, E_LIMIT, E_NOMEM. The model is borrowed.
tapeout_status tp_kv_new(const tp_env *env, const tp_llm *llm, tp_kv_type type, uint32_t page_count,
                         tp_kv **ret_kv, tapeout_error *err);
void tp_kv_free(tp_kv *kv); // accepts NULL

uint32_t tp_kv_page_count(const tp_kv *kv);

// The first `position_count` (1 … 32) positions of page `from` also in page `to`, for a sequence
// that shares a part of a page with another.
void tp_kv_copy(tp_kv *kv, uint32_t from, uint32_t to, uint32_t position_count);

#endif
