// SPDX-License-Identifier: Apache-2.0
//
// Texts that leave the library: terminated copies that the caller gives back through the context.
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <string.h>

tapeout_status tp_text_from_buffer(tp_buffer *buffer, const char *what, char **ret_text,
                                   tapeout_error *err)
{
    tapeout_status status = tp_buffer_check(buffer, what, err);
    char *text = NULL;
    if (status == TAPEOUT_OK) {
        text = tp_strndup(buffer->alloc, buffer->size > 0 ? buffer->data : "", buffer->size);
        status = text == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    tp_buffer_deinit(buffer);
    if (status == TAPEOUT_OK) {
        *ret_text = text;
    }
    return status;
}

tapeout_status tapeout_text_read(tapeout_context *context, const char *path, size_t max_size,
                                 char **ret_text, tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(alloc, path, max_size, &text, err));
    const char *nul = memchr(text.data, '\0', text.size);
    if (nul != NULL) {
        const size_t offset = (size_t)(nul - text.data);
        tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
        return tp_fail_at(err, TAPEOUT_E_DATA, offset, "%s: byte %zu is zero; this is no text",
                          path, offset);
    }
    *ret_text = (char *)(uintptr_t)text.data;
    return TAPEOUT_OK;
}

void tapeout_text_free(tapeout_context *context, char *text)
{
    if (text != NULL) {
        tp_free(tp_context_env(context)->alloc, text, strlen(text) + 1);
    }
}
