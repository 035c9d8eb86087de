// SPDX-License-Identifier: Apache-2.0
//
// A disk that is full, read-only or failing, and a registry that is damaged: no false
// acknowledgement, a sentence that says what to do, and work again where the cause is gone, through
// the handle that was open all the time.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "registry_cases.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// -- calls that fail -----------------------------------------------------------------------------
// In front of the system's, for the files of base/ and of SQLite alike. 0: they do what they do.
static int write_error;
static int sync_error;
static int syncs_left; // those that still succeed while `sync_error` is set

static bool fails(int error_number)
{
    errno = error_number != 0 ? error_number : errno;
    return error_number != 0;
}

static bool fails_sync(void)
{
    return sync_error != 0 && syncs_left-- <= 0 && fails(sync_error);
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t size)
{
    return fails(write_error) ? -1 : syscall(SYS_write, fd, data, size);
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *data, size_t size,
                                                      off_t offset)
{
    return fails(write_error) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    return fails_sync() ? -1 : (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    return fails_sync() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static tapeout_status try_register(tp_registry *registry, const char *bundle, tapeout_error *err)
{
    const tapeout_registration what = cases_registration("m", bundle);
    tapeout_model_ref ref;
    return tp_registry_register(registry, &what, &ref, err);
}

static const char *large_bundle(const char *directory, size_t size)
{
    static char path[4200];
    (void)snprintf(path, sizeof(path), "%s/large", directory);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    for (size_t i = 0; i < size; i++) {
        ASSERT(fputc((int)(i * 31 % 251), file) != EOF);
    }
    ASSERT_EQ_INT(fclose(file), 0);
    return path;
}

static void limit_files(rlim_t size)
{
    struct rlimit limit;
    ASSERT_EQ_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ASSERT_EQ_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// -- full ----------------------------------------------------------------------------------------
// No file may grow beyond a limit, so that the write of the blob, then that of the log, fails.
static void test_full(void)
{
    ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    const char *small = cases_file(home, "small", "small");
    ASSERT_OK(try_register(registry, small, &test_err));
    const char *large = large_bundle(home, 300000);
    limit_files(200000);
    tapeout_error err = {0};
    tapeout_status status = try_register(registry, large, &err);
    ASSERT(status == TAPEOUT_E_FULL || status == TAPEOUT_E_IO || status == TAPEOUT_E_LIMIT);
    ASSERT(err.message[0] != '\0');
    limit_files(4096); // too little for the log too
    ASSERT(try_register(registry, small, &err) != TAPEOUT_OK);
    limit_files(RLIM_INFINITY);
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM versions"), 1);
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), 1);
    ASSERT(!tp_store_is_stopped(tp_registry_store(registry)));
    ASSERT_OK(try_register(registry, large, &test_err)); // goes on where there is room again
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), 2);
    tp_registry_close(&registry);
}

// Writes fail with each number that a disk has for it, at the blob or only at SQLite's log.
static void try_full(int error_number, bool has_blob)
{
    char home[4200];
    (void)snprintf(home, sizeof(home), "%s/%d", test_temp_dir(), error_number);
    ASSERT_EQ_INT(mkdir(home, 0755), 0);
    tp_registry *registry = cases_open(home);
    const char *first = cases_file(home, "first", "first");
    const char *second = cases_file(home, "second", "second");
    ASSERT_OK(try_register(registry, first, &test_err));
    for (int i = 0; i < 3; i++) {
        write_error = error_number;
        ASSERT_FAILS(try_register(registry, has_blob ? first : second, &test_err), TAPEOUT_E_FULL,
                     "");
        ASSERT_FAILS(tp_registry_remove(registry, TP_STR("m:1"), &test_err), TAPEOUT_E_FULL, "");
        write_error = 0;
        ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM versions"), 1 + i);
        ASSERT_OK(try_register(registry, second, &test_err));
    }
    ASSERT(!tp_store_is_stopped(tp_registry_store(registry)));
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), 4);
    tp_registry_close(&registry);
}

static void test_full_for_a_while(void)
{
    static const int errors[] = {ENOSPC, EDQUOT, EROFS};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        try_full(errors[i], false);
    }
}

static void test_full_at_the_log(void)
{
    try_full(ENOSPC, true);
    try_full(EROFS, true);
}

