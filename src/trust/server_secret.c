// SPDX-License-Identifier: Apache-2.0
//
// The server's secret: 32 random bytes in a file that only its owner may read. It is made whole
// under another name and then linked into its place, so that of two servers that start at once on
// one home both end up with the same. Copies of it make servers that share a database one service.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "trust/tp_credential.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_NAME_SIZE = 96 };

static tapeout_status read_secret(const char *path, tp_server_secret *ret_secret,
                                  tapeout_error *err)
{
    uint8_t bytes[sizeof(ret_secret->bytes) + 1];
    struct stat about;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "cannot read %s", path);
    }
    const bool is_private = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
                            (about.st_mode & (S_IRWXG | S_IRWXO)) == 0;
    const ssize_t size = is_private ? read(fd, bytes, sizeof(bytes)) : -1;
    (void)close(fd);
    if (!is_private) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "%s: others may read the server's secret; chmod 600 it, and rotate the API "
                       "keys if somebody has",
                       path);
    }
    if (size != (ssize_t)sizeof(ret_secret->bytes)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "%s: not the %zu bytes of a server's secret; restore it, or remove it and "
                       "make all API keys anew",
                       path, sizeof(ret_secret->bytes));
    }
    memcpy(ret_secret->bytes, bytes, sizeof(ret_secret->bytes));
    sodium_memzero(bytes, sizeof(bytes));
    return TAPEOUT_OK;
}

static tapeout_status write_secret(const char *path, tapeout_error *err)
{
    uint8_t bytes[32];
    randombytes_buf(bytes, sizeof(bytes));
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "cannot write %s", path);
    }
    const bool is_written =
        write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) && fsync(fd) == 0;
    const int error_number = errno;
    const bool is_closed = close(fd) == 0;
    sodium_memzero(bytes, sizeof(bytes));
    return is_written && is_closed
               ? TAPEOUT_OK
               : tp_fail_errno(err, is_written ? errno : error_number, "cannot write %s", path);
}

// Another process may be first: its secret is then the one.
static tapeout_status make_secret(const tapeout_allocator *alloc, const char *home,
                                  const char *path, tapeout_error *err)
{
    char name[SECRET_NAME_SIZE];
    uint8_t mark[8];
    char hex[17];
    TP_TRY(tp_directory_make(home, err));
    randombytes_buf(mark, sizeof(mark));
    (void)snprintf(name, sizeof(name), ".access.secret.%s.partial",
                   sodium_bin2hex(hex, sizeof(hex), mark, sizeof(mark)));
    char *partial = tp_path_join(alloc, home, name);
    if (partial == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = write_secret(partial, err);
    if (status == TAPEOUT_OK && link(partial, path) != 0 && errno != EEXIST) {
        status = tp_fail_errno(err, errno, "cannot write %s", path);
    }
    (void)unlink(partial); // what is left of it would be a stray file, never taken for the secret
    if (status == TAPEOUT_OK) {
        status = tp_directory_sync(path, err);
    }
    tp_free(alloc, partial, strlen(partial) + 1);
    return status;
}

tapeout_status tp_server_secret_open(const tapeout_allocator *alloc, const char *home,
                                     tp_server_secret *ret_secret, tapeout_error *err)
{
    TP_TRY(tp_credentials_begin(err));
    char *path = tp_path_join(alloc, home, "access.secret");
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    // Whoever made one that is there may have been killed before its name was on disk; keys that
    // are made with it now must not be lost with it.
    tapeout_status status =
        tp_path_exists(path) ? tp_directory_sync(path, err) : make_secret(alloc, home, path, err);
    if (status == TAPEOUT_OK) {
        status = read_secret(path, ret_secret, err);
    }
    tp_free(alloc, path, strlen(path) + 1);
    return status;
}
