// SPDX-License-Identifier: Apache-2.0
//
// A power cut at every sync, and at random moments. fsync and fdatasync of this program are our
// own, below the files of base/ and below SQLite alike: they keep a second picture of the disk that
// holds what was synced and nothing else. A file's bytes are in it since the file was synced, its
// name since its folder was. Before each sync the picture is what a cut may leave at least; it is
// written out, opened, and everything that was acknowledged by then has to be in it.
//
// A cut at random comes before any call that writes, renames or syncs, and is torn: of what was not
// synced any sector and any name may be there or not, as a seed has it. 2,000 of them in the full
// run.
//
// The test would be worth little if it passed without syncs: each kind of them is left out in turn,
// and then something acknowledged has to be missing.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "power_picture.h"
#include "registry/tp_entry.h"
#include "registry/tp_mlflow.h"
#include "registry_cases.h"
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_CUTS = 4096, MAX_ACKS = 1024, PATH_SIZE = 4096 };

// What a sync was for, by where it happened.
typedef enum sync_kind {
    SYNC_BLOB,        // a blob's bytes
    SYNC_BLOB_FOLDER, // the names in blobs/sha256/ab
    SYNC_FOLDERS,     // the folders that lead there
    SYNC_HOME,        // the names in the home
    SYNC_LOG,         // SQLite's log
    SYNC_FILE,        // SQLite's file
    SYNC_NONE
} sync_kind;

static const char *const kind_names[] = {"blob",    "blob's folder", "folders", "home",
                                         "the log", "SQLite's file", "none"};

typedef struct acknowledged {
    char model[32];
    uint64_t version;
    char sha256[TAPEOUT_SHA256_TEXT_SIZE];
    int64_t live;     // where the alias points by then
    bool is_artifact; // `model` is the path of one
} acknowledged;

static char root[4096]; // the folder of which there is a picture
static sync_kind left_out = SYNC_NONE;
static bool is_watching;
static int seen[SYNC_NONE + 1]; // syncs of each kind
static char cut_folder[4096];   // where a picture is written out
static int cut_count;
static int checked_count; // of them
static int acks_at_cut[MAX_CUTS];
static int lost_at = -1; // the first cut that lost something
static bool cuts_at_syncs;
static uint64_t point_count;          // calls at which a random cut may come
static uint64_t cut_points[MAX_CUTS]; // ascending; several may be the same
static int cut_point_count;
static int next_cut_point;
static acknowledged acks[MAX_ACKS];
static int ack_count;

// -- cuts ----------------------------------------------------------------------------------------
// Only written out: SQLite may be in the middle of something.
static void cut(bool is_torn)
{
    char path[PATH_SIZE + 16];
    const bool was_watching = is_watching;
    ASSERT(cut_count < MAX_CUTS);
    (void)snprintf(path, sizeof(path), "%s-%d", cut_folder, cut_count);
    is_watching = false;
    if (is_torn) {
        power_picture_write_torn(path, (uint64_t)cut_count);
    } else {
        power_picture_write(path);
    }
    acks_at_cut[cut_count++] = ack_count;
    is_watching = was_watching;
}

// Before each call that changes something.
static void point(void)
{
    if (!is_watching) {
        return;
    }
    while (next_cut_point < cut_point_count && cut_points[next_cut_point] == point_count) {
        next_cut_point++;
        cut(true);
    }
    point_count++;
}

// -- our own syncs -------------------------------------------------------------------------------
static sync_kind kind_of(const char *path, bool is_folder)
{
    const char *below = path + strlen(root);
    const char *home = strstr(below, "/home");
    const char *blobs = strstr(below, "/blobs");
    if (!is_folder) {
        return blobs != NULL                      ? SYNC_BLOB
               : strstr(below, "-wal") != NULL    ? SYNC_LOG
               : strstr(below, ".sqlite") != NULL ? SYNC_FILE
                                                  : SYNC_NONE;
    }
    if (blobs == NULL) {
        return home != NULL ? SYNC_HOME : SYNC_NONE;
    }
    return strlen(blobs) > strlen("/blobs/sha256") ? SYNC_BLOB_FOLDER : SYNC_FOLDERS;
}

static int watched_sync(int fd)
{
    char link[64];
    char path[4096];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = is_watching ? readlink(link, path, sizeof(path) - 1) : -1;
    path[size < 0 ? 0 : size] = '\0';
    if (strncmp(path, root, strlen(root)) != 0) {
        return 0; // nothing of it outlives the test
    }
    point();
    if (cuts_at_syncs) {
        cut(false);
    }
    is_watching = false;
    struct stat info;
    ASSERT_EQ_INT(fstat(fd, &info), 0);
    const sync_kind kind = kind_of(path, S_ISDIR(info.st_mode));
    seen[kind]++;
    if (kind != left_out || left_out == SYNC_NONE) {
        power_picture_take(fd);
    }
    is_watching = true;
    return 0;
}

