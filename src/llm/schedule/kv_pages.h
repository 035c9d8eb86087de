// SPDX-License-Identifier: Apache-2.0
//
// Who uses which page of the key/value cache, and which prompts the pages hold. A page that was
// filled is published under (tenant, page before it, its ids); a later prompt that begins alike
// takes it instead of computing it again. Since every position has the same bits whoever computes
// it, taking a page changes no answer. Tenants never see each other's pages.
//
// A page nobody uses stays published until its memory is wanted: the one unused for longest goes
// first, and none before the pages behind it.
//
// @thread confined
#ifndef KV_PAGES_H
#define KV_PAGES_H

#include "llm/model/tp_kv.h"

#include <tapeout/context.h>

#define KV_NO_PAGE UINT32_MAX

typedef struct kv_pages kv_pages;

tapeout_status tp_kv_pages_new(const tapeout_allocator *alloc, uint32_t page_count,
                               kv_pages **ret_pages, tapeout_error *err);
void tp_kv_pages_free(kv_pages *pages);          // accepts NULL
uint64_t tp_kv_pages_bytes(uint32_t page_count); // what the records of so many take

// Pages that a call of take would find: free ones and those that only the cache holds.
uint32_t tp_kv_pages_available(const kv_pages *pages);
// Pages that are in use by somebody.
uint32_t tp_kv_pages_used(const kv_pages *pages);

// A page for one user, its content undefined; KV_NO_PAGE when there is none.
uint32_t tp_kv_pages_take(kv_pages *pages);
// One user less.
void tp_kv_pages_release(kv_pages *pages, uint32_t page);

// A place in the tree of published prompts.
typedef struct kv_prefix {
    uint64_t tenant;
    uint32_t parent; // the page before, which is published; KV_NO_PAGE at the beginning
} kv_prefix;

// Publishes a page that holds `ids` behind `prefix`. Where such a page is there already, `page` is
// released and that one taken in its place. Returns the page to go on with.
uint32_t tp_kv_pages_publish(kv_pages *pages, kv_prefix prefix, uint32_t page,
                             const uint32_t ids[TP_KV_PAGE_POSITIONS]);

// Takes the published page that holds `ids` behind `prefix`, for one more user, or KV_NO_PAGE.
uint32_t tp_kv_pages_find(kv_pages *pages, kv_prefix prefix,
                          const uint32_t ids[TP_KV_PAGE_POSITIONS]);

#endif
