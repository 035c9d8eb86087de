// SPDX-License-Identifier: Apache-2.0
//
// A process is killed at one of its syncs, the next goes on with what it finds, and then the power
// goes. What the second acknowledged has to be there, whatever of it the first had made and not
// synced: folders, a blob in its place, a commit in SQLite's log, the server's secret.
//
// The first is a child of this program and this program is its disk: the child's fsync hands the
// descriptor over, and the picture of what is synced is taken here (power_picture.h). At the sync
// at which it dies it just ends. Then the same work is done here, the registrations with the same
// keys, and the picture as it is after each acknowledgement is opened and looked at.
#include "base/tp_alloc.h"
#include "power_picture.h"
#include "registry/tp_entry.h"
#include "registry_cases.h"
#include "test.h"
#include "trust/tp_credential.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUNDLES = 3, DIED = 9, PATH_SIZE = 4300 };

typedef enum role { OFF, DYING, WATCHED } role;

static role who;
static char root[PATH_SIZE - 200]; // the folder of which there is a picture
static char home[PATH_SIZE];
static int disk_socket; // to the disk; the child's end, or ours
static int sync_count;
static int die_at;
static bool has_secret; // first of all, as a server does; else the registry makes the home

// -- our own syncs -------------------------------------------------------------------------------
static bool is_below_root(int fd)
{
    char link[64];
    char path[PATH_SIZE];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size < 0 ? 0 : size] = '\0';
    return strncmp(path, root, strlen(root)) == 0;
}

static int watched_sync(int fd)
{
    if (who == OFF || !is_below_root(fd)) {
        return 0;
    }
    const role was = who;
    who = OFF;
    if (was == WATCHED) {
        power_picture_take(fd);
    } else {
        char done = 0;
        if (++sync_count == die_at) {
            _exit(DIED);
        }
        ASSERT_EQ_INT(write(disk_socket, &fd, sizeof(fd)), sizeof(fd));
        ASSERT_EQ_INT(read(disk_socket, &done, 1), 1);
    }
    who = was;
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

// The child's disk, until its end.
static void serve_syncs(pid_t child)
{
    int fd = -1;
    while (read(disk_socket, &fd, sizeof(fd)) == (ssize_t)sizeof(fd)) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)child, fd);
        const int same = open(path, O_RDONLY | O_CLOEXEC);
        ASSERT(same >= 0);
        power_picture_take(same);
        ASSERT_EQ_INT(close(same), 0);
        ASSERT_EQ_INT(write(disk_socket, "", 1), 1);
    }
}

// -- the work ------------------------------------------------------------------------------------
typedef struct acknowledged {
    tp_server_secret secret;
    tapeout_model_ref refs[BUNDLES];
    int count;
    bool has_model;
} acknowledged;

static void check_picture(const acknowledged *acks);

static void register_one(tp_registry *registry, int i, tapeout_model_ref *ret_ref)
{
    char text[32];
    char key[32];
    (void)snprintf(text, sizeof(text), "the bytes of %d", i);
    (void)snprintf(key, sizeof(key), "request-%d", i);
    tapeout_registration what =
        cases_registration("m", cases_file(test_temp_dir(), "bundle", text));
    what.key = key;
    ASSERT_OK(tp_registry_register(registry, &what, ret_ref, &test_err));
}

static tapeout_status make_model(tp_store *store, void *user, tapeout_error *err)
{
    const tp_model_facts facts = {.name = TP_STR("m"), .now_us = 1};
    (void)user;
    const tapeout_status status = tp_model_create(store, &facts, err);
    return status == TAPEOUT_E_EXISTS ? TAPEOUT_OK : status; // as the first process left it
}

static void work(acknowledged *acks)
{
    if (has_secret) {
        ASSERT_OK(tp_server_secret_open(tp_allocator_default(), home, &acks->secret, &test_err));
        check_picture(acks);
    }
    tp_registry *registry = cases_open(home);
    ASSERT_OK(tp_store_transact(tp_registry_store(registry), TP_STORE_ALONE, make_model, NULL,
                                &test_err));
    acks->has_model = true;
    check_picture(acks);
    for (int i = 0; i < BUNDLES; i++) {
        register_one(registry, i, &acks->refs[i]);
        acks->count++;
        check_picture(acks);
    }
    tp_registry_close(&registry); // which carries the log over into the file
    check_picture(acks);
}

