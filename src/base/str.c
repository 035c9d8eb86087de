// SPDX-License-Identifier: Apache-2.0
//
// String views: comparing, trimming, integers, UTF-8, hashing, and the nearest name for a message
// that wants to help.
#include "base/tp_str.h"

#include <string.h>

tp_str tp_str_from(const char *terminated)
{
    return (tp_str){terminated, terminated == NULL ? 0 : strlen(terminated)};
}

bool tp_str_equal(tp_str a, tp_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool tp_str_equal_ignore_case(tp_str a, tp_str b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

int tp_str_compare(tp_str a, tp_str b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool tp_str_has_prefix(tp_str text, tp_str prefix)
{
    return text.size >= prefix.size && tp_str_equal((tp_str){text.data, prefix.size}, prefix);
}

bool tp_str_has_suffix(tp_str text, tp_str suffix)
{
    return text.size >= suffix.size &&
           (suffix.size == 0 ||
            memcmp(text.data + (text.size - suffix.size), suffix.data, suffix.size) == 0);
}

bool tp_str_contains(tp_str text, tp_str part)
{
    return part.size == 0 ||
           (text.size >= part.size && memmem(text.data, text.size, part.data, part.size) != NULL);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

tp_str tp_str_trim(tp_str text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

// Digits alone, at least one.
static bool digits_to_uint64(tp_str text, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint64_t digit = (uint64_t)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_value = text.size > 0 ? value : *ret_value;
    return text.size > 0;
}

bool tp_str_to_uint64(tp_str text, uint64_t *ret_value)
{
    if (text.size > 0 && text.data[0] == '+') {
        text = (tp_str){text.data + 1, text.size - 1};
    }
    return digits_to_uint64(text, ret_value);
}

bool tp_str_to_int64(tp_str text, int64_t *ret_value)
{
    const bool negative = text.size > 0 && text.data[0] == '-';
    if (text.size > 0 && (negative || text.data[0] == '+')) {
        text = (tp_str){text.data + 1, text.size - 1};
    }
    uint64_t magnitude = 0;
    if (!digits_to_uint64(text, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

// -- UTF-8 ---------------------------------------------------------------------------------------

static uint64_t load64(const char *data)
{
    uint64_t word = 0;
    memcpy(&word, data, sizeof(word));
    return word;
}

// The size of the character that begins at `data`, or 0. The rows of table 3-7 of the Unicode
// standard: the second byte's range depends on the first and excludes overlong forms, surrogates
// and what lies beyond U+10FFFF.
static size_t character_size(const unsigned char *data, size_t left)
{
    const unsigned char first = data[0];
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (size > left) {
        return 0;
    }
    const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (data[1] < low || data[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool tp_utf8_check(tp_str text, size_t *ret_offset)
{
    size_t at = 0;
    while (at < text.size) {
        // Almost all text is ASCII: eight bytes a step while no top bit is set.
        while (text.size - at >= 8 && (load64(text.data + at) & 0x8080808080808080u) == 0) {
            at += 8;
        }
        if (at == text.size) {
            break;
        }
        const size_t size = character_size((const unsigned char *)text.data + at, text.size - at);
        if (size == 0) {
            if (ret_offset != NULL) {
                *ret_offset = at;
            }
            return false;
        }
        at += size;
    }
    return true;
}

// -- hashing -------------------------------------------------------------------------------------

// The two halves of the 128-bit product, folded: each bit of the result hangs on all bits of both.
// The step of wyhash (Wang Yi, 2019).
static uint64_t fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    const uint64_t a_low = (uint32_t)a;
    const uint64_t a_high = a >> 32;
    const uint64_t b_low = (uint32_t)b;
    const uint64_t b_high = b >> 32;
    const uint64_t low = a_low * b_low;
    const uint64_t middle = a_high * b_low + (low >> 32);
    const uint64_t middle_2 = a_low * b_high + (uint32_t)middle;
    const uint64_t high = a_high * b_high + (middle >> 32) + (middle_2 >> 32);
    return ((middle_2 << 32) | (uint32_t)low) ^ high;
#endif
}

// Little-endian whatever the machine.
static uint64_t read_le64(const char *data)
{
    const uint64_t word = load64(data);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

static uint64_t read_le32(const char *data)
{
    const unsigned char *bytes = (const unsigned char *)data;
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
           (uint64_t)bytes[3] << 24;
}

// Up to 15 bytes as two words, which may overlap: with the size, they determine the bytes.
static void read_tail(const char *data, size_t size, uint64_t *ret_a, uint64_t *ret_b)
{
    if (size >= 8) {
        *ret_a = read_le64(data);
        *ret_b = read_le64(data + (size - 8));
    } else if (size >= 4) {
        *ret_a = read_le32(data);
        *ret_b = read_le32(data + (size - 4));
    } else if (size > 0) {
        const unsigned char *bytes = (const unsigned char *)data;
        *ret_a = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1];
        *ret_b = 0;
    }
}

// Digits of pi's fraction: nothing up the sleeve.
static const uint64_t secret[3] = {0x243f6a8885a308d3u, 0x13198a2e03707345u, 0xa4093822299f31d1u};

uint64_t tp_str_hash(tp_str text)
{
    uint64_t state = secret[0] ^ (uint64_t)text.size;
    const char *data = text.data;
    size_t left = text.size;
    while (left >= 16) {
        state = fold(read_le64(data) ^ secret[1], read_le64(data + 8) ^ state);
        data += 16;
        left -= 16;
    }
    uint64_t a = 0;
    uint64_t b = 0;
    read_tail(data, left, &a, &b);
    state = fold(a ^ secret[1], b ^ state);
    return fold(state ^ secret[2], secret[1] ^ (uint64_t)text.size);
}

// -- the nearest name ----------------------------------------------------------------------------

enum { NAME_MAX_BYTES = 128 }; // longer names are not compared

// Edits between two names: insert, delete, replace, or swap two neighbours (optimal string
// alignment). Three rows of the usual table.
static size_t edit_distance(tp_str a, tp_str b)
{
    uint8_t rows[3][NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = (uint8_t)j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        uint8_t *row = rows[i % 3];
        const uint8_t *above = rows[(i + 2) % 3];
        const uint8_t *above_2 = rows[(i + 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.size; j++) {
            const bool same = a.data[i - 1] == b.data[j - 1];
            unsigned best = above[j - 1] + (same ? 0u : 1u);
            best = above[j] + 1u < best ? above[j] + 1u : best;
            best = row[j - 1] + 1u < best ? row[j - 1] + 1u : best;
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && above_2[j - 2] + 1u < best) {
                best = above_2[j - 2] + 1u;
            }
            row[j] = (uint8_t)best;
        }
    }
    return rows[a.size % 3][b.size];
}

int tp_str_nearest(tp_str name, const tp_str *candidates, size_t count)
{
    if (name.size > NAME_MAX_BYTES) {
        return -1;
    }
    const size_t allowed = name.size / 3 > 2 ? name.size / 3 : 2;
    size_t best = allowed + 1;
    int nearest = -1;
    for (size_t i = 0; i < count; i++) {
        const size_t longer = candidates[i].size > name.size ? candidates[i].size : name.size;
        if (longer > NAME_MAX_BYTES) {
            continue;
        }
        const size_t edits = edit_distance(name, candidates[i]);
        // As many edits as bytes means that nothing is left of the name.
        if (edits < best && (edits < longer || longer == 0)) {
            best = edits;
            nearest = (int)i;
        }
    }
    return nearest;
}
