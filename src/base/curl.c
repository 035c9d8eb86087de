// SPDX-License-Identifier: Apache-2.0
//
// libcurl behind tp_curl.h. The library is found once and stays; what a request asks for is set on
// a handle that was reset, so that nothing is left of the one before. libcurl takes its memory from
// the C library.
#include "base/tp_curl.h"

#include "base/curl_api.h"
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_library.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// -- finding it ----------------------------------------------------------------------------------
static pthread_once_t once = PTHREAD_ONCE_INIT;
static curl_api api;
static tapeout_error load_error;
static tapeout_status load_status;

static tapeout_status find(void)
{
    // Debian's flavours by their TLS library; the second is what some minimal systems have.
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    char why[256] = "";
    char first_why[256] = "";
    void *library = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && library == NULL; i++) {
        library = tp_library_open(names[i], why, sizeof(why));
        if (i == 0) {
            memcpy(first_why, why, sizeof(why));
        }
    }
    if (library == NULL) {
        return tp_fail(&load_error, TAPEOUT_E_UNAVAILABLE,
                       "libcurl, which calls to others need, does not load (%s); Debian's package "
                       "is libcurl4",
                       first_why);
    }
    const char *missing = NULL;
#define RESOLVE(name, result, parameters)                                                          \
    if (missing == NULL && !tp_library_function(library, "curl_" #name, &api.name)) {              \
        missing = "curl_" #name;                                                                   \
    }
    CURL_FUNCTION_MAP(RESOLVE)
#undef RESOLVE
    if (missing != NULL) {
        return tp_fail(&load_error, TAPEOUT_E_UNAVAILABLE, "libcurl lacks %s", missing);
    }
    return api.global_init(CURL_GLOBAL_ALL) == CURLE_OK
               ? TAPEOUT_OK
               : tp_fail(&load_error, TAPEOUT_E_UNAVAILABLE, "libcurl does not start");
}

static void find_once(void)
{
    load_status = find();
}

static tapeout_status load(tapeout_error *err)
{
    (void)pthread_once(&once, find_once); // fails only for a wrong argument
    return load_status == TAPEOUT_OK ? TAPEOUT_OK
                                     : tp_fail(err, load_status, "%s", load_error.message);
}

bool tp_curl_about(char *ret_version, size_t version_size, char *ret_path, size_t path_size)
{
    if (load(NULL) != TAPEOUT_OK) {
        return false;
    }
    // "libcurl/7.88.1 OpenSSL/3.0.17 …"
    const char *text = api.version();
    const char *slash = strchr(text, '/');
    const char *begin = slash == NULL ? text : slash + 1;
    (void)snprintf(ret_version, version_size, "%.*s", (int)strcspn(begin, " "), begin);
    return tp_library_of((void (*)(void))api.version, ret_path, path_size);
}

// -- URLs ----------------------------------------------------------------------------------------
static bool is_loopback(tp_str authority)
{
    const tp_str names[] = {TP_STR("127.0.0.1"), TP_STR("localhost"), TP_STR("[::1]")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tp_str_has_prefix(authority, names[i]) &&
            (authority.size == names[i].size || authority.data[names[i].size] == ':')) {
            return true;
        }
    }
    return false;
}

tapeout_status tp_curl_url_check(const char *url, const char *what, tapeout_error *err)
{
    const tp_str text = tp_str_from(url);
    const bool is_https = tp_str_has_prefix(text, TP_STR("https://"));
    const bool is_http = tp_str_has_prefix(text, TP_STR("http://"));
    if (!is_https && !is_http) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: \"%.200s\": https://… was expected", what, url);
    }
    if (text.size > TP_MAX_URL_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: a URL of %zu bytes, at most %u", what, text.size,
                       TP_MAX_URL_BYTES);
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '\\') {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "%s: \"%.200s\": byte %zu may not stand in a URL", what, url, i);
        }
    }
    const char *host = url + (is_https ? 8 : 7);
    const tp_str authority = {host, strcspn(host, "/?#")};
    if (authority.size == 0 || memchr(host, '@', authority.size) != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: a host alone was expected behind %s, no name and password", what,
                       is_https ? "https://" : "http://");
    }
    if (is_http && !is_loopback(authority)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: \"%.200s\": without TLS only this machine (127.0.0.1, [::1], "
                       "localhost) is called; use https://",
                       what, url);
    }
    return TAPEOUT_OK;
}

