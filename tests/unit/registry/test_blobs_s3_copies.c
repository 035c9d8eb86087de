// SPDX-License-Identifier: Apache-2.0
//
// Which copies of S3's blobs go, and which never do. S3 is a thread here that answers HEAD as the
// case says: an object of the right length, a shorter one, none, or not at all.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"
#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, LINE_SIZE = 4096 };

// -- an S3 ---------------------------------------------------------------------------------------
typedef struct fake_s3 {
    int listener;
    uint16_t port;
    atomic_uint asked;
    char lost; // digit that the keys of lost objects end in
    char cut;  // and of those that are too short
} fake_s3;

static void answer(fake_s3 *s3, int client)
{
    char request[LINE_SIZE];
    char reply[128];
    size_t size = 0;
    while (size < sizeof(request) - 1) {
        const ssize_t got = read(client, request + size, sizeof(request) - 1 - size);
        if (got <= 0) {
            return;
        }
        size += (size_t)got;
        request[size] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL) {
            break;
        }
    }
    const char *end = strstr(request, " HTTP/1.1");
    ASSERT(end != NULL && memcmp(request, "HEAD ", 5) == 0);
    const bool is_lost = end[-1] == s3->lost;
    (void)snprintf(reply, sizeof(reply),
                   "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
                   is_lost ? "404 Not Found" : "200 OK",
                   is_lost              ? 0
                   : end[-1] == s3->cut ? MIB - 1
                                        : MIB);
    ASSERT(write(client, reply, strlen(reply)) == (ssize_t)strlen(reply));
    atomic_fetch_add(&s3->asked, 1);
}

static void *serve(void *user)
{
    fake_s3 *s3 = user;
    for (int client; (client = accept(s3->listener, NULL, NULL)) >= 0;) {
        answer(s3, client);
        (void)close(client);
    }
    return NULL;
}

static void begin_s3(fake_s3 *s3)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    pthread_t thread;
    s3->listener = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(bind(s3->listener, (struct sockaddr *)&address, size) == 0 &&
           listen(s3->listener, 16) == 0 &&
           getsockname(s3->listener, (struct sockaddr *)&address, &size) == 0);
    s3->port = ntohs(address.sin_port);
    ASSERT(pthread_create(&thread, NULL, serve, s3) == 0 && pthread_detach(thread) == 0);
}

