// SPDX-License-Identifier: Apache-2.0
//
// Text functions over arbitrary bytes: the UTF-8 check against a decoder written the other way
// round (decode, then encode again and compare), integers against printing them, messages that must
// come out as one clean line.
#include "base/tp_error.h"
#include "base/tp_str.h"

#include <inttypes.h>
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

static size_t encode(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    const size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(heads[size] | c);
    return size;
}

// The first byte that no well-formed character covers, or `size`.
static size_t valid_prefix(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        const uint8_t head = data[at];
        const size_t length = head < 0x80 ? 1 : head < 0xe0 ? 2 : head < 0xf0 ? 3 : 4;
        if (length > size - at) {
            return at;
        }
        uint32_t c = length == 1 ? head : head & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
            c = (c << 6) | (data[at + i] & 0x3fu);
        }
        uint8_t again[4];
        const bool is_character = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
        if (!is_character || encode(c, again) != length || memcmp(again, data + at, length) != 0) {
            return at;
        }
        at += length;
    }
    return size;
}

static void check_integers(tp_str text)
{
    int64_t value = 0;
    if (tp_str_to_int64(text, &value)) {
        char printed[32];
        const int length = snprintf(printed, sizeof(printed), "%" PRId64, value);
        int64_t again = 0;
        check(tp_str_to_int64((tp_str){printed, (size_t)length}, &again) && again == value);
    }
    uint64_t natural = 0;
    if (tp_str_to_uint64(text, &natural)) {
        check(natural > INT64_MAX || (tp_str_to_int64(text, &value) && (uint64_t)value == natural));
    }
}

static void check_message(tp_str text)
{
    tapeout_error err;
    memset(&err, 0xff, sizeof(err));
    (void)tp_fail(&err, TAPEOUT_E_DATA, "%.*s", TP_STR_ARGS(text));
    const size_t length = strnlen(err.message, sizeof(err.message));
    check(length < sizeof(err.message));
    check(tp_utf8_check((tp_str){err.message, length}, NULL));
    for (size_t i = 0; i < length; i++) {
        check((unsigned char)err.message[i] >= 0x20 && err.message[i] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    size_t offset = size;
    const bool good = tp_utf8_check(text, &offset);
    check(offset == valid_prefix(data, size) && good == (offset == size));
    check_integers(text);
    if (size > 0) { // a null pointer is no argument for printf
        check_message(text);
    }
    const tp_str trimmed = tp_str_trim(text);
    check(trimmed.size <= size && tp_str_contains(text, trimmed));
    check(tp_str_equal(tp_str_trim(trimmed), trimmed));
    const tp_str head = {text.data, size / 2};
    check(tp_str_has_prefix(text, head) && tp_str_compare(head, text) <= 0);
    check(tp_str_nearest(text, &text, 1) == (size > 0 && size <= 128 ? 0 : size == 0 ? 0 : -1));
    check(tp_str_hash(text) == tp_str_hash(text));
    return 0;
}