// -- answers -------------------------------------------------------------------------------------
void tp_curl_answer_init(tp_curl_answer *answer, const tapeout_allocator *alloc)
{
    answer->status = 0;
    tp_buffer_init(&answer->headers, alloc, TP_MAX_CURL_HEAD_BYTES);
    tp_buffer_init(&answer->body, alloc, 0);
}

void tp_curl_answer_deinit(tp_curl_answer *answer)
{
    tp_buffer_deinit(&answer->headers);
    tp_buffer_deinit(&answer->body);
}

tp_str tp_curl_answer_header(const tp_curl_answer *answer, tp_str name)
{
    tp_str rest = tp_buffer_view(&answer->headers);
    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        const size_t size = end == NULL ? rest.size : (size_t)(end - rest.data) + 1;
        const tp_str line = {rest.data, size};
        if (line.size > name.size && line.data[name.size] == ':' &&
            tp_str_equal_ignore_case((tp_str){line.data, name.size}, name)) {
            return tp_str_trim((tp_str){line.data + name.size + 1, line.size - name.size - 1});
        }
        rest = (tp_str){rest.data + size, rest.size - size};
    }
    return (tp_str){"", 0};
}

// -- one request ---------------------------------------------------------------------------------
struct tp_curl {
    const tapeout_allocator *alloc;
    CURL *easy;
};

typedef struct asking {
    CURL *easy;
    const tp_curl_request *request;
    tp_curl_answer *answer;
    size_t sent;
    curl_slist *headers;
    tapeout_status failed; // what a callback of ours ended it with
    tapeout_error why;
    char words[CURL_ERROR_SIZE]; // libcurl's
} asking;

static uint32_t status_of(CURL *easy)
{
    long status = 0;
    (void)api.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status); // 0 where there is none
    return (uint32_t)status;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    asking *it = user;
    tp_buffer *headers = &it->answer->headers;
    const tp_str line = {data, size * count};
    if (tp_str_has_prefix(line, TP_STR("HTTP/"))) {
        tp_buffer_clear(headers); // what came before belonged to a "100 Continue"
    }
    tp_buffer_append_str(headers, line);
    it->failed = tp_buffer_check(headers, "the headers of the answer", &it->why);
    return it->failed == TAPEOUT_OK ? line.size : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    asking *it = user;
    const tp_curl_request *request = it->request;
    const uint32_t status = status_of(it->easy);
    if (request->sink != NULL && status >= 200 && status <= 299) {
        it->failed = request->sink(request->user, data, size * count, &it->why);
    } else {
        tp_buffer_append(&it->answer->body, data, size * count);
        it->failed = tp_buffer_check(&it->answer->body, "the body of the answer", &it->why);
    }
    return it->failed == TAPEOUT_OK ? size * count : 0;
}

static size_t on_read(char *data, size_t size, size_t count, void *user)
{
    asking *it = user;
    const tp_str body = it->request->body;
    const size_t left = body.size - it->sent;
    const size_t taken = left < size * count ? left : size * count;
    if (taken > 0) {
        memcpy(data, body.data + it->sent, taken);
    }
    it->sent += taken;
    return taken;
}

// libcurl sends again where a connection that it had kept turns out to be dead.
static int on_seek(void *user, int64_t offset, int origin)
{
    asking *it = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > it->request->body.size) {
        return 1;
    }
    it->sent = (size_t)offset;
    return 0;
}

