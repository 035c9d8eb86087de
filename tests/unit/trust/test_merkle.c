// SPDX-License-Identifier: Apache-2.0
//
// The tree and its proofs against tables that Python made by the RFC's own recursions
// (make_merkle_tables.py), and proofs that were changed.
#include "trust/tp_merkle.h"

#include "base/tp_random.h"
#include "merkle_tables.h"
#include "test.h"

#include <string.h>

static tp_hasher hasher;
static tp_sha256 leaves[MERKLE_LARGEST];
static tp_sha256 roots[MERKLE_LARGEST + 1];

static void start(void)
{
    ASSERT_OK(tp_hasher_init(&hasher, &test_err));
    tp_merkle tree = {.count = 0};
    tp_merkle_root(&tree, &hasher, &roots[0]);
    for (size_t i = 0; i < MERKLE_LARGEST; i++) {
        char text[16];
        const int size = snprintf(text, sizeof(text), "%zu", i);
        tp_hasher_leaf(&hasher, (tp_str){text, (size_t)size}, &leaves[i]);
        tp_merkle_add(&tree, &hasher, &leaves[i]);
        tp_merkle_root(&tree, &hasher, &roots[i + 1]);
    }
}

static void assert_hash(const tp_sha256 *got, const char *want)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(got, hex);
    ASSERT_EQ_STR(hex, want);
}

static size_t from_hex(const char *text, char *ret_bytes)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        int value = 0;
        for (size_t k = 0; k < 2; k++) {
            const char c = text[2 * i + k];
            value = value * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
        }
        ret_bytes[i] = (char)value;
    }
    return size;
}

// The root of some of the leaves, by a tree of its own.
static tp_sha256 root_of(const tp_sha256 *all, tp_merkle_range range)
{
    tp_merkle tree = {.count = 0};
    tp_sha256 root;
    for (uint64_t i = range.begin; i < range.end; i++) {
        tp_merkle_add(&tree, &hasher, &all[i]);
    }
    tp_merkle_root(&tree, &hasher, &root);
    return root;
}

static void fill(const tp_sha256 *all, const tp_merkle_range *ranges, size_t count,
                 tp_merkle_proof *ret_proof)
{
    ret_proof->count = count;
    for (size_t i = 0; i < count; i++) {
        ret_proof->hashes[i] = root_of(all, ranges[i]);
    }
}

static void make_inclusion(const tp_sha256 *all, uint64_t index, uint64_t size,
                           tp_merkle_proof *ret_proof)
{
    tp_merkle_range ranges[TP_MERKLE_PROOF_MAX];
    fill(all, ranges, tp_merkle_inclusion_ranges(index, size, ranges), ret_proof);
}

static void make_consistency(const tp_sha256 *all, uint64_t old_size, uint64_t size,
                             tp_merkle_proof *ret_proof)
{
    tp_merkle_range ranges[TP_MERKLE_PROOF_MAX];
    fill(all, ranges, tp_merkle_consistency_ranges(old_size, size, ranges), ret_proof);
}

static void test_known_tree(void)
{
    start();
    tp_sha256 known[8];
    tp_merkle tree = {.count = 0};
    tp_sha256 root;
    for (size_t i = 0; i <= 8; i++) {
        tp_merkle_root(&tree, &hasher, &root);
        assert_hash(&root, merkle_known_roots[i]);
        if (i < 8) {
            char data[64];
            tp_hasher_leaf(&hasher, (tp_str){data, from_hex(merkle_known_leaves[i], data)},
                           &known[i]);
            tp_merkle_add(&tree, &hasher, &known[i]);
        }
    }
    tp_merkle_proof proof;
    make_inclusion(known, 5, 7, &proof);
    ASSERT_EQ_UINT(proof.count, sizeof(merkle_path_5_7) / sizeof(merkle_path_5_7[0]));
    for (size_t i = 0; i < proof.count; i++) {
        assert_hash(&proof.hashes[i], merkle_path_5_7[i]);
    }
    make_consistency(known, 3, 7, &proof);
    ASSERT_EQ_UINT(proof.count, sizeof(merkle_proof_3_7) / sizeof(merkle_proof_3_7[0]));
    for (size_t i = 0; i < proof.count; i++) {
        assert_hash(&proof.hashes[i], merkle_proof_3_7[i]);
    }
    tp_hasher_deinit(&hasher);
}

static void test_roots(void)
{
    start();
    for (size_t i = 0; i <= MERKLE_LARGEST; i++) {
        assert_hash(&roots[i], merkle_roots[i]);
    }
    tp_hasher_deinit(&hasher);
}

