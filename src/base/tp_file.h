// SPDX-License-Identifier: Apache-2.0
//
// Files: mapping one read-only, reading a small one, writing one so that it is either there whole
// or not at all. What is specific to an operating system stays here.
#ifndef TP_FILE_H
#define TP_FILE_H

#include "base/tp_str.h"

#include <tapeout/context.h>

// A read-only private mapping. `data` is not NULL even for an empty file. The file that was opened
// stays the one that is read, whatever happens to its name.
typedef struct tp_map {
    const uint8_t *data;
    size_t size;
    int fd; // open while mapped; -1 otherwise
} tp_map;

tapeout_status tp_map_open(const char *path, tp_map *ret_map, tapeout_error *err);
void tp_map_close(tp_map *map);
// Puts the bytes into memory of this process, so that nobody can change them any more: what is
// mapped of a file shows what its owner writes into it. E_CORRUPT where the file has become
// shorter.
tapeout_status tp_map_take(tp_map *map, tapeout_error *err);
// Tells the kernel that the mapping is read once from front to back.
void tp_map_advise_sequential(const tp_map *map);
// Lets the pages of [offset, offset + size) go; they come back from the file when touched.
void tp_map_release(const tp_map *map, size_t offset, size_t size);

// Reads a file of at most `max_size` bytes; "-" is standard input. `*ret_data` has a NUL behind it
// and is freed with tp_free(alloc, data, size + 1).
tapeout_status tp_file_read(const tapeout_allocator *alloc, const char *path, size_t max_size,
                            tp_str *ret_data, tapeout_error *err);

// A file under a temporary name beside its place. `commit` syncs it, renames it over `path` and
// syncs the directory; `abort` removes it. A crash leaves either the old file or the new one, and a
// stale temporary file that the next writer of the same path removes.
typedef struct tp_writer tp_writer;

tapeout_status tp_writer_open(const tapeout_allocator *alloc, const char *path,
                              tp_writer **ret_writer, tapeout_error *err);
// The same for a secret: the file is its owner's alone, even where it replaces one that was not.
tapeout_status tp_writer_open_private(const tapeout_allocator *alloc, const char *path,
                                      tp_writer **ret_writer, tapeout_error *err);
tapeout_status tp_writer_write(tp_writer *writer, const void *data, size_t size,
                               tapeout_error *err);
// Writes over bytes already written, for a header whose content is known last.
tapeout_status tp_writer_patch(tp_writer *writer, uint64_t offset, const void *data, size_t size,
                               tapeout_error *err);
uint64_t tp_writer_position(const tp_writer *writer);
tapeout_status tp_writer_commit(tp_writer **writer,
                                tapeout_error *err); // nulls it, also on failure
void tp_writer_abort(tp_writer **writer);            // accepts NULL; nulls it
// For a file whose name is known only when all is written: commits to `path`, which is in the same
// file system.
tapeout_status tp_writer_commit_as(tp_writer **writer, const char *path, tapeout_error *err);
// Syncs what is written so far, so that the commit has little left to do. The file can then be read
// by its temporary name.
tapeout_status tp_writer_sync(tp_writer *writer, tapeout_error *err);
const char *tp_writer_temporary(const tp_writer *writer);

// Parents too. Afterwards all their names are on disk, whoever made them: so what is only ever made
// in a folder after this call, and is there, tells that the call need not be made again.
tapeout_status tp_directory_make(const char *path, tapeout_error *err);
tapeout_status tp_directory_make_mode(const char *path, unsigned mode, // of the last, if it is new
                                      tapeout_error *err);

// E_IO whatever the kernel's word for a sync that failed: no caller should take it for a disk that
// was full, and try again.
tapeout_status tp_fail_sync(tapeout_error *err, int error_number, const char *path);
// Syncs the directory that holds `path`, so that its entry survives a power cut.
tapeout_status tp_directory_sync(const char *path, tapeout_error *err);
// Syncs a file that something else has written, and the directory that holds it.
tapeout_status tp_file_sync(const char *path, tapeout_error *err);
bool tp_path_exists(const char *path);
bool tp_path_is_directory(const char *path);
// Gives a file another name, in place of what has that name.
tapeout_status tp_file_rename(const char *path, const char *fresh, tapeout_error *err);
// Removes a file; one that is not there is no failure.
tapeout_status tp_file_remove(const char *path, tapeout_error *err);

// `directory` and `name` joined; `name` alone where it is absolute or `directory` is empty.
// Freed with tp_free(alloc, text, strlen + 1). NULL when there is no memory.
char *tp_path_join(const tapeout_allocator *alloc, const char *directory, const char *name);
// The directory part of `path`, "." where it has none.
char *tp_path_directory(const tapeout_allocator *alloc, const char *path);

#endif
