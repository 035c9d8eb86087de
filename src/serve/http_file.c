// SPDX-License-Identifier: Apache-2.0
//
// A file on its way to a client: read in pieces, never held whole.
#include "serve/tp_http.h"

#include <errno.h>
#include <unistd.h>

enum { PIECE_BYTES = 128 << 10 };

void tp_http_file_close(tp_http_file *file)
{
    if (file->is_open) {
        (void)close(file->fd); // it was only read
    }
    *file = (tp_http_file){0};
}

void tp_http_file_append(tp_http_file *file, tp_buffer *out)
{
    const uint64_t left = file->size - file->offset;
    const size_t step = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    if (step == 0 || out->size >= PIECE_BYTES) {
        return;
    }
    char *room = tp_buffer_reserve(out, step);
    ssize_t got = 0;
    if (room != NULL) {
        do {
            got = pread(file->fd, room, step, (off_t)file->offset);
        } while (got < 0 && errno == EINTR);
    }
    if (got <= 0) {
        out->status = TAPEOUT_E_IO;
        return;
    }
    out->size += (size_t)got;
    file->offset += (uint64_t)got;
}