// Visible to SQLite too, which is a library of its own.
__attribute__((visibility("default"))) int fsync(int fd)
{
    return watched_sync(fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    return watched_sync(fd);
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t size)
{
    point();
    return syscall(SYS_write, fd, data, size);
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *data, size_t size,
                                                      off_t offset)
{
    point();
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

__attribute__((visibility("default"))) int ftruncate(int fd, off_t size)
{
    point();
    return (int)syscall(SYS_ftruncate, fd, size);
}

__attribute__((visibility("default"))) int rename(const char *from, const char *to)
{
    point();
    return (int)syscall(SYS_rename, from, to);
}

__attribute__((visibility("default"))) int unlink(const char *path)
{
    point();
    return (int)syscall(SYS_unlink, path);
}

// -- what is done meanwhile ----------------------------------------------------------------------
static tapeout_status point_live(tp_store *store, void *user, tapeout_error *err)
{
    const tp_alias_move move = {.model = TP_STR("m"),
                                .alias = TP_STR("live"),
                                .to_version = *(int64_t *)user,
                                .from_version = TP_ALIAS_ANYWHERE,
                                .now_us = 1};
    return tp_alias_apply(store, &move, NULL, err);
}

// The folders of a blob as a process leaves them that is killed before it syncs them.
static bool has_leftovers;

static void leave_folders(const char *home, const char *text)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(text, strlen(text));
    tp_sha256_hex(&hash, hex);
    ASSERT_OK(tp_blob_path(home, tp_str_from(hex), path, &test_err));
    for (char *slash = strchr(path + strlen(home) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ASSERT(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

static void register_and_note(tp_registry *registry, const char *outside, int i)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "the bytes of %d", i);
    if (has_leftovers) {
        leave_folders(registry->home, text);
    }
    const tapeout_registration what = cases_registration("m", cases_file(outside, "bundle", text));
    tapeout_model_ref ref;
    ASSERT_OK(tp_registry_register(registry, &what, &ref, &test_err));
    acknowledged *ack = &acks[ack_count];
    *ack = (acknowledged){.version = ref.version,
                          .live = ack_count > 0 ? acks[ack_count - 1].live : 0};
    (void)snprintf(ack->model, sizeof(ack->model), "m:%llu", (unsigned long long)ref.version);
    memcpy(ack->sha256, ref.sha256, sizeof(ack->sha256));
    ack_count++;
    if (i % 3 == 0) {
        int64_t to = (int64_t)ref.version;
        ASSERT_OK(tp_store_transact(tp_registry_store(registry), TP_STORE_ALONE, point_live, &to,
                                    &test_err));
        acks[ack_count] = acks[ack_count - 1];
        acks[ack_count++].live = to;
    }
}

// An artifact that comes in two pieces.
static bool uploads;

static void upload_and_note(tp_registry *registry, int i)
{
    tp_mlflow mlflow;
    tp_upload *upload = NULL;
    char text[64];
    acknowledged *ack = &acks[ack_count];
    *ack = (acknowledged){.is_artifact = true};
    (void)snprintf(text, sizeof(text), "the bytes of artifact %d", i);
    (void)snprintf(ack->model, sizeof(ack->model), "run/%d", i);
    const tp_sha256 hash = tp_sha256_of(text, strlen(text));
    tp_sha256_hex(&hash, ack->sha256);
    ASSERT_OK(tp_mlflow_open(registry, tp_allocator_default(), &mlflow, &test_err));
    ASSERT_OK(tp_upload_open(registry, &upload, &test_err));
    ASSERT_OK(tp_upload_write(upload, (tp_str){text, 10}, &test_err));
    ASSERT_OK(tp_upload_write(upload, tp_str_from(text + 10), &test_err));
    ASSERT_OK(tp_mlflow_artifact_put(&mlflow, tp_str_from(ack->model), upload, &test_err));
    tp_upload_free(&upload);
    ack_count++;
}

static void check_cuts(void);

// Registers and points, with the registry closed and opened in between, so that the log is carried
// over into the file and begun anew.
static void work(const char *home, const char *outside, int rounds)
{
    tp_registry *registry = NULL;
    for (int i = 0; i < rounds; i++) {
        if (registry == NULL) {
            registry = cases_open(home);
        }
        if (uploads) {
            upload_and_note(registry, i);
        } else {
            register_and_note(registry, outside, i);
        }
        check_cuts();
        if (i % 4 == 2) {
            tp_registry_close(&registry);
        }
    }
    tp_registry_close(&registry);
}

// -- what is left --------------------------------------------------------------------------------
static bool is_artifact_there(tp_registry *registry, const acknowledged *ack)
{
    tp_mlflow mlflow;
    tp_map map;
    char hex[TP_SHA256_HEX_SIZE + 1] = "";
    ASSERT_OK(tp_mlflow_open(registry, tp_allocator_default(), &mlflow, &test_err));
    if (tp_mlflow_artifact_open(&mlflow, tp_str_from(ack->model), &map, NULL) != TAPEOUT_OK) {
        return false;
    }
    const tp_sha256 hash = tp_sha256_of(map.data, map.size);
    tp_sha256_hex(&hash, hex);
    tp_map_close(&map);
    return strcmp(hex, ack->sha256) == 0;
}

static bool is_there(tp_registry *registry, const acknowledged *ack)
{
    tapeout_model_ref ref;
    tp_sha256 hash;
    char hex[TP_SHA256_HEX_SIZE + 1] = "";
    if (ack->is_artifact) {
        return is_artifact_there(registry, ack);
    }
    if (tp_registry_resolve(registry, tp_str_from(ack->model), &ref, NULL) != TAPEOUT_OK ||
        strcmp(ref.sha256, ack->sha256) != 0 ||
        tp_sha256_file(ref.path, &hash, NULL) != TAPEOUT_OK) {
        return false;
    }
    tp_sha256_hex(&hash, hex);
    return strcmp(hex, ack->sha256) == 0;
}

// Whether everything acknowledged before the cut is in what it left.
static bool is_cut_sound(int number)
{
    const int count = acks_at_cut[number];
    char home[4300];
    (void)snprintf(home, sizeof(home), "%s-%d/home", cut_folder, number);
    tp_registry *registry = NULL;
    const tapeout_status status =
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry, &test_err);
    if (status != TAPEOUT_OK) { // whatever is left can be opened
        (void)printf("# cut %d: %s\n", number, test_err.message);
        return false;
    }
    const char *what = NULL;
    for (int i = 0; i < count && what == NULL; i++) {
        what = is_there(registry, &acks[i]) ? NULL : acks[i].model;
    }
    int64_t live = 0;
    ASSERT_OK(tp_alias_version(tp_registry_store(registry), TP_STR("m"), TP_STR("live"), &live,
                               &test_err));
    // A move that was under way may have happened.
    if (what == NULL && count > 0 && live < acks[count - 1].live) {
        what = "where live points";
    }
    const int64_t versions = cases_number(registry, "SELECT count(*) FROM versions");
    if (what == NULL &&
        versions != cases_number(registry, "SELECT coalesce(max(version), 0) FROM versions")) {
        what = "a number in between";
    }
    tp_registry_close(&registry);
    if (what != NULL) {
        (void)printf("# cut %d lost %s\n", number, what);
    }
    return what == NULL;
}

// Those that have come since, which then make room.
static void check_cuts(void)
{
    const bool was_watching = is_watching;
    is_watching = false;
    for (; checked_count < cut_count; checked_count++) {
        char cut[PATH_SIZE + 32];
        if (lost_at < 0 && !is_cut_sound(checked_count)) {
            lost_at = checked_count;
        }
        (void)snprintf(cut, sizeof(cut), "%s-%d", cut_folder, checked_count);
        test_remove_tree(cut);
    }
    is_watching = was_watching;
}

// A disk of its own for each run.
static void forget_disk(void)
{
    power_picture_begin(root);
    ack_count = 0;
    cut_count = 0;
    checked_count = 0;
    point_count = 0;
    next_cut_point = 0;
}

// The first cut that lost something, -1 where none did.
static int run(const char *name, int rounds)
{
    char home[4200];
    char outside[4200];
    (void)snprintf(outside, sizeof(outside), "%s", test_temp_dir());
    (void)snprintf(root, sizeof(root), "%.4000s/%s", outside, name);
    (void)snprintf(cut_folder, sizeof(cut_folder), "%.4000s/cut", outside);
    (void)snprintf(home, sizeof(home), "%s/home", root);
    ASSERT_EQ_INT(mkdir(root, 0755), 0);
    forget_disk();
    is_watching = true;
    work(home, outside, rounds);
    is_watching = false;
    cut(false);
    check_cuts();
    return lost_at;
}

static void test_every_sync_is_cut(void)
{
    cuts_at_syncs = true;
    ASSERT_EQ_INT(run("disk", getenv("TAPEOUT_TEST_FULL") != NULL ? 120 : 24), -1);
    for (int i = 0; i < SYNC_NONE; i++) {
        ASSERT(seen[i] > 0); // none of them passes us by
    }
    (void)printf("# %d cuts, %d acknowledgements, none lost\n", cut_count, ack_count);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// Once without cuts, to count the moments; then with torn cuts at moments that a seed chooses.
static void try_random_cuts(uint64_t seed, int rounds, int cuts)
{
    ASSERT_EQ_INT(run("counted", rounds), -1);
    const uint64_t points = point_count;
    for (int i = 0; i < cuts; i++) {
        cut_points[i] = tp_random_below(seed, 1, (uint64_t)i, points);
    }
    qsort(cut_points, (size_t)cuts, sizeof(cut_points[0]), by_number);
    cut_point_count = cuts;
    ASSERT_EQ_INT(run("torn", rounds), -1);
    ASSERT_EQ_INT(cut_count, cuts + 1); // as many moments as were counted
    (void)printf("# seed %llu: %d torn cuts at %llu moments, %d acknowledgements, none lost\n",
                 (unsigned long long)seed, cuts, (unsigned long long)points, ack_count);
}

static void test_random_torn_cuts(void)
{
    const bool is_full = getenv("TAPEOUT_TEST_FULL") != NULL;
    try_random_cuts(20261125, is_full ? 60 : 12, is_full ? 2000 : 100);
}

// Torn cuts find a sync that is missing as well.
static void test_torn_without_log(void)
{
    left_out = SYNC_LOG;
    for (int i = 0; i < 400; i++) {
        cut_points[i] = (uint64_t)i;
    }
    cut_point_count = 400;
    ASSERT(run("torn", 12) >= 0);
}

static void test_after_a_crash(void)
{
    has_leftovers = true;
    cuts_at_syncs = true;
    ASSERT_EQ_INT(run("disk", 12), -1);
}

static void expect_loss(sync_kind without)
{
    left_out = without;
    cuts_at_syncs = true;
    const int lost = run("disk", 12);
    if (lost < 0) {
        (void)printf("# without syncs of %s nothing was lost in %d cuts\n", kind_names[without],
                     cut_count);
    }
    ASSERT(lost >= 0);
}

static void test_without_blob(void)
{
    expect_loss(SYNC_BLOB);
}

static void test_without_blob_folder(void)
{
    expect_loss(SYNC_BLOB_FOLDER);
}

static void test_without_folders(void)
{
    expect_loss(SYNC_FOLDERS);
}

static void test_without_home(void)
{
    expect_loss(SYNC_HOME);
}

static void test_without_log(void)
{
    expect_loss(SYNC_LOG);
}

static void test_without_file(void)
{
    expect_loss(SYNC_FILE);
}

// -- uploads -------------------------------------------------------------------------------------
static void test_uploads(void)
{
    uploads = true;
    cuts_at_syncs = true;
    ASSERT_EQ_INT(run("disk", 12), -1);
    ASSERT(seen[SYNC_BLOB] > 0 && seen[SYNC_BLOB_FOLDER] > 0 && seen[SYNC_LOG] > 0);
}

static void test_random_torn_uploads(void)
{
    uploads = true;
    try_random_cuts(20261126, 12, 100);
}

static void test_uploads_without_blob(void)
{
    uploads = true;
    expect_loss(SYNC_BLOB);
}

static void test_uploads_without_blob_folder(void)
{
    uploads = true;
    expect_loss(SYNC_BLOB_FOLDER);
}

TEST_MAIN(TEST_SLOW(test_uploads, 600), TEST_SLOW(test_random_torn_uploads, 900),
          TEST_SLOW(test_uploads_without_blob, 120),
          TEST_SLOW(test_uploads_without_blob_folder, 120), TEST_SLOW(test_every_sync_is_cut, 600),
          TEST_SLOW(test_random_torn_cuts, 900), TEST_SLOW(test_torn_without_log, 120),
          TEST_SLOW(test_after_a_crash, 120), TEST_SLOW(test_without_blob, 120),
          TEST_SLOW(test_without_blob_folder, 120), TEST_SLOW(test_without_folders, 120),
          TEST_SLOW(test_without_home, 120), TEST_SLOW(test_without_log, 120),
          TEST_SLOW(test_without_file, 120))
