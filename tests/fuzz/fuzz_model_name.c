// SPDX-License-Identifier: Apache-2.0
//
// MODEL arguments: what is accepted is made of its parts and of nothing else, and no part can be a
// path.
#include "registry/registry_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_word(tp_str word)
{
    check(tp_model_name_is_valid(word));
    check(word.size >= 1 && word.size <= TP_MAX_MODEL_NAME_BYTES && word.data[0] != '.');
    check(memchr(word.data, '/', word.size) == NULL && memchr(word.data, '\0', word.size) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    model_name name;
    tapeout_error err = {0};
    if (tp_model_name_parse(text, &name, &err) != TAPEOUT_OK) {
        check(err.status == TAPEOUT_E_INVALID && err.message[0] != '\0');
        return 0;
    }
    check_word(name.name);
    check(name.version >= 0 && (name.version == 0 || name.alias.size == 0));
    size_t expected = name.name.size;
    if (name.alias.size > 0) {
        check_word(name.alias);
        expected += 1 + name.alias.size;
    }
    if (name.version == 0) {
        check(size == expected);
    } else {
        char digits[32];
        const int count = snprintf(digits, sizeof(digits), "%lld", (long long)name.version);
        check(size > expected + (size_t)count); // zeros may lead
        check(memcmp(data + size - count, digits, (size_t)count) == 0);
    }
    return 0;
}
