// SPDX-License-Identifier: Apache-2.0
//
// Key files and trust lists out of arbitrary bytes. What is read is written again and read as the
// same; a key that lies open signs for the public part beside it, or is refused.
#include "base/tp_alloc.h"
#include "trust/tp_trust.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_key(const tapeout_allocator *alloc, tp_str text)
{
    tp_key_info info;
    tp_key_info again;
    tp_signer *signer = NULL;
    tp_buffer written;
    if (tp_key_info_parse(alloc, text, &info, NULL) != TAPEOUT_OK || info.name[0] == '\0') {
        return; // refused, or PEM, which has no name
    }
    tp_buffer_init(&written, alloc, TP_MAX_KEY_FILE_BYTES);
    tp_key_public_write(&info, &written);
    check(tp_key_info_parse(alloc, tp_buffer_view(&written), &again, NULL) == TAPEOUT_OK);
    check(memcmp(&again.key, &info.key, sizeof(info.key)) == 0);
    check(strcmp(again.name, info.name) == 0 && again.created_s == info.created_s);
    tp_buffer_deinit(&written);
    if (info.is_secret && !info.is_sealed && // a sealed one takes 64 MiB and a while
        tp_key_open(alloc, text, (tp_str){NULL, 0}, &signer, NULL) == TAPEOUT_OK) {
        uint8_t signature[TP_KEY_SIGNATURE_SIZE];
        size_t signature_size = 0;
        check(signer->sign(signer, TP_STR("x"), signature, &signature_size, NULL) == TAPEOUT_OK);
        check(tp_public_key_verify(&info.key, TP_STR("x"),
                                   (tp_str){(char *)signature, signature_size}));
        tp_signer_free(&signer);
    }
}

static void check_list(const tapeout_allocator *alloc, tp_str text)
{
    tp_trust_list list;
    tp_trust_list again;
    tp_buffer written;
    if (tp_trust_list_parse(alloc, text, &list, NULL) != TAPEOUT_OK) {
        return;
    }
    tp_buffer_init(&written, alloc, TP_MAX_TRUST_LIST_BYTES);
    tp_trust_list_append(&written, &list);
    check(tp_trust_list_parse(alloc, tp_buffer_view(&written), &again, NULL) == TAPEOUT_OK);
    check(again.count == list.count);
    for (size_t i = 0; i < list.count; i++) {
        check(memcmp(&again.keys[i], &list.keys[i], sizeof(list.keys[i])) == 0);
        check(tp_trust_list_find(&again, &list.keys[i].key.id) == &again.keys[i]);
    }
    tp_trust_list_free(&again);
    tp_trust_list_free(&list);
    tp_buffer_deinit(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    check_key(tp_allocator_default(), text);
    check_list(tp_allocator_default(), text);
    return 0;
}
