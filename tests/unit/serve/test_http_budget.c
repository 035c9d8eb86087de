// SPDX-License-Identifier: Apache-2.0
//
// The memory that bodies of all connections hold together: who comes too late is refused with a
// time to try again, small requests are not, and everything is given back.
#include "http_cases.h"

#include <string.h>

enum { BUDGET_BYTES = 100000, LARGE_BYTES = 40000, SMALL_BYTES = 4000, PROBES = 3 };

typedef struct budget_case {
    tp_http_budget budget;
    http_probe probes[PROBES];
} budget_case;

static budget_case *case_open(void)
{
    static budget_case self;
    self.budget.max_bytes = BUDGET_BYTES;
    for (size_t i = 0; i < PROBES; i++) {
        http_probe_init(&self.probes[i]);
        self.probes[i].shared.budget = &self.budget;
    }
    return &self;
}

static void case_close(budget_case *self)
{
    for (size_t i = 0; i < PROBES; i++) {
        http_probe_deinit(&self->probes[i]);
    }
    ASSERT_EQ_UINT(atomic_load(&self->budget.used_bytes), 0);
}

// A request whose body has `size` bytes, of which `sent` come.
static void send_part(http_probe *probe, size_t size, size_t sent)
{
    char head[128];
    static char body[LARGE_BYTES];
    const int head_size = snprintf(
        head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", size);
    http_probe_feed(probe, head, (size_t)head_size, false);
    http_probe_feed(probe, body, sent, false);
}

static void test_who_comes_too_late_is_refused(void)
{
    budget_case *self = case_open();
    http_probe *first = &self->probes[0];
    http_probe *second = &self->probes[1];
    send_part(first, LARGE_BYTES, LARGE_BYTES - 1);
    const size_t held = atomic_load(&self->budget.used_bytes);
    ASSERT(held >= LARGE_BYTES - 1 && held <= BUDGET_BYTES);
    send_part(second, LARGE_BYTES + 9, LARGE_BYTES);
    ASSERT_EQ_INT(http_probe_status(second, 0), 0);
    http_probe_feed(second, "x", 1, false); // its buffer doubles
    ASSERT_EQ_INT(http_probe_status(second, 0), 503);
    ASSERT(http_probe_sent(second, "retry-after: 1\r\n"));
    ASSERT(http_probe_sent(second, "connection: close\r\n"));
    ASSERT_EQ_INT(second->connection.state, TP_HTTP_CLOSING);
    ASSERT_EQ_UINT(atomic_load(&self->budget.used_bytes), held); // given back at once
    // The first is not hurt, nor is a small one.
    send_part(&self->probes[2], SMALL_BYTES, SMALL_BYTES);
    ASSERT_EQ_INT(http_probe_status(&self->probes[2], 0), 200);
    http_probe_feed(first, "x", 1, false);
    ASSERT_EQ_INT(http_probe_status(first, 0), 200);
    tp_buffer_clear(&first->connection.out);
    tp_http_connection_shrink(&first->connection);
    ASSERT_EQ_UINT(atomic_load(&self->budget.used_bytes), 0);
    case_close(self);
}

// What is sent ahead while a request is handled counts as well; beyond the budget it is not read.
static void test_what_waits_counts(void)
{
    budget_case *self = case_open();
    http_probe *probe = &self->probes[0];
    probe->is_slow = true;
    send_part(probe, 1, 1);
    ASSERT_EQ_INT(probe->handled, 1);
    send_part(probe, LARGE_BYTES, LARGE_BYTES);
    ASSERT(atomic_load(&self->budget.used_bytes) >= LARGE_BYTES);
    ASSERT(tp_http_connection_wants_bytes(&probe->connection));
    send_part(&self->probes[1], LARGE_BYTES, LARGE_BYTES / 2);
    self->budget.max_bytes = 1;
    ASSERT(!tp_http_connection_wants_bytes(&probe->connection));
    ASSERT(tp_http_connection_wants_bytes(&self->probes[2].connection));
    self->budget.max_bytes = BUDGET_BYTES;
    http_probe_answer(probe);
    ASSERT_EQ_INT(probe->handled, 2);
    ASSERT_EQ_UINT(probe->connection.request.body.size, LARGE_BYTES);
    case_close(self);
}

TEST_MAIN(TEST(test_who_comes_too_late_is_refused), TEST(test_what_waits_counts))
