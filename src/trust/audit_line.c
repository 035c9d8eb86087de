// SPDX-License-Identifier: Apache-2.0
//
// An entry of the audit log as a line of JSON, written in one way only and read as strictly:
//
//   {"seq":7,"batch":6,"time":"2026-11-25T16:40:00.123456Z","prev":"<64 digits>",
//    "kind":"model.promoted","who":"key:ab12","what":{...},"leaf":"<16 digits>"}
//
// The leaf of the Merkle tree is the line up to `,"leaf":`; the digits there are the first of its
// hash, so that an entry that was damaged is known by itself, the last one too, and `prev` is the
// hash of the entry before in full, so that one that was replaced is known by its neighbour.
#include "trust/audit_priv.h"

#include "base/tp_clock.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <string.h>
#include <unistd.h>

// -- reading -------------------------------------------------------------------------------------
static bool take(tp_cursor *cursor, tp_str literal)
{
    const size_t begin = cursor->position;
    if (tp_str_equal(tp_cursor_bytes(cursor, literal.size), literal)) {
        return true;
    }
    cursor->position = begin;
    cursor->failed = true;
    return false;
}

// Digits without a leading zero.
static bool take_number(tp_cursor *cursor, uint64_t *ret_value)
{
    const uint8_t *data = cursor->data + cursor->position;
    const size_t left = tp_cursor_left(cursor);
    uint64_t value = 0;
    size_t size = 0;
    while (size < left && data[size] >= '0' && data[size] <= '9') {
        if ((size > 0 && data[0] == '0') || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(data[size] - '0'), &value)) {
            return false;
        }
        size++;
    }
    *ret_value = value;
    return size > 0 && tp_cursor_skip(cursor, size);
}

static bool take_hex(tp_cursor *cursor, uint8_t *ret_bytes, size_t size)
{
    const tp_str text = tp_cursor_bytes(cursor, 2 * size);
    return text.data != NULL && tp_hex_read(text.data, ret_bytes, size);
}

static bool take_time(tp_cursor *cursor, tp_str *ret_time)
{
    static const char form[] = "0000-00-00T00:00:00.000000Z";
    const tp_str text = tp_cursor_bytes(cursor, AUDIT_TIME_SIZE);
    for (size_t i = 0; i < text.size; i++) {
        const bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] == '0' ? !is_digit : text.data[i] != form[i]) {
            return false;
        }
    }
    *ret_time = text;
    return text.data != NULL;
}

static bool is_kind_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool take_kind(tp_cursor *cursor, tp_str *ret_kind)
{
    const char *data = (const char *)cursor->data + cursor->position;
    const size_t left = tp_cursor_left(cursor);
    size_t size = 0;
    while (size < left && is_kind_byte(data[size])) {
        size++;
    }
    *ret_kind = (tp_str){data, size};
    return size > 0 && size <= TP_MAX_AUDIT_KIND_BYTES && tp_cursor_skip(cursor, size);
}

// Up to the quotation mark that ends it.
static bool take_who(tp_cursor *cursor, tp_str *ret_who)
{
    const char *data = (const char *)cursor->data + cursor->position;
    const size_t left = tp_cursor_left(cursor);
    size_t size = 0;
    while (size < left && data[size] != '"') {
        size += data[size] == '\\' ? 2 : 1;
    }
    *ret_who = (tp_str){data, size};
    return size <= left && tp_cursor_skip(cursor, size);
}

static bool take_front(tp_cursor *cursor, audit_record *record)
{
    return take(cursor, TP_STR("{\"seq\":")) && take_number(cursor, &record->sequence) &&
           take(cursor, TP_STR(",\"batch\":")) && take_number(cursor, &record->batch) &&
           take(cursor, TP_STR(",\"time\":\"")) && take_time(cursor, &record->time) &&
           take(cursor, TP_STR("\",\"prev\":\"")) &&
           take_hex(cursor, record->prev.bytes, TP_SHA256_SIZE) &&
           take(cursor, TP_STR("\",\"kind\":\"")) && take_kind(cursor, &record->kind) &&
           take(cursor, TP_STR("\",\"who\":\"")) && take_who(cursor, &record->who) &&
           take(cursor, TP_STR("\",\"what\":"));
}

// `what` reaches from the cursor to the end, which has a form of fixed size.
static bool take_back(tp_cursor *cursor, tp_str line, audit_record *record)
{
    static const char begin[] = ",\"leaf\":\"";
    const size_t back_size = sizeof(begin) - 1 + 2 * AUDIT_LEAF_BYTES + 2;
    if (tp_cursor_left(cursor) < back_size + 2) {
        return false;
    }
    record->data = (tp_str){line.data, line.size - back_size};
    record->what = tp_cursor_bytes(cursor, tp_cursor_left(cursor) - back_size);
    const bool is_object =
        record->what.data[0] == '{' && record->what.data[record->what.size - 1] == '}';
    return is_object && take(cursor, (tp_str){begin, sizeof(begin) - 1}) &&
           take_hex(cursor, record->leaf, AUDIT_LEAF_BYTES) && take(cursor, TP_STR("\"}"));
}

tapeout_status tp_audit_line_read(tp_str line, audit_record *ret_record, tapeout_error *err)
{
    tp_cursor cursor;
    audit_record record = {.sequence = 0};
    tp_cursor_init(&cursor, line.data, line.size);
    if (line.size > TP_MAX_AUDIT_LINE_BYTES || !take_front(&cursor, &record) ||
        !take_back(&cursor, line, &record) || record.batch > record.sequence) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor.position,
                          "audit: no entry from its byte %zu on", cursor.position);
    }
    *ret_record = record;
    return TAPEOUT_OK;
}

