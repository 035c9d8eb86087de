// SPDX-License-Identifier: Apache-2.0
//
// Artifacts that come in pieces: their bytes and their hash, the same ones twice, none at all; what
// is left of one that ends early, by abort, by a disk that fails or by a death; and more at once
// than there may be.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/tp_mlflow.h"
#include "registry_cases.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LARGE_BYTES = 300000 }; // more than the writer keeps

// -- calls that fail -----------------------------------------------------------------------------
static int write_error;
static int sync_error;
static int sync_count;
static bool tears; // the first byte of a write does not get there

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *data, size_t size,
                                                      off_t offset)
{
    if (tears && size > 1) {
        (void)syscall(SYS_pwrite64, fd, "\1", 1, offset);
        return 1 + syscall(SYS_pwrite64, fd, (const char *)data + 1, size - 1, offset + 1);
    }
    errno = write_error != 0 ? write_error : errno;
    return write_error != 0 ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    sync_count++;
    errno = sync_error != 0 ? sync_error : errno;
    return sync_error != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

// -- what is there -------------------------------------------------------------------------------
static tp_mlflow open_tables(tp_registry *registry)
{
    tp_mlflow mlflow;
    ASSERT_OK(tp_mlflow_open(registry, tp_allocator_default(), &mlflow, &test_err));
    return mlflow;
}

// Files in a folder below blobs/, and in the folders in it.
static int files_in(const char *home, const char *folder)
{
    char path[4200];
    int count = 0;
    (void)snprintf(path, sizeof(path), "%.2000s/blobs/%.2000s", home, folder);
    DIR *entries = opendir(path);
    for (struct dirent *next = entries == NULL ? NULL : readdir(entries); next != NULL;
         next = readdir(entries)) {
        char below[600];
        (void)snprintf(below, sizeof(below), "%s/%s", folder, next->d_name);
        count += next->d_type == DT_REG;
        if (next->d_type == DT_DIR && next->d_name[0] != '.') {
            count += files_in(home, below);
        }
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return count;
}

static tapeout_status put(tp_registry *registry, const char *path, tp_str text, tapeout_error *err)
{
    tp_mlflow mlflow = open_tables(registry);
    tp_upload *upload = NULL;
    TP_TRY(tp_upload_open(registry, &upload, err));
    tapeout_status status = TAPEOUT_OK;
    for (size_t at = 0, step = 1; at < text.size && status == TAPEOUT_OK; at += step, step *= 3) {
        step = text.size - at < step ? text.size - at : step;
        status = tp_upload_write(upload, (tp_str){text.data + at, step}, err);
    }
    if (status == TAPEOUT_OK) {
        ASSERT_EQ_UINT(tp_upload_size(upload), text.size);
        status = tp_mlflow_artifact_put(&mlflow, tp_str_from(path), upload, err);
    }
    tp_upload_free(&upload);
    ASSERT(upload == NULL);
    return status;
}

static void assert_artifact(tp_registry *registry, const char *path, tp_str want)
{
    tp_mlflow mlflow = open_tables(registry);
    tp_map map;
    ASSERT_OK(tp_mlflow_artifact_open(&mlflow, tp_str_from(path), &map, &test_err));
    ASSERT_EQ_BYTES(map.data, map.size, want.data, want.size);
    tp_map_close(&map);
}

static tp_str large_text(void)
{
    static char text[LARGE_BYTES];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * 31 % 251);
    }
    return (tp_str){text, sizeof(text)};
}

// -- cases ---------------------------------------------------------------------------------------
static void test_pieces(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    ASSERT_OK(put(registry, "run/large.bin", large_text(), &test_err));
    assert_artifact(registry, "run/large.bin", large_text());
    ASSERT_OK(put(registry, "run/empty", TP_STR(""), &test_err));
    assert_artifact(registry, "run/empty", TP_STR(""));
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 2);
    // The same bytes again are the same blob; others in the same place are another.
    ASSERT_OK(put(registry, "run/again.bin", large_text(), &test_err));
    ASSERT_OK(put(registry, "run/large.bin", large_text(), &test_err));
    ASSERT_EQ_INT(files_in(home, "sha256"), 2);
    ASSERT_OK(put(registry, "run/large.bin", TP_STR("other"), &test_err));
    assert_artifact(registry, "run/large.bin", TP_STR("other"));
    assert_artifact(registry, "run/again.bin", large_text());
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 3);
    tp_registry_close(&registry);
}

