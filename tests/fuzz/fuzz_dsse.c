// SPDX-License-Identifier: Apache-2.0
//
// Envelopes out of arbitrary bytes: ours, others', and Model Signing bundles. What is taken for one
// of ours is written again as the same bytes, and nothing that is not signed is believed.
#include "base/tp_alloc.h"
#include "trust/tp_dsse.h"
#include "trust/tp_oms.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_own(tp_arena *arena, tp_str text)
{
    tp_envelope envelope;
    tp_statement statement;
    tapeout_error err = {0};
    tp_buffer again;
    if (tp_dsse_parse(arena, text, &envelope, &err) != TAPEOUT_OK) {
        check(err.status == TAPEOUT_E_CORRUPT || err.status == TAPEOUT_E_LIMIT);
        check(err.message[0] != '\0');
        return;
    }
    tp_buffer_init(&again, arena->alloc, 4 * TP_MAX_ENVELOPE_BYTES);
    tp_dsse_append(&again, &envelope);
    check(tp_str_equal(tp_buffer_view(&again), text));
    tp_buffer_deinit(&again);
    if (tp_statement_parse(arena->alloc, envelope.payload, &statement, &err) == TAPEOUT_OK) {
        check(strlen(statement.name) <= TP_MAX_MODEL_NAME_BYTES && statement.signed_s >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    const tapeout_allocator *alloc = tp_allocator_default();
    static const uint8_t seed[TP_KEY_SEED_SIZE] = {0x5a};
    const tp_sha256 file = tp_sha256_of("", 0);
    tp_arena arena;
    tp_signer *signer = NULL;
    tp_trust_list list;
    tp_verdict verdict;
    tp_arena_init(&arena, alloc, 64u << 20);
    check_own(&arena, text);
    check(tp_signer_new(alloc, TP_KEY_P256, seed, &signer, NULL) == TAPEOUT_OK);
    const tp_key_info info = {.key = signer->key};
    check(tp_trust_list_of(alloc, &info, &list, NULL) == TAPEOUT_OK);
    const tp_signed what = {.name = TP_STR("m"), .file = &file};
    const tp_inquiry inquiry = {&list, &what, 1};
    // Nobody here has signed anything.
    if (tp_signatures_check(&arena, text, &inquiry, &verdict, NULL) == TAPEOUT_OK) {
        check(!verdict.is_trusted && verdict.good_count == 0);
    }
    check(tp_oms_check(&arena, text, TP_STR("m"), &inquiry, &verdict, NULL) == TAPEOUT_OK);
    check(!verdict.is_trusted && verdict.count == 1);
    tp_trust_list_free(&list);
    tp_signer_free(&signer);
    tp_arena_deinit(&arena);
    return 0;
}
