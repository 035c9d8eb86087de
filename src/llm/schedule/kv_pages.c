// SPDX-License-Identifier: Apache-2.0
//
// Pages as an array of records: free ones on a list, published ones in a hash table by prefix and
// ids, and those of them that nobody uses on a list by last use.
#include "llm/schedule/kv_pages.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_str.h"

#include <string.h>

typedef struct page_record {
    uint32_t user_count;
    uint32_t child_count; // published pages behind this one
    bool is_published;
    kv_prefix prefix;   // where published
    uint32_t next_free; // on the free list
    uint32_t next_hash; // in its bucket
    uint32_t older;     // on the list of unused ones
    uint32_t newer;
    uint32_t ids[TP_KV_PAGE_POSITIONS];
} page_record;

struct kv_pages {
    const tapeout_allocator *alloc;
    page_record *records; // [page_count]
    uint32_t *buckets;    // [bucket_count]
    uint32_t page_count;
    uint32_t bucket_count; // a power of two
    uint32_t first_free;
    uint32_t oldest; // published, without user and without child
    uint32_t newest;
    uint32_t used_count;
};

static uint32_t bucket_count_for(uint32_t page_count)
{
    uint32_t count = 1;
    while (count < page_count) {
        count *= 2;
    }
    return count;
}

uint64_t tp_kv_pages_bytes(uint32_t page_count)
{
    return (uint64_t)page_count * sizeof(page_record) +
           (uint64_t)bucket_count_for(page_count) * sizeof(uint32_t);
}

tapeout_status tp_kv_pages_new(const tapeout_allocator *alloc, uint32_t page_count,
                               kv_pages **ret_pages, tapeout_error *err)
{
    kv_pages *pages = tp_alloc_zero(alloc, sizeof(*pages));
    if (pages == NULL) {
        return tp_fail_nomem(err);
    }
    pages->alloc = alloc;
    pages->page_count = page_count;
    pages->bucket_count = bucket_count_for(page_count);
    pages->records = tp_alloc_array_zero(alloc, page_count, sizeof(*pages->records));
    pages->buckets = tp_alloc_array(alloc, pages->bucket_count, sizeof(*pages->buckets));
    if (pages->records == NULL || pages->buckets == NULL) {
        tp_kv_pages_free(pages);
        return tp_fail_nomem(err);
    }
    memset(pages->buckets, 0xff, pages->bucket_count * sizeof(*pages->buckets));
    pages->oldest = pages->newest = KV_NO_PAGE;
    for (uint32_t i = 0; i < page_count; i++) {
        pages->records[i].next_free = i + 1 < page_count ? i + 1 : KV_NO_PAGE;
    }
    pages->first_free = page_count > 0 ? 0 : KV_NO_PAGE;
    *ret_pages = pages;
    return TAPEOUT_OK;
}

void tp_kv_pages_free(kv_pages *pages)
{
    if (pages == NULL) {
        return;
    }
    const tapeout_allocator *alloc = pages->alloc;
    tp_free_array(alloc, pages->records, pages->page_count, sizeof(*pages->records));
    tp_free_array(alloc, pages->buckets, pages->bucket_count, sizeof(*pages->buckets));
    tp_free(alloc, pages, sizeof(*pages));
}

uint32_t tp_kv_pages_used(const kv_pages *pages)
{
    return pages->used_count;
}

// A page with children but no user counts too: once its children have gone, it can go.
uint32_t tp_kv_pages_available(const kv_pages *pages)
{
    return pages->page_count - pages->used_count;
}

// -- the list of unused pages --------------------------------------------------------------------
static bool is_evictable(const page_record *record)
{
    return record->is_published && record->user_count == 0 && record->child_count == 0;
}

static void list_remove(kv_pages *pages, uint32_t page)
{
    const page_record *record = &pages->records[page];
    *(record->older == KV_NO_PAGE ? &pages->oldest : &pages->records[record->older].newer) =
        record->newer;
    *(record->newer == KV_NO_PAGE ? &pages->newest : &pages->records[record->newer].older) =
        record->older;
}

static void list_add_newest(kv_pages *pages, uint32_t page)
{
    page_record *record = &pages->records[page];
    record->older = pages->newest;
    record->newer = KV_NO_PAGE;
    *(pages->newest == KV_NO_PAGE ? &pages->oldest : &pages->records[pages->newest].newer) = page;
    pages->newest = page;
}

