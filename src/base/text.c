// SPDX-License-Identifier: Apache-2.0
//
// Texts that leave the library: terminated copies that the caller gives back through the context.
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"

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

void tapeout_text_free(tapeout_context *context, char *text)
{
    if (text != NULL) {
        tp_free(tp_context_env(context)->alloc, text, strlen(text) + 1);
    }
}
