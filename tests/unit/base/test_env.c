// SPDX-License-Identifier: Apache-2.0
//
// The env: cancellation seen, progress passed on, and neither needed.
#include "base/tp_env.h"

#include "base/tp_alloc.h"
#include "test.h"

static void test_plain(void)
{
    const tp_env env = tp_env_plain();
    ASSERT(env.alloc == tp_allocator_default() && env.pool == NULL);
    ASSERT_OK(tp_env_check(&env, &test_err));
    tp_env_progress(&env, "read", 0.5); // nobody listens
}

static void test_cancelled(void)
{
    atomic_bool cancelled = false;
    tp_env env = tp_env_plain();
    env.cancelled = &cancelled;
    ASSERT_OK(tp_env_check(&env, &test_err));
    cancelled = true;
    ASSERT_FAILS(tp_env_check(&env, &test_err), TAPEOUT_E_CANCELLED, "cancelled");
}

static void listen(void *user, const char *phase, double fraction)
{
    ASSERT_EQ_STR(phase, "train");
    *(double *)user = fraction;
}

static void test_progress(void)
{
    double heard = 0;
    tp_env env = tp_env_plain();
    env.progress = listen;
    env.progress_user = &heard;
    tp_env_progress(&env, "train", 0.25);
    ASSERT_EQ_F64(heard, 0.25);
}

TEST_MAIN(TEST(test_plain), TEST(test_cancelled), TEST(test_progress))