// Every proof of every size is the table's, and holds.
static void test_proofs(void)
{
    start();
    static char all[2][4 << 20];
    size_t sizes[2] = {0, 0};
    tp_merkle_proof proof;
    for (uint64_t size = 1; size <= MERKLE_LARGEST; size++) {
        for (uint64_t i = 0; i < size; i++) {
            make_inclusion(leaves, i, size, &proof);
            ASSERT(tp_merkle_inclusion_holds(&hasher, &leaves[i], (tp_merkle_range){i, size},
                                             &proof, &roots[size]));
            ASSERT(sizes[0] + sizeof(proof.hashes) <= sizeof(all[0]));
            memcpy(all[0] + sizes[0], proof.hashes, proof.count * TP_SHA256_SIZE);
            sizes[0] += proof.count * TP_SHA256_SIZE;
            make_consistency(leaves, i + 1, size, &proof);
            const tp_sha256 two[2] = {roots[i + 1], roots[size]};
            ASSERT(
                tp_merkle_consistency_holds(&hasher, (tp_merkle_range){i + 1, size}, &proof, two));
            ASSERT(sizes[1] + sizeof(proof.hashes) <= sizeof(all[1]));
            memcpy(all[1] + sizes[1], proof.hashes, proof.count * TP_SHA256_SIZE);
            sizes[1] += proof.count * TP_SHA256_SIZE;
        }
    }
    const tp_sha256 inclusion = tp_sha256_of(all[0], sizes[0]);
    const tp_sha256 consistency = tp_sha256_of(all[1], sizes[1]);
    assert_hash(&inclusion, merkle_all_inclusion);
    assert_hash(&consistency, merkle_all_consistency);
    tp_hasher_deinit(&hasher);
}

// A proof with one bit changed, a hash more or less, or for another place does not hold.
static void test_wrong_proofs(void)
{
    start();
    for (uint64_t trial = 0; trial < 3000; trial++) {
        const uint64_t size = 2 + tp_random_below(1, 0, trial, MERKLE_LARGEST - 1);
        const uint64_t index = tp_random_below(1, 1, trial, size);
        const uint64_t old_size = 1 + tp_random_below(1, 2, trial, size - 1);
        tp_merkle_proof proof;
        make_inclusion(leaves, index, size, &proof);
        const size_t which = tp_random_below(1, 3, trial, proof.count);
        proof.hashes[which].bytes[trial % 32] ^= (uint8_t)(1 << trial % 8);
        const tp_merkle_range place = {index, size};
        ASSERT(!tp_merkle_inclusion_holds(&hasher, &leaves[index], place, &proof, &roots[size]));
        proof.hashes[which].bytes[trial % 32] ^= (uint8_t)(1 << trial % 8);
        ASSERT(tp_merkle_inclusion_holds(&hasher, &leaves[index], place, &proof, &roots[size]));
        ASSERT(!tp_merkle_inclusion_holds(&hasher, &leaves[(index + 1) % size], place, &proof,
                                          &roots[size]));
        proof.count--;
        ASSERT(!tp_merkle_inclusion_holds(&hasher, &leaves[index], place, &proof, &roots[size]));
        proof.count += 2;
        proof.hashes[proof.count - 1] = roots[1];
        ASSERT(!tp_merkle_inclusion_holds(&hasher, &leaves[index], place, &proof, &roots[size]));
        make_consistency(leaves, old_size, size, &proof);
        const tp_sha256 two[2] = {roots[old_size], roots[size]};
        const tp_merkle_range sizes = {old_size, size};
        const size_t at = tp_random_below(1, 4, trial, proof.count);
        proof.hashes[at].bytes[trial % 32] ^= 1;
        ASSERT(!tp_merkle_consistency_holds(&hasher, sizes, &proof, two));
        proof.hashes[at].bytes[trial % 32] ^= 1;
        const tp_sha256 swapped[2] = {roots[old_size - 1], roots[size]};
        ASSERT(!tp_merkle_consistency_holds(&hasher, sizes, &proof, swapped));
        proof.count--;
        ASSERT(!tp_merkle_consistency_holds(&hasher, sizes, &proof, two));
    }
    tp_merkle_proof none = {.count = 0};
    ASSERT(
        !tp_merkle_inclusion_holds(&hasher, &leaves[0], (tp_merkle_range){1, 1}, &none, &roots[1]));
    ASSERT(!tp_merkle_consistency_holds(&hasher, (tp_merkle_range){0, 1}, &none, roots));
    ASSERT(!tp_merkle_consistency_holds(&hasher, (tp_merkle_range){2, 1}, &none, roots));
    tp_hasher_deinit(&hasher);
}

TEST_MAIN(TEST(test_known_tree), TEST(test_roots), TEST(test_proofs), TEST(test_wrong_proofs))
