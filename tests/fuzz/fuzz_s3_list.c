// SPDX-License-Identifier: Apache-2.0
//
// Answers of S3: a page that is taken has whole objects with hashes for names and says whether it
// goes on; every element lies in the one that is named as its parent; what is refused has a
// sentence.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "registry/s3_list.h"
#include "registry/s3_xml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static tapeout_status look(void *user, const s3_xml_element *element, tapeout_error *err)
{
    size_t *count = user;
    (void)err;
    check(element->name.size > 0 && element->depth < TP_MAX_S3_DEPTH);
    check((element->depth == 0) == (element->parent.size == 0));
    for (size_t i = 0; i < element->text.size; i++) {
        check(element->text.data[i] != '\0');
    }
    ++*count;
    return TAPEOUT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const tp_str document = {(const char *)data, size};
    size_t count = 0;
    tapeout_error err = {0};
    const tapeout_status status = tp_s3_xml_read(alloc, document, look, &count, &err);
    check(status == TAPEOUT_OK ? count > 0 : err.message[0] != '\0');
    s3_page page;
    tp_buffer_init(&page.objects, alloc, TP_MAX_S3_ANSWER_BYTES);
    tp_buffer_init(&page.next, alloc, TP_MAX_S3_ANSWER_BYTES);
    if (tp_s3_page_read(alloc, document, TP_STR("p/"), &page, &err) == TAPEOUT_OK) {
        check(status == TAPEOUT_OK && page.objects.size % sizeof(s3_object) == 0);
        for (size_t at = 0; at < page.objects.size; at += sizeof(s3_object)) {
            s3_object object;
            memcpy(&object, page.objects.data + at, sizeof(object));
            check(strlen(object.hex) == 64 && strspn(object.hex, "0123456789abcdef") == 64);
        }
    }
    tp_buffer_deinit(&page.objects);
    tp_buffer_deinit(&page.next);
    return 0;
}
