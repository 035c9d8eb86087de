// SPDX-License-Identifier: Apache-2.0
//
// A list of idle handles under a lock. At most MAX_IDLE wait; more than that are closed when they
// come back. The operator's registry lies in the home itself, a tenant's in tenants/NAME below it.
#include "serve/serve_store.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "trust/tp_identity.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_IDLE = 16 };

struct serve_store {
    const tapeout_allocator *alloc;
    serve_store_place place;
    pthread_mutex_t lock; // a leaf, over the two below
    serve_handle *idle;
    uint32_t idle_count;
};

tapeout_status tp_serve_store_new(const tapeout_allocator *alloc, const serve_store_place *place,
                                  serve_store **ret_store, tapeout_error *err)
{
    serve_store *store = tp_alloc_zero(alloc, sizeof(*store));
    if (store == NULL) {
        return tp_fail_nomem(err);
    }
    store->alloc = alloc;
    store->place = *place;
    (void)pthread_mutex_init(&store->lock, NULL); // cannot fail with default attributes
    *ret_store = store;
    return TAPEOUT_OK;
}

static void handle_free(const tapeout_allocator *alloc, serve_handle *handle)
{
    tp_registry_close(&handle->registry);
    if (handle->tenant.data != NULL) {
        tp_free(alloc, (void *)(uintptr_t)handle->tenant.data, handle->tenant.size + 1);
    }
    tp_free(alloc, handle, sizeof(*handle));
}

void tp_serve_store_free(serve_store *store)
{
    if (store == NULL) {
        return;
    }
    for (serve_handle *handle = store->idle; handle != NULL;) {
        serve_handle *next = handle->next;
        handle_free(store->alloc, handle);
        handle = next;
    }
    (void)pthread_mutex_destroy(&store->lock);
    tp_free(store->alloc, store, sizeof(*store));
}

static tapeout_status open_registry(serve_store *store, serve_handle *handle, tapeout_error *err)
{
    char *home = handle->home;
    const bool is_operator = tp_str_equal(handle->tenant, TP_STR(TP_TENANT_OPERATOR));
    const int size = is_operator ? snprintf(home, sizeof(handle->home), "%s", store->place.home)
                                 : snprintf(home, sizeof(handle->home), "%s/tenants/%.*s",
                                            store->place.home, TP_STR_ARGS(handle->tenant));
    if (size < 0 || (size_t)size >= sizeof(handle->home)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "the path of the home directory is too long");
    }
    const tp_registry_options options = {.home = home,
                                         .store = store->place.database,
                                         .blobs = store->place.blobs,
                                         .world = is_operator ? NULL : handle->tenant.data,
                                         .mode = TP_REGISTRY_WRITE,
                                         .is_stopped = store->place.is_stopped};
    TP_TRY(tp_registry_open_with(store->alloc, &options, &handle->registry, err));
    return tp_mlflow_open(handle->registry, store->alloc, &handle->mlflow, err);
}

static tapeout_status handle_new(serve_store *store, tp_str tenant, serve_handle **ret_handle,
                                 tapeout_error *err)
{
    serve_handle *handle = tp_alloc_zero(store->alloc, sizeof(*handle));
    if (handle == NULL) {
        return tp_fail_nomem(err);
    }
    handle->tenant = (tp_str){tp_strndup(store->alloc, tenant.data, tenant.size), tenant.size};
    const tapeout_status status =
        handle->tenant.data == NULL ? tp_fail_nomem(err) : open_registry(store, handle, err);
    if (status != TAPEOUT_OK) {
        handle_free(store->alloc, handle);
        return status;
    }
    *ret_handle = handle;
    return TAPEOUT_OK;
}

tapeout_status tp_serve_store_take(serve_store *store, tp_str tenant, serve_handle **ret_handle,
                                   tapeout_error *err)
{
    serve_handle *found = NULL;
    (void)pthread_mutex_lock(&store->lock);
    for (serve_handle **place = &store->idle; *place != NULL; place = &(*place)->next) {
        if (tp_str_equal((*place)->tenant, tenant)) {
            found = *place;
            *place = found->next;
            store->idle_count--;
            break;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (found == NULL) {
        return handle_new(store, tenant, ret_handle, err);
    }
    *ret_handle = found;
    return TAPEOUT_OK;
}

void tp_serve_store_give(serve_store *store, serve_handle *handle)
{
    if (handle == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&store->lock);
    const bool is_kept = store->idle_count < MAX_IDLE;
    if (is_kept) {
        handle->next = store->idle;
        store->idle = handle;
        store->idle_count++;
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (!is_kept) {
        handle_free(store->alloc, handle);
    }
}