static void list_add_oldest(kv_pages *pages, uint32_t page)
{
    page_record *record = &pages->records[page];
    record->newer = pages->oldest;
    record->older = KV_NO_PAGE;
    *(pages->oldest == KV_NO_PAGE ? &pages->newest : &pages->records[pages->oldest].older) = page;
    pages->oldest = page;
}

// -- the published pages -------------------------------------------------------------------------
static uint32_t *bucket_of(const kv_pages *pages, kv_prefix prefix, const uint32_t *ids)
{
    uint32_t key[TP_KV_PAGE_POSITIONS + 3];
    memcpy(key, ids, TP_KV_PAGE_POSITIONS * sizeof(*ids));
    key[TP_KV_PAGE_POSITIONS] = prefix.parent;
    memcpy(&key[TP_KV_PAGE_POSITIONS + 1], &prefix.tenant, sizeof(prefix.tenant));
    const uint64_t hash = tp_str_hash((tp_str){(const char *)key, sizeof(key)});
    return &pages->buckets[hash & (pages->bucket_count - 1)];
}

static uint32_t find_published(const kv_pages *pages, kv_prefix prefix, const uint32_t *ids)
{
    for (uint32_t page = *bucket_of(pages, prefix, ids); page != KV_NO_PAGE;
         page = pages->records[page].next_hash) {
        const page_record *record = &pages->records[page];
        if (record->prefix.tenant == prefix.tenant && record->prefix.parent == prefix.parent &&
            memcmp(record->ids, ids, sizeof(record->ids)) == 0) {
            return page;
        }
    }
    return KV_NO_PAGE;
}

static void unpublish(kv_pages *pages, uint32_t page)
{
    page_record *record = &pages->records[page];
    uint32_t *link = bucket_of(pages, record->prefix, record->ids);
    while (*link != page) {
        link = &pages->records[*link].next_hash;
    }
    *link = record->next_hash;
    record->is_published = false;
    if (record->prefix.parent != KV_NO_PAGE) {
        page_record *parent = &pages->records[record->prefix.parent];
        parent->child_count--;
        if (is_evictable(parent)) {
            // It was used no later than its child, which was the oldest.
            list_add_oldest(pages, record->prefix.parent);
        }
    }
}

static void add_user(kv_pages *pages, uint32_t page)
{
    page_record *record = &pages->records[page];
    if (is_evictable(record)) {
        list_remove(pages, page);
    }
    pages->used_count += record->user_count++ == 0;
}

uint32_t tp_kv_pages_take(kv_pages *pages)
{
    uint32_t page = pages->first_free;
    if (page != KV_NO_PAGE) {
        pages->first_free = pages->records[page].next_free;
    } else if (pages->oldest != KV_NO_PAGE) {
        page = pages->oldest;
        list_remove(pages, page);
        unpublish(pages, page);
    } else {
        return KV_NO_PAGE;
    }
    add_user(pages, page);
    return page;
}

void tp_kv_pages_release(kv_pages *pages, uint32_t page)
{
    page_record *record = &pages->records[page];
    if (--record->user_count > 0) {
        return;
    }
    pages->used_count--;
    if (is_evictable(record)) {
        list_add_newest(pages, page);
    } else if (!record->is_published) {
        record->next_free = pages->first_free;
        pages->first_free = page;
    }
}

uint32_t tp_kv_pages_publish(kv_pages *pages, kv_prefix prefix, uint32_t page,
                             const uint32_t ids[TP_KV_PAGE_POSITIONS])
{
    const uint32_t known = tp_kv_pages_find(pages, prefix, ids);
    if (known != KV_NO_PAGE) {
        tp_kv_pages_release(pages, page);
        return known;
    }
    page_record *record = &pages->records[page];
    uint32_t *bucket = bucket_of(pages, prefix, ids);
    memcpy(record->ids, ids, sizeof(record->ids));
    record->prefix = prefix;
    record->is_published = true;
    record->next_hash = *bucket;
    *bucket = page;
    if (prefix.parent != KV_NO_PAGE) {
        pages->records[prefix.parent].child_count++;
    }
    return page;
}

uint32_t tp_kv_pages_find(kv_pages *pages, kv_prefix prefix,
                          const uint32_t ids[TP_KV_PAGE_POSITIONS])
{
    const uint32_t page = find_published(pages, prefix, ids);
    if (page != KV_NO_PAGE) {
        add_user(pages, page);
    }
    return page;
}
