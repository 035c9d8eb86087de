// SPDX-License-Identifier: Apache-2.0
//
// The identity of a table's content: SHA-256 over its columns in order, each as name, type,
// validity and values, with lengths in front of whatever has one. Independent of the files that the
// rows came from, of chunking and of threads; strings count by their text, not by their codes.
#include "pipeline/pipeline_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

// Each column is hashed by itself (in parallel); the table's hash is over the columns' hashes.
typedef struct hash_job {
    const tp_env *env;
    const tapeout_table *table;
    tp_sha256 *hashes; // [C]
} hash_job;

static size_t value_bytes(const tp_column *column)
{
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        return (size_t)((column->row_count + 7) / 8);
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_STRING:
        return (size_t)column->row_count * sizeof(int32_t);
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_FLOAT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        break;
    }
    return (size_t)column->row_count * sizeof(int64_t);
}

// Codes stand for text by the dictionary's entries, which come in order of first appearance.
static tp_sha256 hash_dictionary(const tp_column *column)
{
    if (column->type != TAPEOUT_TYPE_STRING || column->dict->count == 0) {
        return tp_sha256_of("", 0);
    }
    const tp_dict *dict = column->dict;
    const tp_sha256 parts[2] = {
        tp_sha256_of(dict->bytes, (size_t)dict->offsets[dict->count]),
        tp_sha256_of(dict->offsets, ((size_t)dict->count + 1) * sizeof(*dict->offsets))};
    return tp_sha256_of(parts, sizeof(parts));
}

static tapeout_status hash_column(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)worker;
    const hash_job *job = user;
    const tp_column *column = &job->table->columns[index];
    const size_t validity_bytes =
        column->validity == NULL ? 0 : (size_t)((column->row_count + 7) / 8);
    struct {
        tp_sha256 name;
        tp_sha256 validity;
        tp_sha256 dictionary;
        tp_sha256 values;
        uint64_t row_count;
        uint64_t type;
    } parts;
    memset(&parts, 0, sizeof(parts));
    parts.name = tp_sha256_of(column->name.data, column->name.size);
    parts.validity = tp_sha256_of(column->validity, validity_bytes);
    parts.dictionary = hash_dictionary(column);
    parts.values = tp_sha256_of(column->values.data, value_bytes(column));
    parts.row_count = column->row_count;
    parts.type = (uint64_t)column->type;
    job->hashes[index] = tp_sha256_of(&parts, sizeof(parts));
    return tp_env_check(job->env, err);
}

tapeout_status tp_pipeline_table_hash(const tp_env *env, const tapeout_table *table,
                                      tp_sha256 *ret_hash, tapeout_error *err)
{
    hash_job job = {.env = env, .table = table};
    job.hashes = tp_alloc_array(env->alloc, table->column_count, sizeof(*job.hashes));
    if (job.hashes == NULL && table->column_count > 0) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status =
        tp_pool_for(env->pool, table->column_count, hash_column, &job, err);
    *ret_hash = tp_sha256_of(job.hashes, table->column_count * sizeof(*job.hashes));
    tp_free_array(env->alloc, job.hashes, table->column_count, sizeof(*job.hashes));
    return status;
}
