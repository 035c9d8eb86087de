// SPDX-License-Identifier: Apache-2.0
//
// Lines of the audit log: whatever the bytes, reading ends with an entry or a refusal. An entry's
// parts are the line again, put together; a scan stops at a line and says why.
#include "trust/audit_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_parts(tp_str line, const audit_record *record)
{
    const size_t back_size = line.size - record->data.size;
    expect(record->data.data == line.data && back_size == 27);
    expect(record->batch <= record->sequence);
    expect(record->kind.size > 0 && record->kind.size <= TP_MAX_AUDIT_KIND_BYTES);
    expect(record->what.data + record->what.size == record->data.data + record->data.size);
    expect(record->who.data > record->kind.data && record->what.data > record->who.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    audit_record record;
    tp_hasher hasher;
    if (size == 0 || tp_hasher_init(&hasher, NULL) != TAPEOUT_OK) {
        return 0;
    }
    if (tp_audit_line_read(text, &record, NULL) == TAPEOUT_OK) {
        check_parts(text, &record);
        expect(!tp_audit_is_unfinished(text, record.sequence));
    }
    (void)tp_audit_is_unfinished(text, 0);
    audit_scan scan = {.next = 0};
    tp_audit_scan_text(&hasher, text, &scan);
    expect(scan.good_bytes <= size);
    expect((scan.good_bytes == size) == (scan.reason[0] == '\0'));
    expect(scan.good_bytes == 0 || data[scan.good_bytes - 1] == '\n');
    tp_hasher_deinit(&hasher);
    return 0;
}
