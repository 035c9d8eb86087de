// SPDX-License-Identifier: Apache-2.0
//
// The test harness: cases in processes of their own, assertions that print both sides, an allocator
// that fails on demand, memory that ends at an unreadable page, temporary folders.
//
// A case runs in a forked child with an alarm set; the child says how it ended by its exit status.
// Nothing here is used by the library, so the C library is called directly.
#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, TIMEOUT_DEFAULT_S = 60 };

_Thread_local tapeout_error test_err;

static struct {
    const char *program;   // without its folder
    const char *case_name; // the one that runs
    bool no_fork;
    char temp_dir[1024];
    char shared_dir[1024];
} state;

// -- how a case ends -----------------------------------------------------------------------------

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s:%d: %s: ", file, line, state.case_name);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    if (state.no_fork) {
        abort(); // the debugger stops here
    }
    // Not exit(): a leak report about a case that ended in its middle would be noise.
    (void)fflush(NULL);
    _exit(EXIT_FAILURE);
}

_Noreturn void test_skip(const char *why)
{
    (void)printf("skip %s: %s\n", state.case_name, why);
    exit(EXIT_SKIPPED);
}

// -- assertions ----------------------------------------------------------------------------------

void test_assert_int(const char *file, int line, const char *text, int64_t got, int64_t want)
{
    if (got != want) {
        test_fail(file, line, "%s: got %lld, want %lld", text, (long long)got, (long long)want);
    }
}

void test_assert_uint(const char *file, int line, const char *text, uint64_t got, uint64_t want)
{
    if (got != want) {
        test_fail(file, line, "%s: got %llu, want %llu (0x%llx, 0x%llx)", text,
                  (unsigned long long)got, (unsigned long long)want, (unsigned long long)got,
                  (unsigned long long)want);
    }
}

void test_assert_f64(const char *file, int line, const char *text, double got, double want)
{
    if (memcmp(&got, &want, sizeof(got)) != 0) {
        test_fail(file, line, "%s: got %.17g (%a), want %.17g (%a)", text, got, got, want, want);
    }
}

void test_assert_str(const char *file, int line, const char *text, const char *got,
                     const char *want)
{
    const bool same = got == NULL || want == NULL ? got == want : strcmp(got, want) == 0;
    if (!same) {
        test_fail(file, line, "%s:\n   got \"%s\"\n  want \"%s\"", text, got == NULL ? "NULL" : got,
                  want == NULL ? "NULL" : want);
    }
}

void test_assert_bytes(const char *file, int line, test_bytes got, test_bytes want)
{
    const unsigned char *a = got.data;
    const unsigned char *b = want.data;
    const size_t size = got.size < want.size ? got.size : want.size;
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            test_fail(file, line, "byte %zu of %zu: got 0x%02x, want 0x%02x", i, want.size, a[i],
                      b[i]);
        }
    }
    if (got.size != want.size) {
        test_fail(file, line, "got %zu bytes, want %zu", got.size, want.size);
    }
}

void test_assert_status(const char *file, int line, tapeout_status got, tapeout_status want,
                        const tapeout_error *err)
{
    if (got != want) {
        test_fail(file, line, "got %s, want %s; message: \"%s\"", tapeout_status_name(got),
                  tapeout_status_name(want), err->message);
    }
    if (got != TAPEOUT_OK && err->message[0] != 0 && err->status != got) {
        test_fail(file, line, "returned %s but the buffer says %s", tapeout_status_name(got),
                  tapeout_status_name(err->status));
    }
}

void test_assert_message(const char *file, int line, const tapeout_error *err, const char *part)
{
    if (part != NULL && strstr(err->message, part) == NULL) {
        test_fail(file, line, "message \"%s\" does not contain \"%s\"", err->message, part);
    }
}

// -- the allocator -------------------------------------------------------------------------------

// In front of each block; its size keeps what follows aligned for every type.
typedef struct block_head {
    alignas(max_align_t) size_t size;
    uint64_t mark;
} block_head;

static const uint64_t BLOCK_LIVE = 0x6c6976652d626c6b;
static pthread_mutex_t allocator_lock = PTHREAD_MUTEX_INITIALIZER;

// In which allocations are counted and fail: what a child of it allocates, a sandbox say, comes
// back as whatever the child answers.
static pid_t allocator_process;

// Counts an allocation; false where it is one that shall fail.
static bool may_allocate(test_allocator *allocator)
{
    if (getpid() != allocator_process) {
        return true;
    }
    (void)pthread_mutex_lock(&allocator_lock);
    const size_t n = ++allocator->count;
    const bool fails =
        allocator->fail_at != 0 &&
        (n == allocator->fail_at || (allocator->fail_for_ever && n > allocator->fail_at));
    (void)pthread_mutex_unlock(&allocator_lock);
    return !fails;
}