// A blob is read-only; one that is damaged is mended by the same bytes.
static void test_place(void)
{
    const char *home = test_temp_dir();
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    struct stat info;
    tp_registry *registry = cases_open(home);
    const tp_sha256 hash = tp_sha256_of("text", 4);
    tp_sha256_hex(&hash, hex);
    ASSERT_OK(put(registry, "a", TP_STR("text"), &test_err));
    ASSERT_OK(tp_blob_path(home, tp_str_from(hex), path, &test_err));
    ASSERT_EQ_INT(stat(path, &info), 0);
    ASSERT_EQ_UINT(info.st_mode & 0777, 0444);
    ASSERT_EQ_INT(chmod(path, 0644), 0);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fputs("torn", file) >= 0 && fclose(file) == 0);
    ASSERT_OK(put(registry, "b", TP_STR("text"), &test_err));
    assert_artifact(registry, "a", TP_STR("text"));
    ASSERT_EQ_INT(stat(path, &info), 0);
    ASSERT_EQ_UINT(info.st_mode & 0777, 0444);
    tp_registry_close(&registry);
}

static void test_ends_early(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    tp_upload *upload = NULL;
    ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
    ASSERT_OK(tp_upload_write(upload, large_text(), &test_err));
    ASSERT_EQ_INT(files_in(home, "incoming"), 1);
    tp_upload_free(&upload);
    tp_upload_free(&upload); // nothing to free
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 0);
    // A place that a folder has refuses the upload, whose file goes.
    ASSERT_OK(put(registry, "run/a", TP_STR("text"), &test_err));
    ASSERT_FAILS(put(registry, "run", TP_STR("other"), &test_err), TAPEOUT_E_INVALID,
                 "a file and a folder at once");
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 1);
    tp_registry_close(&registry);
}

static void test_full_disk(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    ASSERT_OK(put(registry, "run/a", TP_STR("text"), &test_err));
    static const int errors[] = {ENOSPC, EDQUOT, EROFS};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        write_error = errors[i];
        ASSERT_FAILS(put(registry, "run/b", large_text(), &test_err), TAPEOUT_E_FULL, "incoming");
        ASSERT_FAILS(put(registry, "run/b", TP_STR("small"), &test_err), TAPEOUT_E_FULL, "");
        write_error = 0;
        ASSERT_EQ_INT(files_in(home, "incoming"), 0);
        ASSERT(!tp_store_is_stopped(tp_registry_store(registry)));
    }
    ASSERT_OK(put(registry, "run/b", large_text(), &test_err)); // and goes on
    assert_artifact(registry, "run/b", large_text());
    tp_registry_close(&registry);
}

static void test_failed_sync(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    tp_upload *upload = NULL;
    ASSERT_OK(put(registry, "run/a", TP_STR("text"), &test_err));
    sync_error = EIO;
    ASSERT_FAILS(put(registry, "run/b", TP_STR("other"), &test_err), TAPEOUT_E_IO, "");
    sync_error = 0;
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT(tp_store_is_stopped(tp_registry_store(registry)));
    ASSERT_FAILS(tp_upload_open(registry, &upload, &test_err), TAPEOUT_E_IO, "a sync failed");
    assert_artifact(registry, "run/a", TP_STR("text")); // reading goes on
    tp_registry_close(&registry);
}

static void test_torn_write(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    tp_mlflow mlflow = open_tables(registry);
    tp_upload *upload = NULL;
    ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
    ASSERT_OK(tp_upload_write(upload, TP_STR("text"), &test_err));
    tears = true;
    ASSERT_FAILS(tp_mlflow_artifact_put(&mlflow, TP_STR("a"), upload, &test_err), TAPEOUT_E_IO,
                 "does not read back");
    tears = false;
    tp_upload_free(&upload);
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 0);
    tp_registry_close(&registry);
}

// A large one is synced on its way, and each part of it read back.
static void test_steps(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    tp_mlflow mlflow = open_tables(registry);
    tp_upload *upload = NULL;
    const tp_str text = large_text();
    ASSERT_OK(put(registry, "small", TP_STR("small"), &test_err));
    for (int torn_at = 0; torn_at < 3; torn_at++) {
        ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
        sync_count = 0;
        for (uint64_t size = 0; size < 2 * (uint64_t)TP_UPLOAD_STEP_BYTES + text.size;
             size += text.size) {
            tears = torn_at > 0 && size / TP_UPLOAD_STEP_BYTES == (uint64_t)torn_at;
            ASSERT_OK(tp_upload_write(upload, text, &test_err));
            ASSERT_EQ_INT(sync_count, tp_upload_size(upload) / TP_UPLOAD_STEP_BYTES);
        }
        tears = false;
        if (torn_at == 0) {
            ASSERT_OK(tp_mlflow_artifact_put(&mlflow, TP_STR("large"), upload, &test_err));
        } else {
            ASSERT_FAILS(tp_mlflow_artifact_put(&mlflow, TP_STR("large"), upload, &test_err),
                         TAPEOUT_E_IO, "does not read back");
            ASSERT(tp_store_is_stopped(tp_registry_store(registry)));
            tp_upload_free(&upload);
            tp_registry_close(&registry);
            registry = cases_open(home);
            mlflow = open_tables(registry);
        }
        tp_upload_free(&upload);
    }
    ASSERT_EQ_INT(files_in(home, "incoming"), 0);
    ASSERT_EQ_INT(files_in(home, "sha256"), 2);
    // A sync that fails on the way.
    ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
    sync_error = EIO;
    tapeout_status status = TAPEOUT_OK;
    while (status == TAPEOUT_OK && tp_upload_size(upload) < TP_UPLOAD_STEP_BYTES) {
        status = tp_upload_write(upload, text, &test_err);
    }
    sync_error = 0;
    ASSERT_EQ_INT(status, TAPEOUT_E_IO);
    tp_upload_free(&upload);
    tp_registry_close(&registry);
}