// -- read-only -----------------------------------------------------------------------------------
static void set_modes(const char *home, mode_t folder, mode_t file)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/registry.sqlite", home);
    ASSERT_EQ_INT(chmod(path, file), 0);
    ASSERT_EQ_INT(chmod(home, folder), 0);
}

// As a user who may read and not write: reading works, writing says so.
static void test_read_only(void)
{
    char home[4200];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    tp_registry *registry = cases_open(home);
    ASSERT_EQ_UINT(cases_register(registry, "m", cases_file(home, "b", "x")), 1);
    char bundle[4300];
    (void)snprintf(bundle, sizeof(bundle), "%s/b", home);
    tp_registry_close(&registry);
    set_modes(home, 0555, 0444);
    const uid_t self = geteuid();
    if (self == 0 && seteuid(65534) != 0) {
        test_skip("cannot become an unprivileged user");
    }
    const tapeout_status opened =
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_READ, &registry, &test_err);
    if (opened == TAPEOUT_E_NOT_FOUND && eaccess(home, X_OK) != 0) { // by the effective user
        ASSERT_EQ_INT(seteuid(self), 0);
        set_modes(home, 0755, 0644);
        test_skip("the temporary folder is closed to other users");
    }
    ASSERT_EQ_INT(opened, TAPEOUT_OK);
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    tp_registry_close(&registry);
    tapeout_error err = {0};
    tapeout_status status =
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry, &err);
    if (status == TAPEOUT_OK) {
        status = try_register(registry, bundle, &err);
        tp_registry_close(&registry);
    }
    ASSERT(status == TAPEOUT_E_DENIED || status == TAPEOUT_E_IO);
    ASSERT(strstr(err.message, home) != NULL);
    ASSERT_EQ_INT(seteuid(self), 0);
    set_modes(home, 0755, 0644);
    registry = cases_open(home);
    ASSERT_OK(try_register(registry, bundle, &test_err));
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), 2);
    tp_registry_close(&registry);
}

static void test_home_is_a_file(void)
{
    const char *directory = test_temp_dir();
    tp_registry *registry = NULL;
    ASSERT(tp_registry_open(tp_allocator_default(), cases_file(directory, "file", "x"),
                            TP_REGISTRY_WRITE, &registry, &test_err) != TAPEOUT_OK);
    ASSERT(registry == NULL);
    ASSERT(strstr(test_err.message, "file") != NULL);
}

// -- damaged -------------------------------------------------------------------------------------
static void overwrite(const char *path, long offset, const void *data, size_t size)
{
    FILE *file = fopen(path, "r+b");
    ASSERT(file != NULL);
    ASSERT_EQ_INT(fseek(file, offset, SEEK_SET), 0);
    ASSERT_EQ_UINT(fwrite(data, 1, size, file), size);
    ASSERT_EQ_INT(fclose(file), 0);
}

static void test_damaged(void)
{
    char home[4200];
    char path[4300];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    (void)snprintf(path, sizeof(path), "%s/registry.sqlite", home);
    tp_registry *registry = cases_open(home);
    ASSERT_EQ_UINT(cases_register(registry, "m", cases_file(home, "b", "x")), 1);
    tp_registry_close(&registry);
    char garbage[4096];
    memset(garbage, 0xa5, sizeof(garbage));
    overwrite(path, 100, garbage, sizeof(garbage) - 100); // the schema's page
    ASSERT_FAILS(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry, &test_err),
        TAPEOUT_E_CORRUPT, "restore it from a backup");
    overwrite(path, 0, garbage, 100); // and the header
    ASSERT_FAILS(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_READ, &registry, &test_err),
        TAPEOUT_E_CORRUPT, "restore it from a backup");
    ASSERT(registry == NULL);
}

static void test_later_schema(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    cases_run(registry, "PRAGMA user_version = 99");
    tp_registry_close(&registry);
    ASSERT_FAILS(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry, &test_err),
        TAPEOUT_E_UNSUPPORTED, "later tapeout");
    ASSERT_FAILS(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_READ, &registry, &test_err),
        TAPEOUT_E_UNSUPPORTED, "later tapeout");
}

