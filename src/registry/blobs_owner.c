// SPDX-License-Identifier: Apache-2.0
//
// Whose prefix of a bucket it is. A collection removes what its own rows do not name, so that two
// registries in one prefix would take each other's blobs. Each registry has an id in its rows; the
// first that writes to a prefix leaves its id there, and whoever finds another's writes and removes
// nothing. Reading is free. Servers that share the rows share the id, and so does a restored copy.
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "registry/registry_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { ID_BYTES = 16, ID_SIZE = 2 * ID_BYTES };

static const char *const steps[] = {"CREATE TABLE blob_owner(id {text} NOT NULL){table};"};
static const tp_store_schema schema = {.part = "blobs", .steps = steps, .step_count = 1};

static tapeout_status make_id(char ret_id[ID_SIZE + 1], tapeout_error *err)
{
    uint8_t bytes[ID_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return tp_fail_errno(err, errno, "blobs: no random numbers");
    }
    tp_hex_write(bytes, sizeof(bytes), ret_id);
    return TAPEOUT_OK;
}

// The registry's own id, made where there is none.
static tapeout_status find_id(tp_store *store, void *user, tapeout_error *err)
{
    char *id = user; // [ID_SIZE + 1]
    tp_rows rows;
    id[0] = '\0';
    tp_store_query(store, &rows, "SELECT id FROM blob_owner", TP_SQL_NONE);
    if (tp_rows_next(&rows)) {
        (void)snprintf(id, ID_SIZE + 1, "%.*s", TP_STR_ARGS(tp_rows_text(&rows, 0)));
    }
    TP_TRY(tp_rows_close(&rows, err));
    if (id[0] != '\0') {
        return TAPEOUT_OK;
    }
    TP_TRY(make_id(id, err));
    return tp_store_run(store, "INSERT INTO blob_owner(id) VALUES($1)", TP_SQL(tp_sql_word(id)),
                        NULL, err);
}

// It is written only where there is none, which S3 decides: of two that come first at once, one is
// refused. Read again after that, for who was refused and for stores that ignore the condition.
static tapeout_status check_owner(tp_registry *registry, const char *id, tapeout_error *err)
{
    tp_buffer owner;
    const tp_str own = tp_str_from(id);
    tp_buffer_init(&owner, registry->alloc, TP_MAX_S3_ANSWER_BYTES);
    tapeout_status status = tp_s3_owner_read(registry->s3, &owner, err);
    if (status == TAPEOUT_OK && owner.size == 0) {
        status = tp_s3_owner_write(registry->s3, own, err);
        if (status == TAPEOUT_OK || status == TAPEOUT_E_EXISTS) {
            status = tp_s3_owner_read(registry->s3, &owner, err);
        }
    }
    if (status == TAPEOUT_OK && !tp_str_equal(tp_buffer_view(&owner), own)) {
        status = tp_fail(err, TAPEOUT_E_DENIED,
                         "blobs: %s belongs to another registry, and what one does not name it "
                         "would take from the other: give this one a prefix of its own",
                         tp_s3_place(registry->s3));
    }
    tp_buffer_deinit(&owner);
    return status;
}

tapeout_status tp_blob_claim(tp_registry *registry, tapeout_error *err)
{
    char id[ID_SIZE + 1];
    if (registry->s3 == NULL || registry->owns_blobs) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_store_migrate(registry->store, &schema, err));
    TP_TRY(tp_store_transact(registry->store, TP_STORE_ALONE, find_id, id, err));
    TP_TRY(check_owner(registry, id, err));
    registry->owns_blobs = true;
    return TAPEOUT_OK;
}