// Three uploads of a process that is killed.
static void leave_files(const char *home)
{
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        tp_registry *registry = cases_open(home);
        for (int i = 0; i < 3; i++) {
            tp_upload *upload = NULL;
            ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
            ASSERT_OK(tp_upload_write(upload, large_text(), &test_err));
        }
        _exit(0);
    }
    int status = 0;
    ASSERT(waitpid(child, &status, 0) == child && status == 0);
    ASSERT_EQ_INT(files_in(home, "incoming"), 3);
}

static void test_after_a_death(void)
{
    const char *home = test_temp_dir();
    tp_upload *upload = NULL;
    tp_buffer json;
    tp_registry *registry = cases_open(home);
    leave_files(home);
    ASSERT_OK(put(registry, "a", TP_STR("text"), &test_err)); // takes the first for its own
    ASSERT_EQ_INT(files_in(home, "incoming"), 2);
    // A collection takes the others, and not one that is under way.
    ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
    ASSERT_OK(tp_upload_write(upload, large_text(), &test_err));
    ASSERT_EQ_INT(files_in(home, "incoming"), 3);
    tp_buffer_init(&json, tp_allocator_default(), 4096);
    ASSERT_OK(tp_registry_collect(registry, 0, &json, &test_err));
    tp_buffer_deinit(&json);
    ASSERT_EQ_INT(files_in(home, "incoming"), 1);
    tp_mlflow mlflow = open_tables(registry);
    ASSERT_OK(tp_mlflow_artifact_put(&mlflow, TP_STR("b"), upload, &test_err));
    tp_upload_free(&upload);
    assert_artifact(registry, "b", large_text());
    tp_registry_close(&registry);
}

static void test_too_many(void)
{
    tp_upload *uploads[TP_MAX_UPLOADS];
    tp_upload *more = NULL;
    tp_registry *registry = cases_open(test_temp_dir());
    for (unsigned i = 0; i < TP_MAX_UPLOADS; i++) {
        ASSERT_OK(tp_upload_open(registry, &uploads[i], &test_err));
    }
    ASSERT_FAILS(tp_upload_open(registry, &more, &test_err), TAPEOUT_E_BUSY, "64 uploads");
    ASSERT(more == NULL);
    tp_upload_free(&uploads[7]);
    ASSERT_OK(tp_upload_open(registry, &uploads[7], &test_err));
    for (unsigned i = 0; i < TP_MAX_UPLOADS; i++) {
        tp_upload_free(&uploads[i]);
    }
    tp_registry_close(&registry);
}

// -- memory --------------------------------------------------------------------------------------
typedef struct memory_call {
    const char *home;
    int round;
} memory_call;

static tapeout_status put_with(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    memory_call *call = user;
    tp_registry *registry = NULL;
    tp_upload *upload = NULL;
    tp_mlflow mlflow;
    char text[32];
    const int size = snprintf(text, sizeof(text), "round %d", call->round++);
    TP_TRY(tp_registry_open(alloc, call->home, TP_REGISTRY_WRITE, &registry, err));
    tapeout_status status = tp_mlflow_open(registry, alloc, &mlflow, err);
    if (status == TAPEOUT_OK) {
        status = tp_upload_open(registry, &upload, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_upload_write(upload, (tp_str){text, (size_t)size}, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_artifact_put(&mlflow, TP_STR("run/a"), upload, err);
    }
    tp_upload_free(&upload);
    tp_registry_close(&registry);
    ASSERT_EQ_INT(files_in(call->home, "incoming"), 0);
    return status;
}

static void test_memory(void)
{
    memory_call call = {.home = test_temp_dir()};
    tp_registry *registry = cases_open(call.home);
    tp_registry_close(&registry);
    test_out_of_memory(put_with, &call);
}

TEST_MAIN(TEST(test_pieces), TEST(test_place), TEST(test_ends_early), TEST(test_full_disk),
          TEST(test_failed_sync), TEST(test_torn_write), TEST(test_steps), TEST(test_after_a_death),
          TEST(test_too_many), TEST_SLOW(test_memory, 300))