// A home that tapeout 0.1 made is brought up to date by a command that only reads, and loses
// nothing.
static void test_earlier_schema(void)
{
    static const char sql[] =
        "CREATE TABLE models(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        "  created_us INTEGER NOT NULL, last_version INTEGER NOT NULL DEFAULT 0) STRICT;"
        "CREATE TABLE versions(model_id INTEGER NOT NULL REFERENCES models(id),"
        "  version INTEGER NOT NULL CHECK(version > 0),"
        "  sha256 TEXT NOT NULL CHECK(length(sha256) = 64), size INTEGER NOT NULL,"
        "  created_us INTEGER NOT NULL, refused INTEGER NOT NULL CHECK(refused IN (0, 1)),"
        "  reason TEXT NOT NULL, gates TEXT NOT NULL, timings TEXT NOT NULL, facts TEXT NOT NULL,"
        "  PRIMARY KEY(model_id, version)) STRICT, WITHOUT ROWID;"
        "CREATE INDEX versions_by_hash ON versions(sha256);"
        "CREATE TABLE aliases(model_id INTEGER NOT NULL, alias TEXT NOT NULL,"
        "  version INTEGER NOT NULL, PRIMARY KEY(model_id, alias),"
        "  FOREIGN KEY(model_id, version) REFERENCES versions(model_id, version))"
        "  STRICT, WITHOUT ROWID;"
        "CREATE INDEX aliases_by_version ON aliases(model_id, version);"
        "PRAGMA application_id = 1953525620;"
        "INSERT INTO models VALUES(1, 'm', 1700000000000000, 2);"
        "INSERT INTO versions VALUES(1, 2, 'ba7816bf8f01cfea414140de5dae2223"
        "b00361a396177a9cb410ff61f20015ad', 3, 1700000000000000, 1, 'why', '[1]', '{}', '{}');"
        "INSERT INTO aliases VALUES(1, 'prod', 2);"
        "PRAGMA user_version = 1; PRAGMA journal_mode = WAL;";
    const char *home = test_temp_dir();
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/registry.sqlite", home);
    sqlite3 *db = NULL;
    ASSERT_EQ_INT(sqlite3_open(path, &db), SQLITE_OK);
    ASSERT_EQ_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ASSERT_EQ_INT(sqlite3_close(db), SQLITE_OK);
    tp_registry *registry = NULL;
    ASSERT_OK(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_READ, &registry, &test_err));
    const char *json = cases_list(registry);
    ASSERT(strstr(json, "{\"models\":[{\"name\":\"m\",\"created\":\"2023-11-14T22:13:20Z\"") ==
           json);
    ASSERT(strstr(json, "\"version\":2,\"sha256\":\"ba7816bf") != NULL);
    ASSERT(strstr(json, "\"refused\":true,\"reason\":\"why\",\"aliases\":[\"prod\"]") != NULL);
    ASSERT(strstr(json, "\"gates\":[1]") != NULL);
    tp_registry_close(&registry);
    registry = cases_open(home);
    ASSERT_EQ_UINT(cases_register(registry, "m", cases_file(home, "b", "x")), 3);
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("m:2"), &test_err), TAPEOUT_E_BUSY, "prod");
    tp_registry_close(&registry);
}

// A blob that was damaged is written anew when its bytes come again; one that is gone is said so.
static void test_damaged_blob(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    const char *bundle = cases_file(home, "b", "the bytes");
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 1);
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err));
    ASSERT_EQ_INT(chmod(ref.path, 0644), 0);
    overwrite(ref.path, 0, "THE", 3);
    ASSERT_EQ_UINT(cases_register(registry, "m", bundle), 2);
    cases_assert_content(ref.path, "the bytes");
    ASSERT_EQ_INT(unlink(ref.path), 0);
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err), TAPEOUT_E_CORRUPT,
                 "is gone");
    tp_registry_close(&registry);
}

// -- a sync that fails ---------------------------------------------------------------------------
// A VFS over the default one whose files fail to sync while `sync_fails` is set. It adds nothing to
// an open file but another table of methods; the main file, and those beside it, which are not
// locked, have different ones.
typedef struct method_pair {
    sqlite3_io_methods failing;
    const sqlite3_io_methods *real;
} method_pair;

static bool sync_fails;
static bool main_sync_fails;
static method_pair main_methods;
static method_pair other_methods;

static int fail_main_sync(sqlite3_file *file, int flags)
{
    return sync_fails || main_sync_fails ? SQLITE_IOERR_FSYNC
                                         : main_methods.real->xSync(file, flags);
}

