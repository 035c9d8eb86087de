// SPDX-License-Identifier: Apache-2.0
//
// UBJSON: each form of value, and what is cut short, too long or unknown.
#include "base/tp_alloc.h"
#include "import/document_priv.h"
#include "test.h"

static tapeout_status read(tp_str bytes, tp_document *ret_document)
{
    const tp_env env = tp_env_plain();
    char *guarded = test_guarded(bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        guarded[i] = bytes.data[i];
    }
    return tp_document_from_ubjson(&env, (tp_str){guarded, bytes.size}, ret_document, &test_err);
}

#define GOOD                                                                                       \
    "{i\x01"                                                                                       \
    "aSi\x02hiU\x01"                                                                               \
    "b[$d#i\x02\x3f\x80\x00\x00\xc0\x00\x00\x00i\x01"                                              \
    "c[#i\x02i\xffI\x01\x02i\x01"                                                                  \
    "d[TFZ]i\x01"                                                                                  \
    "e{#i\x01i\x01xl\xff\xff\xff\xfei\x01"                                                         \
    "f[$L#U\x01\x00\x00\x00\x00\x00\x00\x01\x00i\x01"                                              \
    "g[]i\x01"                                                                                     \
    "hD\x3f\xe0\x00\x00\x00\x00\x00\x00i\x01"                                                      \
    "kND\x3f\xe0\x00\x00\x00\x00\x00\x00}"

static void test_reads_each_form(void)
{
    tp_document document;
    ASSERT_OK(read(TP_STR(GOOD), &document));
    const tp_document_value *root = document.root;
    ASSERT_EQ_UINT(root->count, 9);
    ASSERT(tp_str_equal(tp_document_get_text(root, "a"), TP_STR("hi")));
    ASSERT(tp_document_get_text(root, "b").data == NULL);
    const tp_document_value *b = tp_document_get(root, "b");
    ASSERT(tp_document_is_numbers(b) && b->count == 2);
    ASSERT_EQ_F64(tp_document_number(b, 0), 1);
    ASSERT_EQ_F64(tp_document_number(b, 1), -2);
    const tp_document_value *c = tp_document_get(root, "c");
    ASSERT(tp_document_is_numbers(c) && c->count == 2);
    ASSERT_EQ_F64(tp_document_number(c, 0), -1);
    ASSERT_EQ_F64(tp_document_number(c, 1), 258);
    const tp_document_value *d = tp_document_get(root, "d");
    ASSERT(!tp_document_is_numbers(d) && d->count == 3);
    ASSERT_EQ_F64(d->first->number, 1);
    ASSERT_EQ_INT(d->first->next->next->kind, TP_DOCUMENT_NULL);
    ASSERT_EQ_F64(tp_document_get(tp_document_get(root, "e"), "x")->number, -2);
    ASSERT_EQ_F64(tp_document_number(tp_document_get(root, "f"), 0), 256);
    ASSERT(tp_document_is_numbers(tp_document_get(root, "g")));
    ASSERT_EQ_F64(tp_document_get(root, "h")->number, 0.5);
    ASSERT_EQ_F64(tp_document_get(root, "k")->number, 0.5);
    ASSERT(tp_document_get(root, "z") == NULL && tp_document_get(b, "a") == NULL);
    tp_document_deinit(&document);
}

static void test_every_prefix_is_refused(void)
{
    const tp_str good = TP_STR(GOOD);
    for (size_t size = 0; size < good.size; size++) {
        tp_document document;
        ASSERT_FAILS(read((tp_str){good.data, size}, &document), TAPEOUT_E_CORRUPT, "UBJSON");
    }
}

static void test_what_is_wrong_is_refused(void)
{
    static const struct {
        tp_str bytes;
        const char *part;
    } cases[] = {
        {{"{}x", 3}, "bytes behind the end"},
        {{"x", 1}, "an unknown type"},
        {{"Si\xff", 3}, "a length"},
        {{"Sd\x3f\x80\x00\x00", 6}, "no whole number"},
        {{"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", 13}, "a length that exceeds"},
        {{"[#l\x7f\xff\xff\xff", 7}, "a length that exceeds"},
        {{"[$T#i\x02", 6}, "no number's"},
        {{"[$di\x02", 5}, "no length"},
        {{"{$ii\x02", 5}, "members of one type"},
        {{"Si\x01\xff", 4}, "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_document document;
        ASSERT_FAILS(read(cases[i].bytes, &document), TAPEOUT_E_CORRUPT, cases[i].part);
    }
    char deep[200];
    for (size_t i = 0; i < sizeof(deep); i++) {
        deep[i] = '[';
    }
    tp_document document;
    ASSERT_FAILS(read((tp_str){deep, sizeof(deep)}, &document), TAPEOUT_E_CORRUPT, "levels");
}

TEST_MAIN(TEST(test_reads_each_form), TEST(test_every_prefix_is_refused),
          TEST(test_what_is_wrong_is_refused))
