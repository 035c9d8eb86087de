// SPDX-License-Identifier: Apache-2.0
//
// Listing, page by page. A page is read whole before its objects are visited, since the visitor may
// use the same connection. A key counts as a blob only where it is spelled as tp_s3_key spells it.
#include "registry/s3_list.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/s3_priv.h"
#include "registry/s3_xml.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

// -- a page --------------------------------------------------------------------------------------
typedef struct paging {
    tp_str root;
    s3_page *page;
    s3_object object; // that is being read
    bool has_time;
    bool has_more;
    bool is_list;
} paging;

static bool number_at(tp_str text, size_t at, size_t size, int *ret_number)
{
    uint64_t number = 0;
    for (size_t i = at; i < at + size && i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false; // nor a sign
        }
    }
    if (at + size > text.size || !tp_str_to_uint64((tp_str){text.data + at, size}, &number)) {
        return false;
    }
    *ret_number = (int)number;
    return true;
}

// "2026-11-25T19:32:02.000Z" as seconds since 1970.
static bool read_time(tp_str text, int64_t *ret_s)
{
    struct tm parts = {0};
    if (text.size < 20 || text.data[4] != '-' || text.data[7] != '-' || text.data[10] != 'T' ||
        text.data[13] != ':' || text.data[16] != ':' || text.data[text.size - 1] != 'Z' ||
        !number_at(text, 0, 4, &parts.tm_year) || !number_at(text, 5, 2, &parts.tm_mon) ||
        !number_at(text, 8, 2, &parts.tm_mday) || !number_at(text, 11, 2, &parts.tm_hour) ||
        !number_at(text, 14, 2, &parts.tm_min) || !number_at(text, 17, 2, &parts.tm_sec)) {
        return false;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *ret_s = (int64_t)timegm(&parts);
    return true;
}

// The hash of "ROOTsha256/ab/cdef…"; empty where the key is no blob's.
static void read_key(paging *it, tp_str key)
{
    static const char folder[] = "sha256/";
    const size_t begin = it->root.size + sizeof(folder) - 1;
    it->object.hex[0] = '\0';
    if (key.size != begin + TP_SHA256_HEX_SIZE + 1 || !tp_str_has_prefix(key, it->root) ||
        memcmp(key.data + it->root.size, folder, sizeof(folder) - 1) != 0 ||
        key.data[begin + 2] != '/') {
        return;
    }
    char hex[TP_SHA256_HEX_SIZE];
    memcpy(hex, key.data + begin, 2);
    memcpy(hex + 2, key.data + begin + 3, TP_SHA256_HEX_SIZE - 2);
    for (size_t i = 0; i < sizeof(hex); i++) {
        if (!((hex[i] >= '0' && hex[i] <= '9') || (hex[i] >= 'a' && hex[i] <= 'f'))) {
            return;
        }
    }
    memcpy(it->object.hex, hex, sizeof(hex));
    it->object.hex[sizeof(hex)] = '\0';
}

static tapeout_status end_object(paging *it, tapeout_error *err)
{
    if (it->object.hex[0] != '\0' && !it->has_time) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "S3's answer: an object without a time");
    }
    if (it->object.hex[0] != '\0') {
        tp_buffer_append(&it->page->objects, &it->object, sizeof(it->object));
    }
    it->object = (s3_object){.size = 0};
    it->has_time = false;
    return tp_buffer_check(&it->page->objects, "S3's answer", err);
}

