// SPDX-License-Identifier: Apache-2.0
//
// Error messages. They carry text that came from files and clients and end up in terminals and log
// lines, so every message is cleaned once, here, where it is written: one line, valid UTF-8, no
// control characters.
#include "base/tp_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// The size of the well-formed UTF-8 character that begins at `text`, or 0 where there is none
// before the end of the string.
static size_t character_size(const unsigned char *text)
{
    if (text[0] < 0x80) {
        return 1;
    }
    if (text[0] < 0xc2 || text[0] > 0xf4) {
        return 0;
    }
    const size_t size = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool overlong =
        (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    const bool outside = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : size;
}

// Control characters of ASCII and of Latin-1 (U+0080 ... U+009F, among them a terminal's CSI).
static bool is_control(const unsigned char *text)
{
    return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

// Cleans `text` in place; `cut` says that its end was cut off and may be half a character.
static void clean(char *text, bool cut)
{
    unsigned char *at = (unsigned char *)text;
    while (*at != 0) {
        const size_t size = character_size(at);
        if (size == 0 && cut && strlen((char *)at) < 4 && at[0] >= 0xc2) {
            *at = 0;
        } else if (size == 0) {
            *at++ = '?';
        } else {
            if (is_control(at)) {
                memset(at, '?', size);
            }
            at += size;
        }
    }
}

__attribute__((format(printf, 4, 0))) static tapeout_status
fail(tapeout_error *err, tapeout_status status, uint64_t offset, const char *format, va_list args)
{
    if (err != NULL) {
        // Not straight into `err`: an argument may be its own message.
        char message[TAPEOUT_ERROR_MESSAGE_SIZE];
        const int size = vsnprintf(message, sizeof(message), format, args);
        if (size < 0) {
            message[0] = 0;
        }
        clean(message, size >= (int)sizeof(message));
        err->status = status;
        err->offset = offset;
        memcpy(err->message, message, strlen(message) + 1);
    }
    return status;
}

tapeout_status tp_fail(tapeout_error *err, tapeout_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fail(err, status, 0, format, args);
    va_end(args);
    return status;
}

tapeout_status tp_fail_at(tapeout_error *err, tapeout_status status, uint64_t offset,
                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fail(err, status, offset, format, args);
    va_end(args);
    return status;
}

static tapeout_status status_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EROFS: // as little room as on a full one, and no question of rights
        return TAPEOUT_E_FULL;
    case ENOENT:
    case ENOTDIR:
        return TAPEOUT_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return TAPEOUT_E_DENIED;
    case EEXIST:
        return TAPEOUT_E_EXISTS;
    case ENOMEM:
        return TAPEOUT_E_NOMEM;
    case EAGAIN:
    case EBUSY:
    case EMFILE:
    case ENFILE:
        return TAPEOUT_E_BUSY;
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return TAPEOUT_E_INVALID;
    case EFBIG:
        return TAPEOUT_E_LIMIT;
    default:
        return TAPEOUT_E_IO;
    }
}

tapeout_status tp_fail_errno(tapeout_error *err, int error_number, const char *format, ...)
{
    const tapeout_status status = status_of_errno(error_number);
    if (err == NULL) {
        return status;
    }
    char what[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    if (vsnprintf(what, sizeof(what), format, args) < 0) {
        what[0] = 0;
    }
    va_end(args);
    char words[96];
    // Leaves room for the system's words, which say more than the end of a long path.
    return tp_fail(err, status, "%.380s: %s", what, strerror_r(error_number, words, sizeof(words)));
}

tapeout_status tp_fail_nomem(tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_NOMEM, "out of memory: free memory or make the input smaller");
}

void tp_error_prefix(tapeout_error *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    char prefix[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    if (vsnprintf(prefix, sizeof(prefix), format, args) < 0) {
        prefix[0] = 0;
    }
    va_end(args);
    (void)tp_fail_at(err, err->status, err->offset, "%s: %s", prefix, err->message);
}
