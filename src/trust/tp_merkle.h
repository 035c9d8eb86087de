// SPDX-License-Identifier: Apache-2.0
//
// The Merkle tree of RFC 9162, section 2.1, over leaf hashes: a root that grows leaf by leaf, and
// the two proofs, made from the tree and checked without it. A leaf's hash is SHA-256(0x00 ‖ data),
// a node's SHA-256(0x01 ‖ left ‖ right), the root of an empty tree SHA-256 of nothing.
//
// A proof is a list of subtrees, each a range of leaves; which ones follows from the sizes alone,
// so whoever reads the leaves once in order can compute all of them on the way.
#ifndef TP_MERKLE_H
#define TP_MERKLE_H

#include "bundle/tp_bundle.h"

enum { TP_MERKLE_LEVELS = 64, TP_MERKLE_PROOF_MAX = 65 };

// SHA-256 for many short inputs: one context that is used over and over. @thread confined
typedef struct tp_hasher {
    struct evp_md_st *method; // OpenSSL's EVP_MD and EVP_MD_CTX
    struct evp_md_ctx_st *context;
    bool has_failed; // libcrypto ran out of memory: what was computed since is worth nothing
} tp_hasher;

tapeout_status tp_hasher_init(tp_hasher *hasher, tapeout_error *err);
void tp_hasher_deinit(tp_hasher *hasher); // accepts one of zeros
void tp_hasher_leaf(tp_hasher *hasher, tp_str data, tp_sha256 *ret_hash);
void tp_hasher_node(tp_hasher *hasher, const tp_sha256 *left, const tp_sha256 *right,
                    tp_sha256 *ret_hash);
tapeout_status tp_hasher_check(const tp_hasher *hasher, tapeout_error *err); // E_NOMEM

// The roots of the complete subtrees from the left, largest first; one of zeros is the empty tree.
typedef struct tp_merkle {
    uint64_t count; // of leaves; a peak for each of its bits
    tp_sha256 peaks[TP_MERKLE_LEVELS];
} tp_merkle;

void tp_merkle_add(tp_merkle *tree, tp_hasher *hasher, const tp_sha256 *leaf);
void tp_merkle_root(const tp_merkle *tree, tp_hasher *hasher, tp_sha256 *ret_root);

// -- proofs --------------------------------------------------------------------------------------
typedef struct tp_merkle_range {
    uint64_t begin;
    uint64_t end; // above begin
} tp_merkle_range;

// The subtrees of PATH(index, D[size]), in the order of the proof; returns how many. index < size.
size_t tp_merkle_inclusion_ranges(uint64_t index, uint64_t size,
                                  tp_merkle_range ret_ranges[TP_MERKLE_PROOF_MAX]);
// Those of PROOF(old_size, D[size]); 0 < old_size <= size.
size_t tp_merkle_consistency_ranges(uint64_t old_size, uint64_t size,
                                    tp_merkle_range ret_ranges[TP_MERKLE_PROOF_MAX]);

typedef struct tp_merkle_proof {
    size_t count;
    tp_sha256 hashes[TP_MERKLE_PROOF_MAX];
} tp_merkle_proof;

// Whether the leaf stands at `index` of the tree of `size` leaves with that root (section 2.1.3.2).
bool tp_merkle_inclusion_holds(tp_hasher *hasher, const tp_sha256 *leaf, tp_merkle_range place,
                               const tp_merkle_proof *proof, const tp_sha256 *root);
// Whether the tree of `sizes.end` leaves begins with that of `sizes.begin` (section 2.1.4.2).
bool tp_merkle_consistency_holds(tp_hasher *hasher, tp_merkle_range sizes,
                                 const tp_merkle_proof *proof, const tp_sha256 roots[2]);

#endif