// -- a home --------------------------------------------------------------------------------------
static tp_registry home_of(uint16_t port, unsigned copies_mib)
{
    static char home[LINE_SIZE];
    char address[256];
    tp_registry registry = {.alloc = tp_allocator_default(), .home = home};
    (void)setenv("AWS_ACCESS_KEY_ID", "key", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    (void)snprintf(home, sizeof(home), "%s/home", test_temp_dir());
    (void)snprintf(address, sizeof(address),
                   "s3://models/p?endpoint=http://127.0.0.1:%u&copies_mib=%u", port, copies_mib);
    const tapeout_status status =
        tp_s3_open(registry.alloc, address, NULL, &registry.s3, &test_err);
    if (status == TAPEOUT_E_UNAVAILABLE) {
        test_skip("libcurl is not installed");
    }
    ASSERT_EQ_INT(status, TAPEOUT_OK);
    return registry;
}

// The name of copy `digit`, which all its digits are.
static tp_str name_of(char digit)
{
    static char names[4][TP_SHA256_HEX_SIZE + 1];
    static int next;
    char *name = names[next++ % 4];
    memset(name, digit, TP_SHA256_HEX_SIZE);
    return (tp_str){name, TP_SHA256_HEX_SIZE};
}

static const char *path_of(const tp_registry *registry, char digit)
{
    static char path[TP_MAX_PATH_BYTES];
    ASSERT_OK(tp_blob_path(registry->home, name_of(digit), path, &test_err));
    return path;
}

// A copy of a MiB that was used so many seconds ago.
static void put_copy(const tp_registry *registry, char digit, int used_s)
{
    const char *path = path_of(registry, digit);
    ASSERT_OK(tp_blob_folder_make(registry->home, path, &test_err));
    const int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    const struct timespec times[2] = {{.tv_sec = time(NULL) - used_s}, {.tv_sec = 1000}};
    ASSERT(fd >= 0 && ftruncate(fd, MIB) == 0 && futimens(fd, times) == 0 && close(fd) == 0);
}

// The digits of the copies that are there.
static const char *copies(const tp_registry *registry)
{
    static char found[16];
    size_t count = 0;
    for (char digit = '0'; digit <= '9'; digit++) {
        if (tp_path_exists(path_of(registry, digit))) {
            found[count++] = digit;
        }
    }
    found[count] = '\0';
    return found;
}

static void end(tp_registry *registry)
{
    tp_s3_close(&registry->s3);
    for (char digit = '0'; digit <= '9'; digit++) {
        ASSERT_OK(tp_file_remove(path_of(registry, digit), &test_err));
    }
}

// -- cases ---------------------------------------------------------------------------------------
static void test_the_longest_unused_go(void)
{
    fake_s3 s3 = {0};
    begin_s3(&s3);
    tp_registry registry = home_of(s3.port, 4);
    put_copy(&registry, '1', 3000);
    put_copy(&registry, '2', 5000);
    put_copy(&registry, '3', 4000);
    tp_copies_make_room(&registry, name_of('4'), MIB);
    ASSERT_EQ_STR(copies(&registry), "123"); // just full
    ASSERT_EQ_UINT(atomic_load(&s3.asked), 0);
    ASSERT_EQ_UINT(registry.copies_room, 0);
    put_copy(&registry, '4', 0);
    tp_copies_make_room(&registry, name_of('5'), MIB);
    ASSERT_EQ_STR(copies(&registry), "14"); // an eighth is free again
    ASSERT_EQ_UINT(atomic_load(&s3.asked), 2);
    ASSERT_EQ_UINT(registry.copies_room, MIB / 2);
    // What fits in that room is not looked at.
    tp_copies_make_room(&registry, name_of('6'), MIB / 2);
    ASSERT_EQ_UINT(registry.copies_room, 0);
    end(&registry);
}

static void test_a_copy_that_is_used_stays(void)
{
    fake_s3 s3 = {0};
    struct stat before;
    struct stat after;
    begin_s3(&s3);
    tp_registry registry = home_of(s3.port, 1);
    put_copy(&registry, '1', 5000);
    put_copy(&registry, '2', 4000);
    put_copy(&registry, '3', 10); // a moment ago
    ASSERT(stat(path_of(&registry, '1'), &before) == 0);
    ASSERT(tp_copy_use(path_of(&registry, '1')));
    ASSERT(stat(path_of(&registry, '1'), &after) == 0);
    ASSERT(after.st_atim.tv_sec > before.st_atim.tv_sec + 4000);
    ASSERT_EQ_INT(after.st_mtim.tv_sec, before.st_mtim.tv_sec); // the blob's age
    ASSERT(!tp_copy_use(path_of(&registry, '9')));
    put_copy(&registry, '5', 9000); // the one that the room is for
    tp_copies_make_room(&registry, name_of('5'), MIB);
    ASSERT_EQ_STR(copies(&registry), "135");
    ASSERT_EQ_UINT(registry.copies_room, 0);
    end(&registry);
}

// Not there yet, there in part, or lost: the copy may be all that there is.
static void test_what_s3_has_not_got_stays(void)
{
    fake_s3 s3 = {.lost = '2', .cut = '3'};
    begin_s3(&s3);
    tp_registry registry = home_of(s3.port, 1);
    put_copy(&registry, '1', 3000);
    put_copy(&registry, '2', 5000);
    put_copy(&registry, '3', 4000);
    tp_copies_make_room(&registry, name_of('4'), MIB);
    ASSERT_EQ_STR(copies(&registry), "23");
    ASSERT_EQ_UINT(atomic_load(&s3.asked), 3);
    end(&registry);
}

static void test_nothing_goes_while_s3_is_away(void)
{
    fake_s3 s3 = {0};
    begin_s3(&s3);
    (void)shutdown(s3.listener, SHUT_RDWR);
    (void)close(s3.listener);
    tp_registry registry = home_of(s3.port, 1);
    put_copy(&registry, '1', 3000);
    put_copy(&registry, '2', 5000);
    tp_copies_make_room(&registry, name_of('4'), MIB);
    ASSERT_EQ_STR(copies(&registry), "12");
    end(&registry);
}

TEST_MAIN(TEST(test_the_longest_unused_go), TEST(test_a_copy_that_is_used_stays),
          TEST(test_what_s3_has_not_got_stays), TEST(test_nothing_goes_while_s3_is_away))
