// SPDX-License-Identifier: Apache-2.0
//
// The string dictionary: numbers in order of first appearance, Arrow's layout, growth, clearing,
// and what happens when somebody chooses the strings.
#include "base/tp_dict.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static uint32_t add(tp_dict *dict, tp_str key)
{
    uint32_t index = UINT32_MAX;
    if (tp_dict_add(dict, key, &index) != TAPEOUT_OK) {
        test_fail(__FILE__, __LINE__, "cannot add a key of %zu bytes", key.size);
    }
    return index;
}

static void test_order_of_first_appearance(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_dict dict;
    tp_dict_init(&dict, &allocator.base);
    ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("JFK")), -1);
    ASSERT_EQ_UINT(add(&dict, TP_STR("JFK")), 0);
    ASSERT_EQ_UINT(add(&dict, TP_STR("")), 1);
    ASSERT_EQ_UINT(add(&dict, TP_STR("LGA")), 2);
    ASSERT_EQ_UINT(add(&dict, TP_STR("JFK")), 0);
    ASSERT_EQ_UINT(add(&dict, TP_STR("J\0K")), 3);
    ASSERT_EQ_UINT(add(&dict, (tp_str){NULL, 0}), 1);
    ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("J\0K")), 3);
    ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("EWR")), -1);
    const int32_t offsets[] = {0, 3, 3, 6, 9};
    ASSERT_EQ_UINT(dict.count, 4);
    ASSERT_EQ_BYTES(dict.offsets, sizeof(offsets), offsets, sizeof(offsets));
    ASSERT_EQ_BYTES(dict.bytes, 9, "JFKLGAJ\0K", 9);
    tp_dict_deinit(&dict);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static tp_str numbered(char *space, size_t size, unsigned i)
{
    return (tp_str){space, (size_t)snprintf(space, size, "key-%u", i)};
}

static void test_many(void)
{
    enum { COUNT = 200000 };
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_dict dict;
    tp_dict_init(&dict, &allocator.base);
    char space[32];
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            ASSERT_EQ_UINT(add(&dict, numbered(space, sizeof(space), i)), i);
        }
    }
    ASSERT_EQ_UINT(dict.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        const tp_str key = numbered(space, sizeof(space), i);
        ASSERT_EQ_INT(tp_dict_find(&dict, key), i);
        ASSERT(tp_str_equal(tp_dict_get(&dict, i), key));
    }
    ASSERT_EQ_INT(tp_dict_find(&dict, numbered(space, sizeof(space), COUNT)), -1);
    tp_dict_clear(&dict);
    ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("key-7")), -1);
    ASSERT_EQ_UINT(add(&dict, TP_STR("other")), 0);
    ASSERT(tp_str_equal(tp_dict_get(&dict, 0), TP_STR("other")));
    tp_dict_deinit(&dict);
    ASSERT_EQ_UINT(allocator.live, 0);
}

// Strings whose hashes end alike crowd one place of the table. They are refused with a status, long
// before the work is quadratic, and the rest of the dictionary stays usable.
static void test_crowding_is_refused(void)
{
    tp_dict dict;
    tp_dict_init(&dict, tp_allocator_default());
    char space[32];
    unsigned accepted = 0;
    tapeout_status status = TAPEOUT_OK;
    for (unsigned i = 0; i < 20000000 && status == TAPEOUT_OK; i++) {
        const tp_str key = numbered(space, sizeof(space), i);
        if ((tp_str_hash(key) & 0x3fff) == 0x1234) {
            uint32_t index = 0;
            status = tp_dict_add(&dict, key, &index);
            accepted += status == TAPEOUT_OK ? 1 : 0;
        }
    }
    ASSERT_EQ_INT(status, TAPEOUT_E_LIMIT);
    ASSERT(accepted >= 500 && accepted <= 1100);
    ASSERT_EQ_UINT(dict.count, accepted);
    ASSERT_EQ_UINT(add(&dict, TP_STR("JFK")), accepted);
    ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("JFK")), accepted);
    tp_dict_deinit(&dict);
}

static void test_failed_add_changes_nothing(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_dict dict;
    tp_dict_init(&dict, &allocator.base);
    char space[32];
    unsigned added = 0;
    for (size_t n = 1; added < 3000; n++) {
        allocator.fail_at = allocator.count + n % 3 + 1;
        uint32_t index = 4711;
        const tapeout_status status =
            tp_dict_add(&dict, numbered(space, sizeof(space), added), &index);
        ASSERT(status == TAPEOUT_OK || status == TAPEOUT_E_NOMEM);
        ASSERT_EQ_UINT(index, status == TAPEOUT_OK ? added : 4711);
        added += status == TAPEOUT_OK ? 1 : 0;
        ASSERT_EQ_UINT(dict.count, added);
        ASSERT_EQ_INT(tp_dict_find(&dict, TP_STR("key-0")), added > 0 ? 0 : -1);
    }
    tp_dict_deinit(&dict);
    ASSERT_EQ_UINT(allocator.live, 0);
}

TEST_MAIN(TEST(test_order_of_first_appearance), TEST(test_many), TEST(test_crowding_is_refused),
          TEST(test_failed_add_changes_nothing))
