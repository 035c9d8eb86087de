// SPDX-License-Identifier: Apache-2.0
//
// UBJSON: whatever the bytes, reading ends with a document, every part of which can be visited, or
// with a refusal.
#include "base/tp_alloc.h"
#include "import/document_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sink;

static void visit(const tp_document_value *value)
{
    sink += value->number + (value->text.size > 0 ? (double)value->text.data[0] : 0);
    for (uint32_t i = 0; value->kind == TP_DOCUMENT_NUMBERS && i < value->count; i++) {
        sink += tp_document_number(value, i);
    }
    uint32_t count = 0;
    for (const tp_document_value *item = value->first; item != NULL; item = item->next) {
        visit(item);
        count++;
    }
    if (value->kind != TP_DOCUMENT_NUMBERS && count != value->count) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_document document;
    tapeout_error err = {0};
    if (tp_document_from_ubjson(&env, (tp_str){(const char *)data, size}, &document, &err) !=
        TAPEOUT_OK) {
        return strlen(err.message) > 10 ? 0 : -1;
    }
    visit(document.root);
    tp_document_deinit(&document);
    return 0;
}
