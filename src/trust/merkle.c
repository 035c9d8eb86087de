// SPDX-License-Identifier: Apache-2.0
//
// Hashing and the tree. A tree that only grows needs no nodes but the roots of its complete
// subtrees: a new leaf is one of size one, and two neighbours of one size become the next larger.
#include "trust/tp_merkle.h"

#include "base/tp_error.h"

#include <openssl/evp.h>
#include <string.h>

// -- hashing -------------------------------------------------------------------------------------
tapeout_status tp_hasher_init(tp_hasher *hasher, tapeout_error *err)
{
    *hasher = (tp_hasher){.method = EVP_MD_fetch(NULL, "SHA256", NULL)};
    hasher->context = hasher->method == NULL ? NULL : EVP_MD_CTX_new();
    if (hasher->context == NULL || EVP_DigestInit_ex2(hasher->context, hasher->method, NULL) != 1) {
        tp_hasher_deinit(hasher);
        return tp_fail_nomem(err);
    }
    return TAPEOUT_OK;
}

void tp_hasher_deinit(tp_hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->method);
    *hasher = (tp_hasher){.method = NULL};
}

// Ends what was begun and is then ready for the next.
static void finish(tp_hasher *hasher, bool is_good, tp_sha256 *ret_hash)
{
    if (!is_good || EVP_DigestFinal_ex(hasher->context, ret_hash->bytes, NULL) != 1 ||
        EVP_DigestInit_ex2(hasher->context, NULL, NULL) != 1) {
        hasher->has_failed = true;
        memset(ret_hash, 0, sizeof(*ret_hash));
    }
}

void tp_hasher_leaf(tp_hasher *hasher, tp_str data, tp_sha256 *ret_hash)
{
    static const uint8_t mark = 0;
    const bool is_good = EVP_DigestUpdate(hasher->context, &mark, 1) == 1 &&
                         EVP_DigestUpdate(hasher->context, data.data, data.size) == 1;
    finish(hasher, is_good, ret_hash);
}

void tp_hasher_node(tp_hasher *hasher, const tp_sha256 *left, const tp_sha256 *right,
                    tp_sha256 *ret_hash)
{
    uint8_t data[1 + 2 * TP_SHA256_SIZE] = {1};
    memcpy(data + 1, left->bytes, TP_SHA256_SIZE);
    memcpy(data + 1 + TP_SHA256_SIZE, right->bytes, TP_SHA256_SIZE);
    finish(hasher, EVP_DigestUpdate(hasher->context, data, sizeof(data)) == 1, ret_hash);
}

tapeout_status tp_hasher_check(const tp_hasher *hasher, tapeout_error *err)
{
    return hasher->has_failed ? tp_fail_nomem(err) : TAPEOUT_OK;
}

// -- the tree ------------------------------------------------------------------------------------
void tp_merkle_add(tp_merkle *tree, tp_hasher *hasher, const tp_sha256 *leaf)
{
    size_t peak = (size_t)__builtin_popcountll(tree->count);
    tree->peaks[peak] = *leaf;
    for (uint64_t bits = tree->count; (bits & 1) != 0; bits >>= 1) {
        tp_hasher_node(hasher, &tree->peaks[peak - 1], &tree->peaks[peak], &tree->peaks[peak - 1]);
        peak--;
    }
    tree->count++;
}

void tp_merkle_root(const tp_merkle *tree, tp_hasher *hasher, tp_sha256 *ret_root)
{
    size_t peak = (size_t)__builtin_popcountll(tree->count);
    if (peak == 0) {
        *ret_root = tp_sha256_of("", 0);
        return;
    }
    tp_sha256 root = tree->peaks[--peak];
    while (peak > 0) {
        tp_hasher_node(hasher, &tree->peaks[--peak], &root, &root);
    }
    *ret_root = root;
}

// -- which subtrees make a proof -----------------------------------------------------------------
// The largest power of two below `size`, which is 2 at least.
static uint64_t split_of(uint64_t size)
{
    return UINT64_C(1) << (63 - __builtin_clzll(size - 1));
}

// The RFC's recursion goes down from the root; its proof is written from the bottom up.
static void reverse(tp_merkle_range *ranges, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        const tp_merkle_range other = ranges[count - 1 - i];
        ranges[count - 1 - i] = ranges[i];
        ranges[i] = other;
    }
}