static int fail_other_sync(sqlite3_file *file, int flags)
{
    return sync_fails ? SQLITE_IOERR_FSYNC : other_methods.real->xSync(file, flags);
}

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                        int *ret_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    const int code = real->xOpen(real, name, file, flags, ret_flags);
    if (code == SQLITE_OK && file->pMethods != NULL) {
        const bool is_main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
        method_pair *pair = is_main ? &main_methods : &other_methods;
        pair->real = file->pMethods;
        pair->failing = *file->pMethods;
        pair->failing.xSync = is_main ? fail_main_sync : fail_other_sync;
        file->pMethods = &pair->failing;
    }
    return code;
}

static void install_failing_vfs(void)
{
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    ASSERT(real != NULL);
    vfs = *real;
    vfs.zName = "failing";
    vfs.pAppData = real;
    vfs.xOpen = failing_open;
    ASSERT_EQ_INT(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

// After a failed sync nothing is acknowledged, and nothing more is written through the handle, even
// when syncs work again.
static void test_failed_sync(void)
{
    install_failing_vfs();
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    const char *bundle = cases_file(home, "b", "x");
    ASSERT_OK(try_register(registry, bundle, &test_err));
    sync_fails = true;
    ASSERT_FAILS(try_register(registry, bundle, &test_err), TAPEOUT_E_IO, "registry");
    sync_fails = false;
    ASSERT_FAILS(try_register(registry, bundle, &test_err), TAPEOUT_E_IO, "a sync failed before");
    ASSERT_FAILS(tp_registry_remove(registry, TP_STR("m:1"), &test_err), TAPEOUT_E_IO,
                 "a sync failed before");
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err)); // reading goes on
    ASSERT_EQ_UINT(ref.version, 1);
    tp_registry_close(&registry);
    registry = cases_open(home);
    ASSERT_OK(try_register(registry, bundle, &test_err));
    tp_registry_close(&registry);
}

// A long log is carried over into the file behind a commit, which has happened by then. That the
// file's sync failed is no failure of the commit, and yet the end of writing.
static void test_failed_sync_behind_a_commit(void)
{
    install_failing_vfs();
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    const char *bundle = cases_file(home, "b", "x");
    ASSERT_OK(try_register(registry, bundle, &test_err));
    main_sync_fails = true;
    cases_run(registry, "CREATE TABLE filler AS SELECT hex(zeroblob(4000000)) AS text");
    ASSERT(tp_store_is_stopped(tp_registry_store(registry)));
    main_sync_fails = false;
    ASSERT_FAILS(try_register(registry, bundle, &test_err), TAPEOUT_E_IO, "a sync failed before");
    ASSERT_EQ_INT(cases_number(registry, "SELECT length(text) FROM filler"), 8000000);
    tp_registry_close(&registry);
}

// A disk may say that it is full only when it is asked to sync: a sync that failed all the same,
// whichever it is. True while there was one to fail.
static bool try_failing_sync(int number)
{
    char home[4200];
    (void)snprintf(home, sizeof(home), "%s/%d", test_temp_dir(), number);
    ASSERT_EQ_INT(mkdir(home, 0755), 0);
    tp_registry *registry = cases_open(home);
    const char *bundle = cases_file(home, "b", "x");
    syncs_left = number;
    sync_error = ENOSPC;
    tapeout_error err = {0};
    const tapeout_status status = try_register(registry, bundle, &err);
    const bool has_failed = syncs_left < 0;
    sync_error = 0;
    ASSERT_EQ_INT(status, has_failed ? TAPEOUT_E_IO : TAPEOUT_OK);
    ASSERT(tp_store_is_stopped(tp_registry_store(registry)) == has_failed);
    if (has_failed) {
        ASSERT_FAILS(try_register(registry, bundle, &test_err), TAPEOUT_E_IO,
                     "a sync failed before");
    }
    tp_registry_close(&registry);
    registry = cases_open(home);
    ASSERT_OK(try_register(registry, bundle, &test_err));
    tp_registry_close(&registry);
    return has_failed;
}

static void test_full_at_a_sync(void)
{
    int count = 0;
    while (try_failing_sync(count)) {
        count++;
    }
    ASSERT(count >= 5); // of three folders at least, the blob, the log
}

TEST_MAIN(TEST(test_full), TEST(test_full_for_a_while), TEST(test_full_at_the_log),
          TEST(test_full_at_a_sync), TEST(test_failed_sync_behind_a_commit), TEST(test_read_only),
          TEST(test_home_is_a_file), TEST(test_damaged), TEST(test_later_schema),
          TEST(test_earlier_schema), TEST(test_damaged_blob), TEST(test_failed_sync))