static tapeout_status take_element(void *user, const s3_xml_element *element, tapeout_error *err)
{
    paging *it = user;
    const tp_str name = element->name;
    if (element->depth == 0) {
        it->is_list = tp_str_equal(name, TP_STR("ListBucketResult"));
    } else if (element->depth == 1 && tp_str_equal(name, TP_STR("Contents"))) {
        return end_object(it, err);
    } else if (element->depth == 1 && tp_str_equal(name, TP_STR("IsTruncated"))) {
        it->has_more = tp_str_equal(element->text, TP_STR("true"));
    } else if (element->depth == 1 && tp_str_equal(name, TP_STR("NextContinuationToken"))) {
        tp_buffer_clear(&it->page->next);
        tp_buffer_append_str(&it->page->next, element->text);
        return tp_buffer_check(&it->page->next, "S3's answer", err);
    } else if (element->depth == 2 && tp_str_equal(element->parent, TP_STR("Contents"))) {
        if (tp_str_equal(name, TP_STR("Key"))) {
            read_key(it, element->text);
        } else if (tp_str_equal(name, TP_STR("LastModified"))) {
            it->has_time = read_time(element->text, &it->object.modified_s);
        } else if (tp_str_equal(name, TP_STR("Size"))) {
            (void)tp_str_to_uint64(element->text, &it->object.size); // for the count alone
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_s3_page_read(const tapeout_allocator *alloc, tp_str document, tp_str root,
                               s3_page *page, tapeout_error *err)
{
    paging it = {.root = root, .page = page};
    tp_buffer_clear(&page->objects);
    tp_buffer_clear(&page->next);
    TP_TRY(tp_s3_xml_read(alloc, document, take_element, &it, err));
    if (!it.is_list || it.has_more != (page->next.size > 0)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "S3's answer: %s",
                       it.is_list ? "a list that goes on and does not say where, or the reverse"
                                  : "no list of objects");
    }
    return TAPEOUT_OK;
}

// -- all pages -----------------------------------------------------------------------------------
static tapeout_status ask_page(tp_s3 *s3, tp_str prefix, s3_page *page, tapeout_error *err)
{
    tp_buffer query;
    tp_buffer_init(&query, s3->alloc, TP_MAX_URL_BYTES / 2);
    if (page->next.size > 0) {
        tp_s3_query_add(&query, "continuation-token", tp_buffer_view(&page->next));
    }
    tp_s3_query_add(&query, "list-type", TP_STR("2"));
    tp_s3_query_add(&query, "prefix", prefix);
    tapeout_status status = tp_buffer_check(&query, "blobs: query", err);
    if (status == TAPEOUT_OK) {
        const s3_request request = {.method = "GET", .query = tp_buffer_view(&query)};
        status = tp_s3_ask(s3, &request, err);
    }
    tp_buffer_deinit(&query);
    TP_TRY(status);
    return tp_s3_page_read(s3->alloc, tp_buffer_view(&s3->answer.body), tp_str_from(s3->root), page,
                           err);
}

static tapeout_status visit_page(const s3_page *page, s3_visit *visit, void *user,
                                 tapeout_error *err)
{
    for (size_t at = 0; at < page->objects.size; at += sizeof(s3_object)) {
        s3_object object;
        memcpy(&object, page->objects.data + at, sizeof(object));
        TP_TRY(visit(user, &object, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_s3_list(tp_s3 *s3, s3_visit *visit, void *user, tapeout_error *err)
{
    char prefix[TP_MAX_S3_KEY_BYTES];
    s3_page page;
    const int size = snprintf(prefix, sizeof(prefix), "%.512ssha256/", s3->root);
    tp_buffer_init(&page.objects, s3->alloc, TP_MAX_S3_ANSWER_BYTES);
    tp_buffer_init(&page.next, s3->alloc, TP_MAX_URL_BYTES / 4);
    tapeout_status status = TAPEOUT_OK;
    for (unsigned i = 0; status == TAPEOUT_OK && (i == 0 || page.next.size > 0); i++) {
        status = i < TP_MAX_S3_PAGES
                     ? ask_page(s3, (tp_str){prefix, (size_t)size}, &page, err)
                     : tp_fail(err, TAPEOUT_E_LIMIT, "blobs: %s: a list without an end", s3->place);
        if (status == TAPEOUT_OK) {
            status = visit_page(&page, visit, user, err);
        }
    }
    tp_buffer_deinit(&page.objects);
    tp_buffer_deinit(&page.next);
    return status;
}
