// SPDX-License-Identifier: Apache-2.0
//
// Reading a segment from front to back as far as it is what an appender left, and telling what
// stands behind: the tail that a crash left, or damage.
//
// Only one batch is ever written and not yet synced, and the next begins after that sync. So what a
// crash can leave half is entries of the last batch alone. Where an entry is bad and one of a later
// batch stands behind it, the bad one had been on disk whole: somebody or something changed it, and
// nothing may be cut.
#include "trust/audit_priv.h"

#include <stdio.h>
#include <string.h>

// The line at `begin`, without its line feed; false where there is none.
static bool next_line(tp_str text, size_t begin, tp_str *ret_line)
{
    const char *data = text.data + begin;
    const char *end = begin < text.size ? memchr(data, '\n', text.size - begin) : NULL;
    if (end == NULL) {
        return false;
    }
    *ret_line = (tp_str){data, (size_t)(end - data)};
    return true;
}

// Reads the line as an entry whose own hash is right.
static bool read_good(tp_hasher *hasher, tp_str line, audit_record *ret_record, tp_sha256 *ret_leaf)
{
    if (tp_audit_line_read(line, ret_record, NULL) != TAPEOUT_OK) {
        return false;
    }
    tp_hasher_leaf(hasher, ret_record->data, ret_leaf);
    return tp_audit_line_has_hash(ret_record, ret_leaf);
}

static bool has_later_batch(tp_hasher *hasher, tp_str text, size_t begin, uint64_t sequence)
{
    tp_str line;
    audit_record record;
    tp_sha256 leaf;
    while (next_line(text, begin, &line)) {
        if (read_good(hasher, line, &record, &leaf) && record.batch > sequence) {
            return true;
        }
        begin += line.size + 1;
    }
    return false;
}

void tp_audit_scan_text(tp_hasher *hasher, tp_str text, audit_scan *scan)
{
    tp_str line = {NULL, 0};
    audit_record record;
    tp_sha256 leaf;
    scan->good_bytes = 0;
    scan->is_damaged = false;
    const char *reason = "";
    while (next_line(text, scan->good_bytes, &line)) {
        reason = !read_good(hasher, line, &record, &leaf) ? "is damaged"
                 : record.sequence != scan->next          ? "has another entry in its place"
                 : scan->has_leaf && memcmp(&record.prev, &scan->leaf, sizeof(leaf)) != 0
                     ? "does not follow the entry before it"
                     : "";
        if (reason[0] != '\0') {
            break;
        }
        scan->good_bytes += line.size + 1;
        scan->next++;
        scan->leaf = leaf;
        scan->has_leaf = true;
    }
    if (scan->good_bytes < text.size && reason[0] == '\0') {
        reason = "is not finished";
    }
    scan->reason = reason;
    scan->is_damaged =
        scan->good_bytes < text.size && has_later_batch(hasher, text, scan->good_bytes, scan->next);
}

bool tp_audit_is_unfinished(tp_str text, uint64_t sequence)
{
    char begin[64];
    const int size =
        snprintf(begin, sizeof(begin), "{\"seq\":%llu,\"batch\":", (unsigned long long)sequence);
    const size_t shared = text.size < (size_t)size ? text.size : (size_t)size;
    audit_record record;
    // A whole entry whose line feed is gone, or another byte, was not cut short.
    const bool is_whole =
        tp_audit_line_read(text, &record, NULL) == TAPEOUT_OK ||
        tp_audit_line_read((tp_str){text.data, text.size - 1}, &record, NULL) == TAPEOUT_OK;
    return memchr(text.data, '\n', text.size) == NULL && memcmp(text.data, begin, shared) == 0 &&
           !is_whole;
}