static void count_live(test_allocator *allocator, size_t blocks, size_t bytes)
{
    (void)pthread_mutex_lock(&allocator_lock);
    allocator->live += blocks;
    allocator->live_bytes += bytes;
    if (allocator->live_bytes > allocator->peak_bytes) {
        allocator->peak_bytes = allocator->live_bytes;
    }
    (void)pthread_mutex_unlock(&allocator_lock);
}

static block_head *head_of(void *block, size_t size_bytes)
{
    block_head *head = (block_head *)block - 1;
    if (head->mark != BLOCK_LIVE) {
        test_fail(__FILE__, __LINE__, "a block given back that is not live");
    }
    if (head->size != size_bytes) {
        test_fail(__FILE__, __LINE__, "a block of %zu bytes given back as one of %zu", head->size,
                  size_bytes);
    }
    return head;
}

static void *checked_alloc(void *user, size_t size_bytes)
{
    if (!may_allocate(user) || size_bytes > SIZE_MAX - sizeof(block_head)) {
        return NULL;
    }
    block_head *head = malloc(sizeof(*head) + size_bytes);
    if (head == NULL) {
        return NULL;
    }
    *head = (block_head){.size = size_bytes, .mark = BLOCK_LIVE};
    memset(head + 1, 0xa5, size_bytes); // whoever reads before writing gets this
    count_live(user, 1, size_bytes);
    return head + 1;
}

static void checked_free(void *user, void *block, size_t size_bytes)
{
    if (block == NULL) {
        return;
    }
    block_head *head = head_of(block, size_bytes);
    head->mark = 0;
    memset(block, 0x5a, size_bytes);
    free(head);
    count_live(user, (size_t)0 - 1, (size_t)0 - size_bytes);
}

// Always moves, so that a pointer kept across a resize is found out.
static void *checked_resize(void *user, void *block, size_t old_size_bytes, size_t new_size_bytes)
{
    if (block == NULL) {
        return checked_alloc(user, new_size_bytes);
    }
    (void)head_of(block, old_size_bytes);
    test_allocator *allocator = user;
    const bool shrinks = new_size_bytes <= old_size_bytes;
    if ((!shrinks && !may_allocate(allocator)) || new_size_bytes > SIZE_MAX - sizeof(block_head)) {
        return NULL;
    }
    block_head *head = malloc(sizeof(*head) + new_size_bytes);
    if (head == NULL) {
        return NULL;
    }
    *head = (block_head){.size = new_size_bytes, .mark = BLOCK_LIVE};
    memset(head + 1, 0xa5, new_size_bytes);
    memcpy(head + 1, block, shrinks ? new_size_bytes : old_size_bytes);
    count_live(allocator, 1, new_size_bytes);
    checked_free(user, block, old_size_bytes);
    return head + 1;
}

void test_allocator_init(test_allocator *allocator)
{
    allocator_process = getpid();
    *allocator = (test_allocator){0};
    allocator->base = (tapeout_allocator){checked_alloc, checked_resize, checked_free, allocator};
}

static void fail_each(tapeout_status (*scenario)(const tapeout_allocator *, void *,
                                                 tapeout_error *),
                      void *user, bool for_ever)
{
    for (size_t n = 1;; n++) {
        test_allocator allocator;
        test_allocator_init(&allocator);
        allocator.fail_at = n;
        allocator.fail_for_ever = for_ever;
        tapeout_error err = {0};
        const tapeout_status status = scenario(&allocator.base, user, &err);
        const char *how = for_ever ? "all from" : "only";
        if (allocator.live != 0) {
            test_fail(__FILE__, __LINE__, "%s allocation %zu fails: %zu blocks leak (%s)", how, n,
                      allocator.live, tapeout_status_name(status));
        }
        if (status != TAPEOUT_OK && (allocator.count < n || status != TAPEOUT_E_NOMEM)) {
            test_fail(__FILE__, __LINE__, "%s allocation %zu of %zu fails: %s: %s", how, n,
                      allocator.count, tapeout_status_name(status), err.message);
        }
        if (status == TAPEOUT_E_NOMEM && err.status != TAPEOUT_E_NOMEM) {
            test_fail(__FILE__, __LINE__, "%s allocation %zu fails: the error buffer is not filled",
                      how, n);
        }
        if (allocator.count < n) {
            return;
        }
    }
}

void test_out_of_memory(tapeout_status (*scenario)(const tapeout_allocator *alloc, void *user,
                                                   tapeout_error *err),
                        void *user)
{
    fail_each(scenario, user, false);
    fail_each(scenario, user, true);
}

void *test_guarded(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t readable = (size + page - 1) / page * page;
    char *pages =
        mmap(NULL, readable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + readable, page, PROT_NONE) != 0) {
        test_fail(__FILE__, __LINE__, "cannot map %zu bytes: %s", size, strerror(errno));
    }
    return pages + (readable - size);
}

