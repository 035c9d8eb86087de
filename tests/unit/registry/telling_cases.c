// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the tests of tellings; see telling_cases.h.
#include "telling_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "test.h"

#include <string.h>
#include <tapeout/audit.h>

char telling_home[4200];

tapeout_status telling_try_open(telling_place *it, tapeout_error *err)
{
    TP_TRY(cases_try_open(telling_home, TP_REGISTRY_WRITE, &it->registry, err));
    ASSERT_OK(tp_audit_open(tp_allocator_default(), telling_home, &it->audit, &test_err));
    const tp_teller teller = {.audit = it->audit, .who = TP_STR("tester")};
    tp_registry_teller_set(it->registry, &teller);
    return TAPEOUT_OK;
}

telling_place telling_open(void)
{
    telling_place it = {.registry = NULL};
    ASSERT_OK(telling_try_open(&it, &test_err));
    return it;
}

void telling_close(telling_place *it)
{
    tp_registry_close(&it->registry);
    tp_audit_close(&it->audit);
}

tapeout_status telling_register(const telling_place *it, const char *text, tapeout_error *err)
{
    tapeout_model_ref ref;
    const tapeout_registration what =
        cases_registration("m", cases_file(test_temp_dir(), "bundle", text));
    return tp_registry_register(it->registry, &what, &ref, err);
}

static void take_back(telling_entries *all, tp_str deed)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (!tp_str_equal(tp_str_from(all->items[i].deed), deed)) {
            all->items[kept++] = all->items[i];
        }
    }
    all->taken_back += all->count - kept;
    all->count = kept;
}

static tapeout_status note_entry(void *user, const char *line, size_t size, tapeout_error *err)
{
    telling_entries *all = user;
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(tp_allocator_default(), (tp_str){line, size}, "entry", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *what = yyjson_obj_get(root, "what");
    const tp_str kind = tp_json_get_str(root, "kind");
    const tp_str deed = tp_json_get_str(what, "deed");
    ASSERT(deed.size > 0 && deed.size < DEED_SIZE);
    if (tp_str_equal(kind, TP_STR("change.not_done"))) {
        take_back(all, deed);
    } else {
        ASSERT(all->count < ENTRIES_MAX);
        telling_entry *it = &all->items[all->count++];
        const tp_str bundle = tp_json_get_str(what, "bundle");
        const tp_str version = tp_json_get_str(what, "version");
        *it = (telling_entry){.version = 0};
        memcpy(it->deed, deed.data, deed.size);
        memcpy(it->kind, kind.data, kind.size);
        if (bundle.size > 0) { // a removal has none
            memcpy(it->bundle, bundle.data, bundle.size);
        }
        ASSERT(version.size == 0 || tp_str_to_uint64(version, &it->version));
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

tapeout_context *telling_context(void)
{
    tapeout_context_options options;
    tapeout_context *context = NULL;
    tapeout_context_options_init(&options);
    options.home = telling_home;
    options.thread_count = 1;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    return context;
}

void telling_list(tapeout_write_fn visit, void *user)
{
    tapeout_audit_list_options list;
    tapeout_context *context = telling_context();
    tapeout_audit_list_options_init(&list);
    ASSERT_OK(tapeout_audit_list(context, &list, visit, user, &test_err));
    tapeout_context_free(context);
}

void telling_read(telling_entries *ret_all)
{
    ret_all->count = 0;
    ret_all->taken_back = 0;
    telling_list(note_entry, ret_all);
}