static int on_connect(void *user, int purpose, curl_address *address)
{
    asking *it = user;
    (void)purpose; // there is one
    it->failed = it->request->accept(it->request->accept_user, &address->address, &it->why);
    return it->failed == TAPEOUT_OK
               ? socket(address->family, address->type | SOCK_CLOEXEC, address->protocol)
               : CURL_SOCKET_BAD;
}

static tapeout_status add_header(asking *it, const char *text, tapeout_error *err)
{
    curl_slist *longer = api.slist_append(it->headers, text);
    if (longer == NULL) {
        return tp_fail_nomem(err);
    }
    it->headers = longer;
    return TAPEOUT_OK;
}

// Numbers and pointers go to libcurl as long and void *; the options are known to it, so that only
// memory can fail, and then the request fails as well.
static void set_number(const asking *it, int option, long value)
{
    (void)api.easy_setopt(it->easy, option, value);
}

static void set_text(const asking *it, int option, const char *value)
{
    (void)api.easy_setopt(it->easy, option, value);
}

static void set_safety(asking *it, bool is_https)
{
    // Asked for by name, so that a library built without it fails instead of doing as it likes.
    set_text(it, CURLOPT_PROTOCOLS_STR, is_https ? "https" : "http");
    set_number(it, CURLOPT_FOLLOWLOCATION, 0);
    set_number(it, CURLOPT_SSL_VERIFYPEER, 1);
    set_number(it, CURLOPT_SSL_VERIFYHOST, 2);
    set_number(it, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_number(it, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    set_number(it, CURLOPT_NOSIGNAL, 1);
    set_number(it, CURLOPT_CONNECTTIMEOUT_MS, TP_CURL_CONNECT_MS);
    set_number(it, CURLOPT_LOW_SPEED_LIMIT, 1); // bytes a second, for so many seconds:
    set_number(it, CURLOPT_LOW_SPEED_TIME, TP_CURL_STALL_S);
    set_number(it, CURLOPT_TIMEOUT_MS, (long)it->request->timeout_ms);
    set_text(it, CURLOPT_USERAGENT, "tapeout/" TAPEOUT_VERSION);
    if (!is_https || it->request->accept != NULL) {
        set_text(it, CURLOPT_NOPROXY, "*"); // this machine is not reached by way of another
    }
    if (it->request->ca_file != NULL) {
        set_text(it, CURLOPT_CAINFO, it->request->ca_file);
    }
}

static void set_callbacks(asking *it)
{
    (void)api.easy_setopt(it->easy, CURLOPT_ERRORBUFFER, it->words);
    (void)api.easy_setopt(it->easy, CURLOPT_HEADERFUNCTION, (curl_move *)on_header);
    (void)api.easy_setopt(it->easy, CURLOPT_HEADERDATA, (void *)it);
    (void)api.easy_setopt(it->easy, CURLOPT_WRITEFUNCTION, (curl_move *)on_body);
    (void)api.easy_setopt(it->easy, CURLOPT_WRITEDATA, (void *)it);
    (void)api.easy_setopt(it->easy, CURLOPT_READFUNCTION, (curl_move *)on_read);
    (void)api.easy_setopt(it->easy, CURLOPT_READDATA, (void *)it);
    (void)api.easy_setopt(it->easy, CURLOPT_SEEKFUNCTION, (curl_seek *)on_seek);
    (void)api.easy_setopt(it->easy, CURLOPT_SEEKDATA, (void *)it);
    if (it->request->accept != NULL) {
        (void)api.easy_setopt(it->easy, CURLOPT_OPENSOCKETFUNCTION, (curl_connect *)on_connect);
        (void)api.easy_setopt(it->easy, CURLOPT_OPENSOCKETDATA, (void *)it);
    }
}

static tapeout_status prepare(asking *it, tapeout_error *err)
{
    const tp_curl_request *request = it->request;
    api.easy_reset(it->easy);
    for (size_t i = 0; i < request->header_count; i++) {
        TP_TRY(add_header(it, request->headers[i], err));
    }
    TP_TRY(add_header(it, "Expect:", err)); // no waiting for "100 Continue"
    set_safety(it, tp_str_has_prefix(tp_str_from(request->url), TP_STR("https://")));
    set_callbacks(it);
    (void)api.easy_setopt(it->easy, CURLOPT_HTTPHEADER, (void *)it->headers);
    set_text(it, CURLOPT_URL, request->url);
    if (strcmp(request->method, "HEAD") == 0) {
        set_number(it, CURLOPT_NOBODY, 1);
    } else if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0) {
        set_number(it, CURLOPT_UPLOAD, 1);
        (void)api.easy_setopt(it->easy, CURLOPT_INFILESIZE_LARGE, (int64_t)request->body.size);
        set_text(it, CURLOPT_CUSTOMREQUEST, request->method);
    } else {
        set_text(it, CURLOPT_CUSTOMREQUEST, request->method);
    }
    return TAPEOUT_OK;
}

// A peer that hangs up while it is written to must not end the process, and a thread may not
// change what the whole process does about that signal: it is held back here, and taken off.
static int perform(CURL *easy)
{
    sigset_t pipe;
    sigset_t before;
    sigset_t pending;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)sigpending(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
    const int code = api.easy_perform(easy);
    if (!was_pending) {
        (void)sigtimedwait(&pipe, NULL, &(struct timespec){.tv_sec = 0});
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static tapeout_status fail_code(const asking *it, int code, tapeout_error *err)
{
    const char *url = it->request->url;
    const int host = (int)strcspn(url, "?"); // what stands behind it may be long, or secret
    const char *words = it->words[0] != '\0' ? it->words : api.easy_strerror(code);
    tapeout_status status = TAPEOUT_E_UNAVAILABLE;
    if (it->failed != TAPEOUT_OK) {
        return tp_fail(err, it->failed, "%s", it->why.message);
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        return tp_fail_nomem(err);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        status = TAPEOUT_E_TIMEOUT;
    } else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        status = TAPEOUT_E_DENIED;
    }
    return tp_fail(err, status, "%s %.*s: %s", it->request->method, host > 200 ? 200 : host, url,
                   words);
}

tapeout_status tp_curl_ask(tp_curl *curl, const tp_curl_request *request, tp_curl_answer *answer,
                           tapeout_error *err)
{
    asking it = {.easy = curl->easy, .request = request, .answer = answer};
    TP_TRY(tp_curl_url_check(request->url, request->method, err));
    answer->status = 0;
    tp_buffer_clear(&answer->headers);
    tp_buffer_clear(&answer->body);
    answer->body.max_size = request->max_body_bytes;
    tapeout_status status = prepare(&it, err);
    if (status == TAPEOUT_OK) {
        const int code = perform(it.easy);
        status = code == CURLE_OK ? TAPEOUT_OK : fail_code(&it, code, err);
    }
    api.slist_free_all(it.headers);
    if (status == TAPEOUT_OK) {
        answer->status = status_of(it.easy);
    }
    return status;
}

tapeout_status tp_curl_open(const tapeout_allocator *alloc, tp_curl **ret_curl, tapeout_error *err)
{
    TP_TRY(load(err));
    tp_curl *curl = tp_alloc(alloc, sizeof(*curl));
    if (curl == NULL) {
        return tp_fail_nomem(err);
    }
    *curl = (tp_curl){.alloc = alloc, .easy = api.easy_init()};
    if (curl->easy == NULL) {
        tp_free(alloc, curl, sizeof(*curl));
        return tp_fail_nomem(err);
    }
    *ret_curl = curl;
    return TAPEOUT_OK;
}

void tp_curl_close(tp_curl **curl)
{
    tp_curl *it = *curl;
    if (it == NULL) {
        return;
    }
    api.easy_cleanup(it->easy);
    tp_free(it->alloc, it, sizeof(*it));
    *curl = NULL;
}