// -- folders -------------------------------------------------------------------------------------

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_remove_tree(const char *path)
{
    if (access(path, F_OK) == 0 && nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        test_fail(__FILE__, __LINE__, "cannot remove %s: %s", path, strerror(errno));
    }
}

// Where a program's folders lie: in memory for one that asks so and where there is room.
static const char *temp_base(void)
{
    struct statvfs disk;
    const bool has_room = statvfs("/dev/shm", &disk) == 0 &&
                          (uint64_t)disk.f_bavail * disk.f_frsize >= UINT64_C(1) << 30;
    return getenv("TEST_IN_MEMORY") != NULL && has_room ? "/dev/shm" : TEST_TEMP_DIR;
}

const char *test_temp_dir(void)
{
    (void)mkdir(TEST_TEMP_DIR, 0777); // may be there already
    if (mkdir(state.temp_dir, 0777) != 0 && errno != EEXIST) {
        test_fail(__FILE__, __LINE__, "cannot make %s: %s", state.temp_dir, strerror(errno));
    }
    return state.temp_dir;
}

const char *test_source_dir(void)
{
    return TEST_SOURCE_DIR;
}

const char *test_shared_dir(void)
{
    const char *named = getenv("TAPEOUT_SHARED");
    (void)snprintf(state.shared_dir, sizeof(state.shared_dir), "%s",
                   named != NULL ? named : TEST_SOURCE_DIR "/../shared");
    return access(state.shared_dir, R_OK) == 0 ? state.shared_dir : NULL;
}

// -- running -------------------------------------------------------------------------------------

typedef enum outcome { PASSED, FAILED, SKIPPED, OUTCOME_COUNT } outcome;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWNESS = 5 };
#else
enum { SLOWNESS = 1 };
#endif

// TEST_TIMEOUT_SCALE=10 gives ten times as long, for valgrind and slow machines.
static unsigned timeout_s(const test_case *one)
{
    const char *scale = getenv("TEST_TIMEOUT_SCALE");
    const int factor = scale == NULL ? 1 : atoi(scale);
    return (unsigned)((one->timeout_s > 0 ? one->timeout_s : TIMEOUT_DEFAULT_S) * SLOWNESS *
                      (factor > 0 ? factor : 1));
}

static _Noreturn void run_child(const test_case *one)
{
    // A group of its own, so that what it starts can be ended with it; and it ends with its parent.
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(timeout_s(one));
    one->run();
    exit(EXIT_SUCCESS);
}

static outcome run_forked(const test_case *one)
{
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child < 0) {
        (void)fprintf(stderr, "cannot fork: %s\n", strerror(errno));
        return FAILED;
    }
    if (child == 0) {
        run_child(one);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    (void)kill(-child, SIGKILL); // whatever it left running
    if (WIFEXITED(status)) {
        const int code = WEXITSTATUS(status);
        return code == EXIT_SUCCESS ? PASSED : code == EXIT_SKIPPED ? SKIPPED : FAILED;
    }
    if (WTERMSIG(status) == SIGALRM) {
        (void)fprintf(stderr, "%s: not done after %u s\n", one->name, timeout_s(one));
    } else {
        (void)fprintf(stderr, "%s: ended by signal %d (%s)\n", one->name, WTERMSIG(status),
                      strsignal(WTERMSIG(status)));
    }
    return FAILED;
}

static outcome run_case(const test_case *one)
{
    state.case_name = one->name;
    (void)snprintf(state.temp_dir, sizeof(state.temp_dir), "%s/%s-%s-%d", temp_base(),
                   state.program, one->name, (int)getpid());
    outcome result = PASSED;
    if (state.no_fork) {
        one->run();
    } else {
        result = run_forked(one);
    }
    if (result != FAILED) {
        test_remove_tree(state.temp_dir);
    }
    if (result != SKIPPED) { // the case itself said why it was skipped
        (void)printf("%s %s\n", result == PASSED ? "ok" : "not ok", one->name);
    }
    return result;
}

static const test_case *find_case(const test_case *cases, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return &cases[i];
        }
    }
    return NULL;
}

int test_main(int argc, char **argv, const test_case *cases, size_t count)
{
    const char *slash = strrchr(argv[0], '/');
    state.program = slash == NULL ? argv[0] : slash + 1;
    size_t counts[OUTCOME_COUNT] = {0};
    size_t named = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-fork") == 0) {
            state.no_fork = true;
            continue;
        }
        const test_case *one = find_case(cases, count, argv[i]);
        if (one == NULL) {
            (void)fprintf(stderr, "%s: no case %s\n", state.program, argv[i]);
            return 2;
        }
        counts[run_case(one)]++;
        named++;
    }
    for (size_t i = 0; named == 0 && i < count; i++) {
        counts[run_case(&cases[i])]++;
    }
    (void)printf("# %zu passed, %zu failed, %zu skipped\n", counts[PASSED], counts[FAILED],
                 counts[SKIPPED]);
    return counts[FAILED] == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