size_t tp_merkle_inclusion_ranges(uint64_t index, uint64_t size,
                                  tp_merkle_range ret_ranges[TP_MERKLE_PROOF_MAX])
{
    size_t count = 0;
    tp_merkle_range in = {0, size};
    while (in.end - in.begin > 1) {
        const uint64_t middle = in.begin + split_of(in.end - in.begin);
        if (index < middle) {
            ret_ranges[count++] = (tp_merkle_range){middle, in.end};
            in.end = middle;
        } else {
            ret_ranges[count++] = (tp_merkle_range){in.begin, middle};
            in.begin = middle;
        }
    }
    reverse(ret_ranges, count);
    return count;
}

size_t tp_merkle_consistency_ranges(uint64_t old_size, uint64_t size,
                                    tp_merkle_range ret_ranges[TP_MERKLE_PROOF_MAX])
{
    size_t count = 0;
    tp_merkle_range in = {0, size};
    while (in.end != old_size) {
        const uint64_t middle = in.begin + split_of(in.end - in.begin);
        if (old_size <= middle) {
            ret_ranges[count++] = (tp_merkle_range){middle, in.end};
            in.end = middle;
        } else {
            ret_ranges[count++] = (tp_merkle_range){in.begin, middle};
            in.begin = middle;
        }
    }
    // The old tree's last part: left out where it is the whole old tree, whose root is known.
    if (in.begin != 0) {
        ret_ranges[count++] = in;
    }
    reverse(ret_ranges, count);
    return count;
}

// -- checking proofs -----------------------------------------------------------------------------
static bool is_same(const tp_sha256 *a, const tp_sha256 *b)
{
    return memcmp(a->bytes, b->bytes, TP_SHA256_SIZE) == 0;
}

bool tp_merkle_inclusion_holds(tp_hasher *hasher, const tp_sha256 *leaf, tp_merkle_range place,
                               const tp_merkle_proof *proof, const tp_sha256 *root)
{
    if (place.begin >= place.end) {
        return false;
    }
    uint64_t index = place.begin;
    uint64_t last = place.end - 1;
    tp_sha256 hash = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        if (last == 0) {
            return false;
        }
        if ((index & 1) != 0 || index == last) {
            tp_hasher_node(hasher, &proof->hashes[i], &hash, &hash);
            while ((index & 1) == 0 && index != 0) {
                index >>= 1;
                last >>= 1;
            }
        } else {
            tp_hasher_node(hasher, &hash, &proof->hashes[i], &hash);
        }
        index >>= 1;
        last >>= 1;
    }
    return last == 0 && is_same(&hash, root) && !hasher->has_failed;
}

// Walks both trees up from the old one's last node; `first` and `second` are the section's fr, sr.
static bool walk(tp_hasher *hasher, tp_merkle_range sizes, const tp_merkle_proof *proof,
                 tp_sha256 ret_roots[2])
{
    uint64_t first_node = sizes.begin - 1;
    uint64_t last_node = sizes.end - 1;
    while ((first_node & 1) != 0) {
        first_node >>= 1;
        last_node >>= 1;
    }
    // ret_roots[0] is the old root where the old tree is complete; else the proof begins with it.
    size_t next = (sizes.begin & (sizes.begin - 1)) == 0 ? 0 : 1;
    if (proof->count < next) {
        return false;
    }
    if (next == 1) {
        ret_roots[0] = proof->hashes[0];
    }
    ret_roots[1] = ret_roots[0];
    for (; next < proof->count; next++) {
        const tp_sha256 *hash = &proof->hashes[next];
        if (last_node == 0) {
            return false;
        }
        if ((first_node & 1) != 0 || first_node == last_node) {
            tp_hasher_node(hasher, hash, &ret_roots[0], &ret_roots[0]);
            tp_hasher_node(hasher, hash, &ret_roots[1], &ret_roots[1]);
            while ((first_node & 1) == 0 && first_node != 0) {
                first_node >>= 1;
                last_node >>= 1;
            }
        } else {
            tp_hasher_node(hasher, &ret_roots[1], hash, &ret_roots[1]);
        }
        first_node >>= 1;
        last_node >>= 1;
    }
    return last_node == 0;
}

bool tp_merkle_consistency_holds(tp_hasher *hasher, tp_merkle_range sizes,
                                 const tp_merkle_proof *proof, const tp_sha256 roots[2])
{
    if (sizes.begin == 0 || sizes.begin > sizes.end) {
        return false;
    }
    if (sizes.begin == sizes.end) {
        return proof->count == 0 && is_same(&roots[0], &roots[1]);
    }
    tp_sha256 found[2] = {roots[0], roots[0]};
    return walk(hasher, sizes, proof, found) && is_same(&found[0], &roots[0]) &&
           is_same(&found[1], &roots[1]) && !hasher->has_failed;
}
