// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the tests of keys and signatures; see trust_cases.h.
#include "trust_cases.h"

#include "base/tp_alloc.h"
#include "trust/tp_dsse.h"

#include <string.h>

tp_signer *trust_signer(tp_key_algorithm algorithm, uint8_t number)
{
    uint8_t seed[TP_KEY_SEED_SIZE];
    tp_signer *signer = NULL;
    memset(seed, number, sizeof(seed));
    ASSERT_OK(tp_signer_new(tp_allocator_default(), algorithm, seed, &signer, &test_err));
    return signer;
}

tp_trust_list trust_list(const uint8_t *numbers, size_t count)
{
    tp_trust_list list = {.alloc = tp_allocator_default(), .count = count, .capacity = count};
    list.keys = tp_alloc_array_zero(list.alloc, count, sizeof(*list.keys));
    for (size_t i = 0; i < count; i++) {
        tp_signer *signer = trust_signer(TP_KEY_ED25519, numbers[i]);
        list.keys[i] = (tp_trusted_key){.key = signer->key, .until_s = INT64_MAX};
        (void)snprintf(list.keys[i].name, TP_KEY_NAME_SIZE, "key%u", numbers[i]);
        tp_signer_free(&signer);
    }
    return list;
}

void trust_bundle(const char *path, const char *name)
{
    const tp_env env = tp_env_plain();
    const tp_bundle_section sections[] = {
        {TP_STR("model"), TP_STR("weights of a model"), 64},
        {TP_STR("report.json"), TP_STR("{\"metrics\":{\"auc\":0.75}}"), 64},
        {TP_STR("lineage.json"), TP_STR("{\"data_sha256\":\"d0\",\"seed\":7}"), 64},
        {TP_STR("spec.yaml"), TP_STR("name: m\n"), 64},
    };
    const tp_bundle_content content = {TP_STR("tabular"), tp_str_from(name), sections, 4};
    tp_sha256 hash;
    ASSERT_OK(tp_bundle_write(&env, path, &content, &hash, &test_err));
}

static tp_bundle *open_bundle(const char *path)
{
    const tp_env env = tp_env_plain();
    tp_bundle *bundle = NULL;
    ASSERT_OK(tp_bundle_open(&env, path, &bundle, &test_err));
    return bundle;
}

void trust_sign(const char *path, uint8_t number, int64_t signed_s, tp_buffer *lines)
{
    tp_buffer statement;
    tp_bundle *bundle = open_bundle(path);
    tp_signer *signer = trust_signer(TP_KEY_ED25519, number);
    tp_buffer_init(&statement, tp_allocator_default(), TP_MAX_ENVELOPE_BYTES);
    ASSERT_OK(tp_statement_write(bundle, signed_s, &statement, &test_err));
    ASSERT_OK(tp_dsse_sign(signer, TP_STR(TP_DSSE_IN_TOTO), tp_buffer_view(&statement), true, lines,
                           &test_err));
    tp_buffer_append_char(lines, '\n');
    tp_buffer_deinit(&statement);
    tp_signer_free(&signer);
    tp_bundle_close(&bundle);
}

tp_arena trust_arena(void)
{
    tp_arena arena;
    tp_arena_init(&arena, tp_allocator_default(), 64u << 20);
    return arena;
}

tp_verdict trust_verdict(tp_arena *arena, const char *path, tp_str lines, const tp_trust_list *list)
{
    tp_verdict verdict;
    tp_bundle *bundle = open_bundle(path);
    tp_signed what = tp_signed_of(bundle);
    const tp_sha256 hash = tp_bundle_hash(bundle);
    what.file = &hash;
    const tp_inquiry inquiry = {list, &what, TRUST_NOW};
    ASSERT_OK(tp_signatures_check(arena, lines, &inquiry, &verdict, &test_err));
    tp_bundle_close(&bundle);
    return verdict;
}
