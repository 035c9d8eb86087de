// SPDX-License-Identifier: Apache-2.0
//
// Signature files: where they lie, and putting a signature in. One envelope a line, one line a key;
// the file is replaced whole, by whoever holds its writer since before it was read.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "trust/tp_dsse.h"
#include "trust/tp_trust.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOCK_TRIES = 500, LOCK_WAIT_NS = 10000000 };

// -- places --------------------------------------------------------------------------------------
tapeout_status tp_signature_path(const char *bundle_path, char ret_path[TP_MAX_PATH_BYTES],
                                 tapeout_error *err)
{
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s.sig", bundle_path);
    return size >= 0 && size < (int)TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "the path of the signature is too long");
}

tapeout_status tp_signature_home_path(const char *home, tp_str sha256,
                                      char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    for (size_t i = 0; i < sha256.size; i++) {
        const char c = sha256.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return tp_fail(err, TAPEOUT_E_INVALID, "\"%.*s\" is no SHA-256", TP_STR_ARGS(sha256));
        }
    }
    const int size = sha256.size != TP_SHA256_HEX_SIZE
                         ? -1
                         : snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/signatures/sha256/%.2s/%.62s",
                                    home, sha256.data, sha256.data + 2);
    return size >= 0 && size < (int)TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "the path of the signature is too long");
}

tapeout_status tp_signature_read(const tapeout_allocator *alloc, const char *path, tp_str *ret_text,
                                 tapeout_error *err)
{
    if (!tp_path_exists(path)) {
        *ret_text = (tp_str){NULL, 0};
        return TAPEOUT_OK;
    }
    return tp_file_read(alloc, path, TP_MAX_SIGNATURE_FILE_BYTES, ret_text, err);
}

// -- adding --------------------------------------------------------------------------------------
// The lines of `old` that are not by the key of `envelope`, then that.
static tapeout_status merge(const tapeout_allocator *alloc, tp_str old, tp_str envelope,
                            tp_buffer *text, tapeout_error *err)
{
    tp_arena arena;
    tp_envelope added;
    tp_envelope other;
    tp_arena_init(&arena, alloc, 4 * (size_t)TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = tp_dsse_parse(&arena, envelope, &added, err);
    while (status == TAPEOUT_OK && old.size > 0) {
        const char *end = memchr(old.data, '\n', old.size);
        const size_t size = end == NULL ? old.size : (size_t)(end - old.data);
        const tp_str line = {old.data, size};
        old.data += end == NULL ? size : size + 1;
        old.size -= end == NULL ? size : size + 1;
        status = tp_dsse_parse(&arena, line, &other, err);
        if (status == TAPEOUT_OK &&
            memcmp(&other.key_id, &added.key_id, sizeof(other.key_id)) != 0) {
            tp_buffer_append_str(text, line);
            tp_buffer_append_char(text, '\n');
        }
    }
    tp_arena_deinit(&arena);
    TP_TRY(status);
    tp_buffer_append_str(text, envelope);
    tp_buffer_append_char(text, '\n');
    return tp_buffer_check(text, "signatures", err);
}

static tapeout_status rewrite(const tapeout_allocator *alloc, tp_writer *writer, const char *path,
                              tp_str envelope, tapeout_error *err)
{
    tp_str old = {NULL, 0};
    tp_buffer text;
    TP_TRY(tp_signature_read(alloc, path, &old, err));
    tp_buffer_init(&text, alloc, TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = merge(alloc, old, envelope, &text, err);
    if (status == TAPEOUT_E_CORRUPT) {
        tp_error_prefix(err, "%s", path);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, text.data, text.size, err);
    }
    tp_buffer_deinit(&text);
    if (old.data != NULL) {
        tp_free(alloc, (char *)(uintptr_t)old.data, old.size + 1);
    }
    return status;
}

static tapeout_status make_folder(const char *path, tapeout_error *err)
{
    char folder[TP_MAX_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return TAPEOUT_OK;
    }
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    return tp_directory_make(folder, err);
}

tapeout_status tp_signature_add(const tapeout_allocator *alloc, const char *path, tp_str envelope,
                                tapeout_error *err)
{
    tp_writer *writer = NULL;
    tapeout_status status = TAPEOUT_E_BUSY;
    TP_TRY(make_folder(path, err));
    for (int i = 0; i < LOCK_TRIES && status == TAPEOUT_E_BUSY; i++) {
        status = tp_writer_open(alloc, path, &writer, err);
        if (status == TAPEOUT_E_BUSY) {
            (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_NS}, NULL);
        }
    }
    TP_TRY(status);
    status = rewrite(alloc, writer, path, envelope, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}

// -- signing -------------------------------------------------------------------------------------
tapeout_status tp_trust_envelope(const tapeout_allocator *alloc, const tp_signer *signer,
                                 const tp_bundle *bundle, tp_buffer *envelope, tapeout_error *err)
{
    tp_buffer statement;
    tp_buffer_init(&statement, alloc, TP_MAX_ENVELOPE_BYTES);
    tapeout_status status =
        tp_statement_write(bundle, tp_clock_unix_us() / 1000000, &statement, err);
    if (status == TAPEOUT_OK) {
        status = tp_dsse_sign(signer, TP_STR(TP_DSSE_IN_TOTO), tp_buffer_view(&statement), true,
                              envelope, err);
    }
    tp_buffer_deinit(&statement);
    return status;
}

tapeout_status tp_trust_sign(const tapeout_allocator *alloc, const tp_signer *signer,
                             const tp_bundle *bundle, const char *path, tapeout_error *err)
{
    tp_buffer envelope;
    tp_buffer_init(&envelope, alloc, TP_MAX_ENVELOPE_BYTES);
    tapeout_status status = tp_trust_envelope(alloc, signer, bundle, &envelope, err);
    if (status == TAPEOUT_OK) {
        status = tp_signature_add(alloc, path, tp_buffer_view(&envelope), err);
    }
    tp_buffer_deinit(&envelope);
    return status;
}