// -- what is left --------------------------------------------------------------------------------
static void fail_lost(const char *what)
{
    test_fail(__FILE__, __LINE__, "a death at sync %d, then a cut: %s is lost", die_at, what);
}

static void check_secret(const char *left, const tp_server_secret *told)
{
    char path[PATH_SIZE + 64];
    tp_server_secret found;
    (void)snprintf(path, sizeof(path), "%s/access.secret", left);
    if (!tp_path_exists(path)) {
        fail_lost("the server's secret");
    }
    ASSERT_EQ_INT(chmod(path, 0600), 0); // the picture keeps no modes
    ASSERT_OK(tp_server_secret_open(tp_allocator_default(), left, &found, &test_err));
    ASSERT(memcmp(found.bytes, told->bytes, sizeof(found.bytes)) == 0);
}

static void check_version(tp_registry *registry, const tapeout_model_ref *told)
{
    char name[32];
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256 hash;
    tapeout_model_ref ref;
    (void)snprintf(name, sizeof(name), "m:%llu", (unsigned long long)told->version);
    if (tp_registry_resolve(registry, tp_str_from(name), &ref, &test_err) != TAPEOUT_OK ||
        tp_sha256_file(ref.path, &hash, &test_err) != TAPEOUT_OK) {
        fail_lost(name);
    }
    tp_sha256_hex(&hash, hex);
    ASSERT_EQ_STR(hex, told->sha256);
}

// In the second process only: the power goes now.
static void check_picture(const acknowledged *acks)
{
    char folder[PATH_SIZE];
    char left[PATH_SIZE + 16];
    if (who != WATCHED) {
        return;
    }
    who = OFF;
    (void)snprintf(folder, sizeof(folder), "%.4000s/left", test_temp_dir());
    (void)snprintf(left, sizeof(left), "%s/data/home", folder);
    power_picture_write(folder);
    if (has_secret) {
        check_secret(left, &acks->secret);
    }
    if (acks->has_model) {
        tp_registry *registry = cases_open(left);
        if (cases_number(registry, "SELECT count(*) FROM models") != 1) {
            fail_lost("the model");
        }
        for (int i = 0; i < acks->count; i++) {
            check_version(registry, &acks->refs[i]);
        }
        tp_registry_close(&registry);
    }
    test_remove_tree(folder);
    who = WATCHED;
}

// Whether the first process died, which it does not where it has fewer syncs.
static bool kill_the_first(void)
{
    int ends[2];
    int how = 0;
    ASSERT_EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        static acknowledged acks;
        (void)close(ends[0]);
        disk_socket = ends[1];
        who = DYING;
        work(&acks);
        _exit(0);
    }
    (void)close(ends[1]);
    disk_socket = ends[0];
    serve_syncs(child);
    (void)close(ends[0]);
    ASSERT_EQ_INT(waitpid(child, &how, 0), child);
    ASSERT(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == DIED));
    return WEXITSTATUS(how) == DIED;
}

static void kill_at_every_sync(void)
{
    (void)snprintf(root, sizeof(root), "%.4000s/disk", test_temp_dir());
    (void)snprintf(home, sizeof(home), "%s/data/home", root);
    bool has_died = true;
    for (die_at = 1; has_died; die_at++) {
        acknowledged acks = {.count = 0};
        test_remove_tree(root);
        ASSERT_EQ_INT(mkdir(root, 0755), 0);
        power_picture_begin(root);
        has_died = kill_the_first();
        who = WATCHED;
        work(&acks);
        who = OFF;
    }
    ASSERT(die_at > 20); // it has that many
    (void)printf("# killed at each of %d syncs, then %d acknowledged after each: none lost\n",
                 die_at - 2, BUNDLES);
}

static void test_registry(void)
{
    kill_at_every_sync();
}

static void test_secret_and_registry(void)
{
    has_secret = true;
    kill_at_every_sync();
}

TEST_MAIN(TEST_SLOW(test_registry, 300), TEST_SLOW(test_secret_and_registry, 300))
