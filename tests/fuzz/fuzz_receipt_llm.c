// SPDX-License-Identifier: Apache-2.0
//
// Generations as receipts have them: what is read is written to a text that reads back to the same
// text.
#include "base/tp_alloc.h"
#include "pipeline/tp_receipt_llm.h"
#include "table/tp_json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tapeout_status read_and_write(tp_str text, tp_buffer *ret_text)
{
    tp_receipt_generation generation;
    tp_arena arena;
    yyjson_doc *doc = NULL;
    tapeout_error err;
    tp_arena_init(&arena, tp_allocator_default(), MAX_BYTES);
    tapeout_status status = tp_json_parse(tp_allocator_default(), text, "fuzz", &doc, &err);
    if (status == TAPEOUT_OK) {
        status = tp_receipt_generation_read(yyjson_doc_get_root(doc), &arena, &generation, &err);
    }
    if (status == TAPEOUT_OK) {
        tp_receipt_generation_write(&generation, ret_text);
    }
    yyjson_doc_free(doc);
    tp_arena_deinit(&arena);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tp_buffer first;
    tp_buffer second;
    tp_buffer_init(&first, tp_allocator_default(), MAX_BYTES);
    tp_buffer_init(&second, tp_allocator_default(), MAX_BYTES);
    if (read_and_write((tp_str){(const char *)data, size}, &first) == TAPEOUT_OK &&
        (read_and_write(tp_buffer_view(&first), &second) != TAPEOUT_OK ||
         first.size != second.size || memcmp(first.data, second.data, first.size) != 0)) {
        abort();
    }
    tp_buffer_deinit(&second);
    tp_buffer_deinit(&first);
    return 0;
}
