// SPDX-License-Identifier: Apache-2.0
//
// The XML of S3's answers: what comes out of it in which order, what is refused and where; pages of
// a list.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/s3_list.h"
#include "registry/s3_xml.h"
#include "test.h"

#include <string.h>

static tapeout_status note(void *user, const s3_xml_element *element, tapeout_error *err)
{
    tp_buffer *seen = user;
    (void)err;
    tp_buffer_printf(seen, "%u:%.*s/%.*s=%.*s;", element->depth, TP_STR_ARGS(element->parent),
                     TP_STR_ARGS(element->name), TP_STR_ARGS(element->text));
    return TAPEOUT_OK;
}

// What the reader saw, in a static buffer.
static const char *read_all(const char *document)
{
    static char text[1024];
    tp_buffer seen;
    tp_buffer_init(&seen, tp_allocator_default(), sizeof(text) - 1);
    ASSERT_OK(
        tp_s3_xml_read(tp_allocator_default(), tp_str_from(document), note, &seen, &test_err));
    ASSERT_OK(tp_buffer_check(&seen, "test", &test_err));
    if (seen.size > 0) {
        memcpy(text, seen.data, seen.size);
    }
    text[seen.size] = '\0';
    tp_buffer_deinit(&seen);
    return text;
}

static void test_read(void)
{
    ASSERT_EQ_STR(read_all("<a/>"), "0:/a=;");
    ASSERT_EQ_STR(read_all("<?xml version=\"1.0\"?>\n<a x='>' y = \"'\"><b>1</b> <c/>2</a >\n"),
                  "1:a/b=1;1:a/c=;0:/a=;");
    ASSERT_EQ_STR(read_all("<a><b>x<c>y</c>z</b></a>"), "2:b/c=y;1:a/b=;0:/a=;");
    ASSERT_EQ_STR(read_all("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#xe4;&#x20AC;&#x1F600;</a>"),
                  "0:/a=<>&\"'AB\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80;");
}

static void test_refused(void)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "a",
                                      "<a>",
                                      "<a></b>",
                                      "<a></a><b></b>",
                                      "</a>",
                                      "<a",
                                      "<a b>",
                                      "<a b=c></a>",
                                      "<a b='></a>",
                                      "<a>&nbsp;</a>",
                                      "<a>&",
                                      "<a>&#0;</a>",
                                      "<a>&#x;</a>",
                                      "<a>&#;</a>",
                                      "<a>&#xd800;</a>",
                                      "<!DOCTYPE a><a/>",
                                      "<a/>text",
                                      "<a><!--x--></a>",
                                      "<a><![CDATA[x]]></a>",
                                      "<a><?x?></a>",
                                      "<?xml x><a/>",
                                      "<>",
                                      "<a>&#x110000;</a>",
                                      "<a>&#99999999999;</a>",
                                      "<a><b></a></b>",
                                      "< a/>"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tp_buffer seen;
        tp_buffer_init(&seen, tp_allocator_default(), 1000);
        ASSERT_FAILS(
            tp_s3_xml_read(tp_allocator_default(), tp_str_from(bad[i]), note, &seen, &test_err),
            TAPEOUT_E_CORRUPT, "S3's answer: ");
        tp_buffer_deinit(&seen);
    }
    tp_buffer seen;
    tp_buffer_init(&seen, tp_allocator_default(), 1000);
    ASSERT_FAILS(
        tp_s3_xml_read(tp_allocator_default(), (tp_str){"<a>\0</a>", 8}, note, &seen, &test_err),
        TAPEOUT_E_CORRUPT, "zero at byte 3");
    ASSERT_FAILS(tp_s3_xml_read(tp_allocator_default(),
                                TP_STR("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>"), note,
                                &seen, &test_err),
                 TAPEOUT_E_LIMIT, "more than 16");
    tp_buffer_deinit(&seen);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd"
#define ITEM(key, time)                                                                            \
    "<Contents><Key>" key "</Key><LastModified>" time "</LastModified><ETag>&quot;e&quot;</ETag>"  \
    "<Size>17</Size></Contents>"
#define LIST(more, content)                                                                        \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3\"><Name>b"    \
    "</Name><IsTruncated>" more "</IsTruncated>" content "</ListBucketResult>"

static tapeout_status read_page(const char *document, s3_page *page, tapeout_error *err)
{
    tp_buffer_init(&page->objects, tp_allocator_default(), 10000);
    tp_buffer_init(&page->next, tp_allocator_default(), 1000);
    return tp_s3_page_read(tp_allocator_default(), tp_str_from(document), TP_STR("p/"), page, err);
}

static void end_page(s3_page *page)
{
    tp_buffer_deinit(&page->objects);
    tp_buffer_deinit(&page->next);
}

static void test_page(void)
{
    s3_page page;
    s3_object object;
    // Of these one is a blob.
    ASSERT_OK(read_page(
        LIST("true",
             ITEM("p/sha256/ab/" HEX, "2026-11-25T19:32:02.000Z")
                 ITEM("q/sha256/ab/" HEX, "2026-11-25T19:32:02.000Z") ITEM("p/sha256/ab/" HEX "0",
                                                                           "2026-11-25T19:32:02Z")
                     ITEM("p/sha256/AB/" HEX, "2026-11-25T19:32:02Z") ITEM("p/sha256/ab-" HEX,
                                                                           "2026-11-25T19:32:02Z")
                         ITEM("p/other",
                              "never") "<NextContinuationToken>a+/=&amp;</NextContinuationToken>"),
        &page, &test_err));
    ASSERT_EQ_BYTES(page.next.data, page.next.size, "a+/=&", 5);
    ASSERT_EQ_UINT(page.objects.size, sizeof(object));
    memcpy(&object, page.objects.data, sizeof(object));
    ASSERT_EQ_STR(object.hex, "ab" HEX);
    ASSERT_EQ_UINT(object.size, 17);
    ASSERT_EQ_INT(object.modified_s, 1795635122);
    end_page(&page);
    ASSERT_OK(read_page(LIST("false", ""), &page, &test_err));
    ASSERT_EQ_UINT(page.next.size + page.objects.size, 0);
    end_page(&page);
}

static void test_bad_pages(void)
{
    static const char *const bad[] = {
        LIST("true", ""), // more, and not where
        LIST("false", "<NextContinuationToken>a</NextContinuationToken>"),
        LIST("false", "<Contents><Key>p/sha256/ab/" HEX "</Key></Contents>"),
        LIST("false", ITEM("p/sha256/ab/" HEX, "yesterday")),
        LIST("false", ITEM("p/sha256/ab/" HEX, "2026-11-25T19:32:0xZ")),
        "<Error><Code>x</Code></Error>",
        "<ListBucketResult>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s3_page page;
        ASSERT_FAILS(read_page(bad[i], &page, &test_err), TAPEOUT_E_CORRUPT, "S3's answer: ");
        end_page(&page);
    }
}

TEST_MAIN(TEST(test_read), TEST(test_refused), TEST(test_page), TEST(test_bad_pages))
