// SPDX-License-Identifier: Apache-2.0
//
// A hash table with chains and a list in order of use, under one lock. Entries are one block each:
// head, mask, open tokens, key. A mask of 150,000 tokens is 19 kB: it is copied under the lock in a
// microsecond, which spares every reader a count of references.
#include "llm/grammar/grammar_mask.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <pthread.h>
#include <string.h>

enum { BUCKETS = 1024 };

typedef struct entry {
    struct entry *chain;
    struct entry *newer, *older;
    uint64_t hash;
    size_t size_bytes; // of the block
    size_t key_size;
    uint32_t word_count, open_count;
    bool needs_more;
    uint32_t words[]; // [word_count], then open [open_count], then the key's bytes
} entry;

struct grammar_mask_cache {
    const tapeout_allocator *alloc;
    pthread_mutex_t lock; // over all that follows; nothing else is locked inside
    entry *buckets[BUCKETS];
    entry *newest, *oldest;
    size_t size_bytes;
};

tapeout_status tp_grammar_mask_cache_new(const tapeout_allocator *alloc, grammar_mask_cache **ret,
                                         tapeout_error *err)
{
    grammar_mask_cache *cache = tp_alloc_zero(alloc, sizeof(*cache));
    if (cache == NULL) {
        return tp_fail_nomem(err);
    }
    cache->alloc = alloc;
    const int failed = pthread_mutex_init(&cache->lock, NULL);
    if (failed != 0) {
        tp_free(alloc, cache, sizeof(*cache));
        return tp_fail_errno(err, failed, "grammar: cannot make a lock");
    }
    *ret = cache;
    return TAPEOUT_OK;
}

void tp_grammar_mask_cache_free(grammar_mask_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (entry *e = cache->newest; e != NULL;) {
        entry *older = e->older;
        tp_free(cache->alloc, e, e->size_bytes);
        e = older;
    }
    pthread_mutex_destroy(&cache->lock);
    tp_free(cache->alloc, cache, sizeof(*cache));
}

static const char *entry_key(const entry *e)
{
    return (const char *)(e->words + e->word_count + e->open_count);
}

static void unlink_use(grammar_mask_cache *cache, entry *e)
{
    *(e->newer == NULL ? &cache->newest : &e->newer->older) = e->older;
    *(e->older == NULL ? &cache->oldest : &e->older->newer) = e->newer;
}

static void link_use(grammar_mask_cache *cache, entry *e)
{
    e->newer = NULL;
    e->older = cache->newest;
    *(e->older == NULL ? &cache->oldest : &e->older->newer) = e;
    cache->newest = e;
}

static entry *find(grammar_mask_cache *cache, tp_str key, uint64_t hash)
{
    entry *e = cache->buckets[hash % BUCKETS];
    while (e != NULL && (e->hash != hash || e->key_size != key.size ||
                         memcmp(entry_key(e), key.data, key.size) != 0)) {
        e = e->chain;
    }
    return e;
}

bool tp_grammar_mask_find(grammar_mask_cache *cache, tp_str key, grammar_mask *mask)
{
    const uint64_t hash = tp_str_hash(key);
    pthread_mutex_lock(&cache->lock);
    entry *e = find(cache, key, hash);
    if (e != NULL) {
        unlink_use(cache, e);
        link_use(cache, e);
        mask->needs_more = e->needs_more;
        mask->open_count = e->open_count;
        memcpy(mask->open, e->words + e->word_count, e->open_count * sizeof(*mask->open));
        memcpy(mask->bits, e->words, e->word_count * sizeof(*mask->bits));
    }
    pthread_mutex_unlock(&cache->lock);
    return e != NULL;
}

static void drop_oldest(grammar_mask_cache *cache)
{
    entry *e = cache->oldest;
    entry **link = &cache->buckets[e->hash % BUCKETS];
    while (*link != e) {
        link = &(*link)->chain;
    }
    *link = e->chain;
    unlink_use(cache, e);
    cache->size_bytes -= e->size_bytes;
    tp_free(cache->alloc, e, e->size_bytes);
}

void tp_grammar_mask_keep(grammar_mask_cache *cache, tp_str key, const grammar_mask *mask)
{
    const uint32_t word_count = mask->needs_more ? 0 : mask->word_count;
    const uint32_t open_count = mask->needs_more ? 0 : mask->open_count;
    const size_t size = sizeof(entry) + (word_count + open_count) * sizeof(uint32_t) + key.size;
    entry *e = size > TP_MAX_GRAMMAR_MASK_BYTES ? NULL : tp_alloc(cache->alloc, size);
    if (e == NULL) {
        return;
    }
    *e = (entry){.hash = tp_str_hash(key),
                 .size_bytes = size,
                 .key_size = key.size,
                 .word_count = word_count,
                 .open_count = open_count,
                 .needs_more = mask->needs_more};
    memcpy(e->words, mask->bits, word_count * sizeof(*e->words));
    memcpy(e->words + word_count, mask->open, open_count * sizeof(*e->words));
    memcpy(e->words + word_count + open_count, key.data, key.size);
    pthread_mutex_lock(&cache->lock);
    if (find(cache, key, e->hash) == NULL) { // another generation may have come first
        while (cache->size_bytes + size > TP_MAX_GRAMMAR_MASK_BYTES) {
            drop_oldest(cache);
        }
        e->chain = cache->buckets[e->hash % BUCKETS];
        cache->buckets[e->hash % BUCKETS] = e;
        link_use(cache, e);
        cache->size_bytes += size;
        e = NULL;
    }
    pthread_mutex_unlock(&cache->lock);
    tp_free(cache->alloc, e, e == NULL ? 0 : size);
}