bool tp_audit_line_has_hash(const audit_record *record, const tp_sha256 *hash)
{
    return memcmp(record->leaf, hash->bytes, AUDIT_LEAF_BYTES) == 0;
}

// -- writing -------------------------------------------------------------------------------------
// One line: no control character, and bytes that are UTF-8.
static bool is_line(tp_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)text.data[i] < 0x20) {
            return false;
        }
    }
    return tp_utf8_check(text, NULL);
}

static bool is_kind(tp_str kind)
{
    size_t size = 0;
    while (size < kind.size && is_kind_byte(kind.data[size])) {
        size++;
    }
    return size > 0 && size == kind.size && size <= TP_MAX_AUDIT_KIND_BYTES;
}

static tapeout_status check_event(const tp_audit_event *event, tp_str what, tapeout_error *err)
{
    if (event->kind == NULL || !is_kind(tp_str_from(event->kind))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "audit: a kind is 1 to %u of a-z, 0-9, '.', '_' and '-'",
                       TP_MAX_AUDIT_KIND_BYTES);
    }
    if (event->who.size > TP_MAX_AUDIT_WHO_BYTES || what.size > TP_MAX_AUDIT_WHAT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "audit: an entry \"%s\" of %zu bytes by a name of %zu; at most %u and %u",
                       event->kind, what.size, event->who.size, TP_MAX_AUDIT_WHAT_BYTES,
                       TP_MAX_AUDIT_WHO_BYTES);
    }
    if (what.data[0] != '{' || what.data[what.size - 1] != '}' || !is_line(what) ||
        !tp_utf8_check(event->who, NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "audit: an entry \"%s\" must be a JSON object in one line of UTF-8",
                       event->kind);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_audit_body_write(const tp_audit_event *event, tp_buffer *body, tapeout_error *err)
{
    const tp_str what = event->what.size == 0 ? TP_STR("{}") : event->what;
    TP_TRY(check_event(event, what, err));
    tp_buffer_append_str(body, TP_STR("\"kind\":\""));
    tp_buffer_append_text(body, event->kind);
    tp_buffer_append_str(body, TP_STR("\",\"who\":"));
    if (event->who.size > 0) {
        tp_json_append_str(body, event->who);
    } else {
        tp_buffer_printf(body, "\"uid:%lu\"", (unsigned long)getuid());
    }
    tp_buffer_append_str(body, TP_STR(",\"what\":"));
    tp_buffer_append_str(body, what);
    return tp_buffer_check(body, "audit: an entry", err);
}

static void append_digits(tp_buffer *text, uint64_t value, int count)
{
    char digits[20];
    for (int i = count; i > 0; i--) {
        digits[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    tp_buffer_append(text, digits, (size_t)count);
}

// Years from 0 to 9999; a clock beyond them shows as the nearer end.
static void append_time(tp_buffer *text, int64_t time_us)
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t least = INT64_C(-719528) * day_us;
    const int64_t most = INT64_C(2932897) * day_us - 1;
    time_us = time_us < least ? least : time_us > most ? most : time_us;
    int64_t days = time_us / day_us;
    days -= time_us % day_us < 0 ? 1 : 0;
    const uint64_t rest = (uint64_t)(time_us - days * day_us);
    const tp_date_parts date = tp_date_split(days);
    append_digits(text, (uint64_t)date.year, 4);
    tp_buffer_append_char(text, '-');
    append_digits(text, (uint64_t)date.month, 2);
    tp_buffer_append_char(text, '-');
    append_digits(text, (uint64_t)date.day, 2);
    tp_buffer_append_char(text, 'T');
    append_digits(text, rest / 3600000000u, 2);
    tp_buffer_append_char(text, ':');
    append_digits(text, rest / 60000000u % 60, 2);
    tp_buffer_append_char(text, ':');
    append_digits(text, rest / 1000000u % 60, 2);
    tp_buffer_append_char(text, '.');
    append_digits(text, rest % 1000000u, 6);
    tp_buffer_append_char(text, 'Z');
}

void tp_audit_line_write(tp_hasher *hasher, const audit_record *place, const audit_item *item,
                         tp_buffer *lines, tp_sha256 *ret_leaf)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    const size_t begin = lines->size;
    tp_buffer_append_str(lines, TP_STR("{\"seq\":"));
    tp_json_append_u64(lines, place->sequence);
    tp_buffer_append_str(lines, TP_STR(",\"batch\":"));
    tp_json_append_u64(lines, place->batch);
    tp_buffer_append_str(lines, TP_STR(",\"time\":\""));
    append_time(lines, item->time_us);
    tp_buffer_append_str(lines, TP_STR("\",\"prev\":\""));
    tp_sha256_hex(&place->prev, hex);
    tp_buffer_append(lines, hex, TP_SHA256_HEX_SIZE);
    tp_buffer_append_str(lines, TP_STR("\","));
    tp_buffer_append_str(lines, item->body);
    if (lines->status == TAPEOUT_OK) {
        tp_hasher_leaf(hasher, (tp_str){lines->data + begin, lines->size - begin}, ret_leaf);
    }
    tp_buffer_append_str(lines, TP_STR(",\"leaf\":\""));
    tp_sha256_hex(ret_leaf, hex);
    tp_buffer_append(lines, hex, 2 * AUDIT_LEAF_BYTES);
    tp_buffer_append_str(lines, TP_STR("\"}\n"));
}
