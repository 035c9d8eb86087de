// SPDX-License-Identifier: Apache-2.0
//
// An upload in its steps, without a connection: into a registry of the case's own, beyond its
// limit, and with every allocation failing in turn.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "serve/serve_priv.h"
#include "serve/serve_store.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sync_error; // 0: none

__attribute__((visibility("default"))) int fsync(int fd)
{
    errno = sync_error;
    return sync_error != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

typedef struct upload_case {
    tp_env env;
    serve_state state;
    const char *home;
    tp_http_request request;
} upload_case;

static void case_init(upload_case *self, const tapeout_allocator *alloc)
{
    static const char *const segments[] = {"api",       "2.0", "mlflow-artifacts",
                                           "artifacts", "run", "a"};
    memset(self, 0, sizeof(*self));
    self->home = test_temp_dir();
    self->env = tp_env_plain();
    self->env.alloc = alloc;
    self->state.env = &self->env;
    self->state.max_body_bytes = 1000;
    self->state.max_artifact_bytes = 10;
    self->request.method = TP_HTTP_PUT;
    self->request.target = TP_STR("/api/2.0/mlflow-artifacts/artifacts/run/a");
    for (uint32_t i = 0; i < 6; i++) {
        self->request.segments[i] = tp_str_from(segments[i]);
    }
    self->request.segment_count = 6;
}

static tapeout_status case_open(upload_case *self, tapeout_error *err)
{
    const serve_store_place place = {.home = self->home, .is_stopped = self->state.is_stopped};
    const tp_principal_spec everybody = {.id = TP_STR("anonymous"), .grants = TP_STR("admin")};
    TP_TRY(tp_principal_new(self->env.alloc, &everybody, &self->state.anonymous, err));
    return tp_serve_store_new(self->env.alloc, &place, &self->state.store, err);
}

static void case_deinit(upload_case *self)
{
    tp_serve_store_free(self->state.store);
    tp_principal_unref(self->state.anonymous);
}

// Pieces until the first that is not taken; then, or when all are, there is a reply.
static void send(serve_exchange *exchange, const char *const *pieces)
{
    if (!tp_serve_upload_open(exchange)) {
        return;
    }
    ASSERT(exchange->upload != NULL);
    for (; *pieces != NULL; pieces++) {
        if (!tp_serve_upload_write(exchange, tp_str_from(*pieces))) {
            ASSERT(exchange->upload == NULL);
            return;
        }
    }
    tp_serve_upload_finish(exchange);
    ASSERT(exchange->upload == NULL);
}

static int files_coming(const char *home)
{
    char path[4200];
    int count = 0;
    (void)snprintf(path, sizeof(path), "%s/blobs/incoming", home);
    DIR *folder = opendir(path);
    for (struct dirent *next = folder == NULL ? NULL : readdir(folder); next != NULL;
         next = readdir(folder)) {
        count += next->d_type == DT_REG;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

static void assert_artifact(upload_case *self, const char *want)
{
    serve_handle *handle = NULL;
    tp_map map;
    ASSERT_OK(
        tp_serve_store_take(self->state.store, TP_STR(TP_TENANT_OPERATOR), &handle, &test_err));
    const tapeout_status status =
        tp_mlflow_artifact_open(&handle->mlflow, TP_STR("run/a"), &map, &test_err);
    if (want == NULL) {
        ASSERT_EQ_INT(status, TAPEOUT_E_NOT_FOUND);
    } else {
        ASSERT_EQ_INT(status, TAPEOUT_OK);
        ASSERT_EQ_BYTES(map.data, map.size, want, strlen(want));
        tp_map_close(&map);
    }
    tp_serve_store_give(self->state.store, handle);
    ASSERT_EQ_INT(files_coming(self->home), 0);
}

static void try_upload(uint64_t announced, const char *const *pieces, int status, const char *want,
                       const char *part)
{
    upload_case self;
    serve_exchange exchange;
    case_init(&self, tp_allocator_default());
    ASSERT_OK(case_open(&self, &test_err));
    self.request.content_length = announced;
    tp_serve_exchange_init(&exchange, &self.state);
    tp_serve_exchange_begin(&exchange, &self.request);
    ASSERT_EQ_INT(exchange.route->when, SERVE_UPLOAD);
    send(&exchange, pieces);
    ASSERT_EQ_INT(exchange.reply.status, status);
    tp_buffer_append_char(&exchange.reply.body, '\0');
    ASSERT(strstr(exchange.reply.body.data, part) != NULL);
    tp_serve_exchange_deinit(&exchange);
    assert_artifact(&self, want);
    case_deinit(&self);
}

static void test_in_pieces(void)
{
    static const char *const pieces[] = {"01", "234", "56789", NULL};
    try_upload(10, pieces, 200, "0123456789", "{}");
    try_upload(0, pieces, 200, "0123456789", "{}"); // in chunks
}

static void test_limit(void)
{
    static const char *const none[] = {NULL};
    static const char *const pieces[] = {"01", "234", "567890", NULL};
    try_upload(11, none, 413, NULL, "an artifact of 11 bytes, at most 10; limits.artifact_bytes");
    try_upload(0, pieces, 413, NULL, "more than 10 bytes, at most 10; limits.artifact_bytes");
}

// What is opened and never finished, as where its client has left.
static void test_left(void)
{
    upload_case self;
    serve_exchange exchange;
    case_init(&self, tp_allocator_default());
    ASSERT_OK(case_open(&self, &test_err));
    tp_serve_exchange_init(&exchange, &self.state);
    tp_serve_exchange_begin(&exchange, &self.request);
    ASSERT(tp_serve_upload_open(&exchange));
    ASSERT(tp_serve_upload_write(&exchange, TP_STR("01")));
    ASSERT_EQ_INT(files_coming(self.home), 1);
    tp_serve_exchange_deinit(&exchange);
    assert_artifact(&self, NULL);
    case_deinit(&self);
}

// A body that came whole, and is so large that it is synced on the way: nothing more is written
// then, nor where the folder for uploads could not be synced.
static void fail_sync(bool has_folder)
{
    char folder[4200];
    upload_case self;
    serve_exchange exchange;
    atomic_bool is_stopped = false;
    case_init(&self, tp_allocator_default());
    self.state.is_stopped = &is_stopped;
    ASSERT_OK(case_open(&self, &test_err));
    assert_artifact(&self, NULL); // makes the tables, which is not what is looked at
    (void)snprintf(folder, sizeof(folder), "%s/blobs/incoming", self.home);
    if (has_folder) {
        ASSERT_OK(tp_directory_make(folder, &test_err));
    }
    tp_buffer_init(&self.request.body, self.env.alloc, TP_UPLOAD_STEP_BYTES);
    while (self.request.body.size < TP_UPLOAD_STEP_BYTES) {
        tp_buffer_append_text(&self.request.body, "0123456789abcdef0123456789abcdef");
    }
    tp_serve_exchange_init(&exchange, &self.state);
    tp_serve_exchange_begin(&exchange, &self.request);
    sync_error = EIO;
    tp_serve_exchange_run(&exchange);
    sync_error = 0;
    ASSERT_EQ_INT(exchange.reply.status, 503);
    ASSERT(atomic_load(&is_stopped));
    ASSERT_EQ_INT(strstr(exchange.error.message, "incoming/0") != NULL, has_folder);
    tp_serve_exchange_deinit(&exchange);
    tp_buffer_deinit(&self.request.body);
    assert_artifact(&self, NULL);
    case_deinit(&self);
}

static void test_whole_with_a_sync_that_fails(void)
{
    fail_sync(false);
    fail_sync(true);
}

static tapeout_status upload_with(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    static const char *const pieces[] = {"01", "2345", NULL};
    upload_case self;
    serve_exchange exchange;
    (void)user;
    case_init(&self, alloc);
    self.request.content_length = 6;
    tapeout_status status = case_open(&self, err);
    tp_serve_exchange_init(&exchange, &self.state);
    if (status == TAPEOUT_OK) {
        tp_serve_exchange_begin(&exchange, &self.request);
        send(&exchange, pieces);
        const bool has_reply =
            exchange.reply.body.status == TAPEOUT_OK && exchange.reply.headers.status == TAPEOUT_OK;
        ASSERT(!has_reply || exchange.reply.status == 200 || exchange.reply.status == 503);
        status = has_reply && exchange.reply.status == 200 ? TAPEOUT_OK : tp_fail_nomem(err);
    }
    tp_serve_exchange_deinit(&exchange);
    case_deinit(&self);
    ASSERT_EQ_INT(files_coming(self.home), 0);
    return status;
}

static void test_memory(void)
{
    test_out_of_memory(upload_with, NULL);
}

TEST_MAIN(TEST(test_in_pieces), TEST(test_limit), TEST(test_left),
          TEST(test_whole_with_a_sync_that_fails), TEST_SLOW(test_memory, 300))
