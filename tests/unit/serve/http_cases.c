// SPDX-License-Identifier: Apache-2.0
//
// The probe: see http_cases.h.
#include "http_cases.h"

#include <stdlib.h>
#include <string.h>

static void answer(http_probe *probe, tp_http_connection *connection)
{
    tp_http_reply reply;
    tp_http_reply_init(&reply, probe->shared.alloc);
    reply.content_type = "text/plain";
    tp_buffer_append_str(&reply.body, probe->echoes ? tp_buffer_view(&connection->request.body)
                                                    : TP_STR("fine"));
    tp_http_connection_reply(connection, &reply);
    tp_http_reply_deinit(&reply);
}

static void on_request(void *user, tp_http_connection *connection)
{
    http_probe *probe = user;
    probe->handled++;
    if (!probe->is_slow) {
        answer(probe, connection);
    }
}

static void on_refused(void *user, tp_http_connection *connection, int status, const char *why)
{
    (void)connection;
    http_probe *probe = user;
    probe->refused_status = status;
    ASSERT(why != NULL && why[0] != '\0');
}

void http_probe_init(http_probe *probe)
{
    memset(probe, 0, sizeof(*probe));
    test_allocator_init(&probe->allocator);
    probe->shared = (tp_http_shared){.alloc = &probe->allocator.base,
                                     .max_body_bytes = 1 << 20,
                                     .id_seed = 1,
                                     .handle = on_request,
                                     .refused = on_refused,
                                     .user = probe};
    tp_http_connection_init(&probe->connection, &probe->shared);
}

void http_probe_deinit(http_probe *probe)
{
    tp_http_connection_deinit(&probe->connection);
    ASSERT_EQ_UINT(probe->allocator.live, 0);
}

void http_probe_feed(http_probe *probe, const char *bytes, size_t size, bool one_by_one)
{
    const size_t step = one_by_one ? 1 : size;
    for (size_t i = 0; i < size; i += step) {
        // Copied to the end of a page: reading past what was fed would crash.
        char *guarded = test_guarded(step);
        memcpy(guarded, bytes + i, step);
        tp_http_connection_feed(&probe->connection, guarded, step);
    }
}

void http_probe_answer(http_probe *probe)
{
    answer(probe, &probe->connection);
    tp_http_connection_resume(&probe->connection);
}

static const char *find(tp_str text, const char *part)
{
    const size_t size = strlen(part);
    for (size_t i = 0; i + size <= text.size; i++) {
        if (memcmp(text.data + i, part, size) == 0) {
            return text.data + i;
        }
    }
    return NULL;
}

int http_probe_status(const http_probe *probe, int index)
{
    tp_str out = tp_buffer_view(&probe->connection.out);
    for (;;) {
        const char *at = find(out, "HTTP/1.1 ");
        if (at == NULL) {
            return 0;
        }
        const int status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
        const size_t step = (size_t)(at - out.data) + 12;
        out = (tp_str){out.data + step, out.size - step};
        if (index-- == 0) {
            return status;
        }
    }
}

bool http_probe_sent(const http_probe *probe, const char *part)
{
    return find(tp_buffer_view(&probe->connection.out), part) != NULL;
}
