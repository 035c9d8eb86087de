// SPDX-License-Identifier: Apache-2.0
//
// Opening a bundle: map, check the header, parse the manifest and render it again, check that the
// sections tile the file, then hash every chunk, in parallel. Nothing is handed out before all of
// it has passed. The file stays open, so the bytes checked are the bytes used, whatever happens to
// the name on disk; and a bundle that is not large is read into memory of the process first, so
// that they stay what they were even where the file's owner writes into it.
#include "bundle/bundle_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "table/tp_json.h"

#include <string.h>

struct tp_bundle {
    const tapeout_allocator *alloc;
    tp_map map;
    tp_arena arena; // layout and names
    bundle_layout layout;
    tp_str manifest;
};

static tapeout_status damaged(tapeout_error *err, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "bundle: %s; the file is damaged or not a bundle", what);
}

static tapeout_status read_header(tp_bundle *bundle, tapeout_error *err)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, bundle->map.data, bundle->map.size);
    const tp_str magic = tp_cursor_bytes(&cursor, sizeof(tp_bundle_magic));
    const uint32_t version = tp_cursor_u32(&cursor);
    const uint32_t header_size = tp_cursor_u32(&cursor);
    const uint64_t manifest_offset = tp_cursor_u64(&cursor);
    const uint64_t manifest_size = tp_cursor_u64(&cursor);
    if (cursor.failed || bundle->map.size < BUNDLE_HEADER_SIZE ||
        memcmp(magic.data, tp_bundle_magic, sizeof(tp_bundle_magic)) != 0) {
        return damaged(err, "it does not begin as a bundle does");
    }
    if (version != BUNDLE_VERSION || header_size != BUNDLE_HEADER_SIZE) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "bundle: format version %u is not known to this tapeout (it reads %d)",
                       version, BUNDLE_VERSION);
    }
    if (manifest_size > TP_MAX_BUNDLE_MANIFEST_BYTES || !tp_cursor_seek(&cursor, manifest_offset)) {
        return damaged(err, "the header points outside the file");
    }
    const tp_str manifest = tp_cursor_bytes(&cursor, (size_t)manifest_size);
    if (cursor.failed || tp_cursor_left(&cursor) != 0) {
        return damaged(err, "the manifest does not end where the file ends");
    }
    // Rendering the header again covers every byte of it, the manifest's hash included.
    uint8_t header[BUNDLE_HEADER_SIZE];
    tp_bundle_header_write(manifest, manifest_offset, header);
    if (memcmp(header, bundle->map.data, sizeof(header)) != 0) {
        return damaged(err, "header and manifest disagree");
    }
    bundle->manifest = manifest;
    bundle->layout.manifest_offset = manifest_offset;
    return TAPEOUT_OK;
}

static bool parse_hash(tp_str text, tp_sha256 *ret_hash)
{
    return text.size == TP_SHA256_HEX_SIZE &&
           tp_hex_read(text.data, ret_hash->bytes, sizeof(ret_hash->bytes));
}

static tapeout_status read_entry(tp_bundle *bundle, yyjson_val *value, bundle_entry *entry,
                                 tapeout_error *err)
{
    yyjson_val *chunks = yyjson_obj_get(value, "chunks");
    entry->name = tp_arena_str(&bundle->arena, tp_json_get_str(value, "name"));
    entry->align = (uint32_t)yyjson_get_uint(yyjson_obj_get(value, "align"));
    entry->offset = yyjson_get_uint(yyjson_obj_get(value, "offset"));
    entry->size = yyjson_get_uint(yyjson_obj_get(value, "size"));
    entry->chunk_count = yyjson_arr_size(chunks);
    tp_sha256 *hashes = tp_arena_array(&bundle->arena, entry->chunk_count, sizeof(*hashes));
    if (hashes == NULL || entry->name.data == NULL) {
        return tp_fail_nomem(err);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(chunks);
    for (uint64_t i = 0; i < entry->chunk_count; i++) {
        if (!parse_hash(tp_json_str(yyjson_arr_iter_next(&iter)), &hashes[i])) {
            return damaged(err, "a chunk's hash is not 64 hexadecimal digits");
        }
    }
    entry->chunks = hashes;
    return TAPEOUT_OK;
}

// The sections must tile the file between header and manifest as the writer lays them, in order.
static tapeout_status check_tiling(tp_bundle *bundle, tapeout_error *err)
{
    uint64_t end = BUNDLE_HEADER_SIZE;
    bundle_layout *layout = &bundle->layout;
    for (size_t i = 0; i < layout->entry_count; i++) {
        bundle_entry *entry = &layout->entries[i];
        const uint32_t align = entry->align;
        const bool last = i + 1 == layout->entry_count;
        const uint64_t next = last ? layout->manifest_offset : layout->entries[i + 1].offset;
        if (!tp_bundle_section_name_ok(entry->name) || align < BUNDLE_MIN_ALIGN ||
            align > BUNDLE_MAX_ALIGN || (align & (align - 1)) != 0 ||
            entry->offset != bundle_align_up(end, align) || next < entry->offset ||
            next > layout->manifest_offset || entry->size > next - entry->offset) {
            return damaged(err, "sections do not follow one another");
        }
        entry->extent = next - entry->offset;
        if (entry->chunk_count != bundle_chunk_count(entry->extent)) {
            return damaged(err, "a section has the wrong number of hashes");
        }
        end = entry->offset + entry->size;
    }
    if (bundle_align_up(end, BUNDLE_MIN_ALIGN) != layout->manifest_offset) {
        return damaged(err, "bytes lie between the last section and the manifest");
    }
    return TAPEOUT_OK;
}

static tapeout_status read_layout(tp_bundle *bundle, yyjson_val *root, tapeout_error *err)
{
    bundle_layout *layout = &bundle->layout;
    yyjson_val *sections = yyjson_obj_get(root, "sections");
    layout->entry_count = yyjson_arr_size(sections);
    if (layout->entry_count == 0 || layout->entry_count > TP_MAX_BUNDLE_SECTIONS) {
        return damaged(err, "no sections, or too many");
    }
    layout->kind = tp_arena_str(&bundle->arena, tp_json_get_str(root, "kind"));
    layout->name = tp_arena_str(&bundle->arena, tp_json_get_str(root, "name"));
    layout->entries = tp_arena_array(&bundle->arena, layout->entry_count, sizeof(bundle_entry));
    if (layout->kind.data == NULL || layout->name.data == NULL || layout->entries == NULL) {
        return tp_fail_nomem(err);
    }
    if (!tp_bundle_section_name_ok(layout->kind) || !tp_model_name_is_valid(layout->name)) {
        return damaged(err, "kind or name has characters that are not allowed");
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(sections);
    for (size_t i = 0; i < layout->entry_count; i++) {
        TP_TRY(read_entry(bundle, yyjson_arr_iter_next(&iter), &layout->entries[i], err));
        for (size_t j = 0; j < i; j++) {
            if (tp_str_equal(layout->entries[i].name, layout->entries[j].name)) {
                return damaged(err, "two sections have one name");
            }
        }
    }
    return check_tiling(bundle, err);
}

static tapeout_status check_canonical(tp_bundle *bundle, tapeout_error *err)
{
    tp_buffer again;
    tp_buffer_init(&again, bundle->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    tp_bundle_manifest_write(&bundle->layout, &again);
    tapeout_status status = tp_buffer_check(&again, "bundle manifest", err);
    if (status == TAPEOUT_OK && !tp_str_equal(tp_buffer_view(&again), bundle->manifest)) {
        status = damaged(err, "the manifest is not in canonical form");
    }
    tp_buffer_deinit(&again);
    return status;
}

static tapeout_status read_manifest(tp_bundle *bundle, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(bundle->alloc, bundle->manifest, "bundle manifest", &doc, err));
    const tapeout_status status = read_layout(bundle, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    TP_TRY(status);
    return check_canonical(bundle, err);
}

static tapeout_status check_zeros(const tp_bundle *bundle, uint64_t begin, uint64_t end,
                                  tapeout_error *err)
{
    for (uint64_t i = begin; i < end; i++) {
        if (bundle->map.data[i] != 0) {
            return damaged(err, "padding is not zero");
        }
    }
    return TAPEOUT_OK;
}

typedef struct hash_job {
    const tp_bundle *bundle;
    const bundle_entry *entry;
} hash_job;

static tapeout_status check_chunk(void *user, size_t chunk, size_t worker, tapeout_error *err)
{
    (void)worker;
    const hash_job *job = user;
    const bundle_entry *entry = job->entry;
    const uint64_t begin = (uint64_t)chunk * BUNDLE_CHUNK_SIZE;
    const uint64_t left = entry->extent - begin;
    const tp_sha256 hash =
        tp_sha256_of(job->bundle->map.data + entry->offset + begin,
                     left < BUNDLE_CHUNK_SIZE ? (size_t)left : (size_t)BUNDLE_CHUNK_SIZE);
    if (memcmp(hash.bytes, entry->chunks[chunk].bytes, TP_SHA256_SIZE) != 0) {
        return tp_fail_at(
            err, TAPEOUT_E_CORRUPT, entry->offset + begin,
            "bundle: section \"%.*s\" is damaged: the MiB from byte %llu does not have "
            "the hash that the manifest names",
            TP_STR_ARGS(entry->name), (unsigned long long)(entry->offset + begin));
    }
    return TAPEOUT_OK;
}

static tapeout_status check_sections(const tp_env *env, const tp_bundle *bundle, tapeout_error *err)
{
    // Padding is hashed with its section, but for what lies between the header and the first one.
    TP_TRY(check_zeros(bundle, BUNDLE_HEADER_SIZE, bundle->layout.entries[0].offset, err));
    for (size_t i = 0; i < bundle->layout.entry_count; i++) {
        hash_job job = {bundle, &bundle->layout.entries[i]};
        const bundle_entry *entry = job.entry;
        TP_TRY(
            check_zeros(bundle, entry->offset + entry->size, entry->offset + entry->extent, err));
        TP_TRY(tp_pool_for(env->pool, job.entry->chunk_count, check_chunk, &job, err));
    }
    return TAPEOUT_OK;
}

// All but the chunks. On failure nothing is left. What is going to be used is taken into memory of
// this process where that costs little.
static tapeout_status open_manifest(const tp_env *env, const char *path, bool is_for_use,
                                    tp_bundle **ret_bundle, tapeout_error *err)
{
    tp_bundle *bundle = tp_alloc_zero(env->alloc, sizeof(*bundle));
    if (bundle == NULL) {
        return tp_fail_nomem(err);
    }
    bundle->alloc = env->alloc;
    bundle->map.fd = -1;
    tp_arena_init(&bundle->arena, env->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    tapeout_status status = tp_map_open(path, &bundle->map, err);
    if (status == TAPEOUT_OK && is_for_use && bundle->map.size <= TP_MAX_BUNDLE_TAKEN_BYTES) {
        status = tp_map_take(&bundle->map, err);
    }
    if (status == TAPEOUT_OK) {
        status = read_header(bundle, err);
    }
    if (status == TAPEOUT_OK) {
        status = read_manifest(bundle, err);
    }
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&bundle);
        tp_error_prefix(err, "%s", path);
        return status;
    }
    *ret_bundle = bundle;
    return TAPEOUT_OK;
}

tapeout_status tp_bundle_open(const tp_env *env, const char *path, tp_bundle **ret_bundle,
                              tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    TP_TRY(open_manifest(env, path, true, &bundle, err));
    const tapeout_status status = check_sections(env, bundle, err);
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&bundle);
        tp_error_prefix(err, "%s", path);
        return status;
    }
    *ret_bundle = bundle;
    return TAPEOUT_OK;
}

bool tp_bundle_is_kind(const char *path, tp_str kind)
{
    const tp_env env = tp_env_plain();
    tp_bundle *bundle = NULL;
    if (!tp_bundle_probe(path) || open_manifest(&env, path, false, &bundle, NULL) != TAPEOUT_OK) {
        return false;
    }
    const bool is_kind = tp_str_equal(bundle->layout.kind, kind);
    tp_bundle_close(&bundle);
    return is_kind;
}

void tp_bundle_close(tp_bundle **bundle)
{
    if (*bundle == NULL) {
        return;
    }
    tp_map_close(&(*bundle)->map);
    tp_arena_deinit(&(*bundle)->arena);
    tp_free((*bundle)->alloc, *bundle, sizeof(**bundle));
    *bundle = NULL;
}

tp_str tp_bundle_kind(const tp_bundle *bundle)
{
    return bundle->layout.kind;
}

tp_str tp_bundle_name(const tp_bundle *bundle)
{
    return bundle->layout.name;
}

tp_str tp_bundle_manifest(const tp_bundle *bundle)
{
    return bundle->manifest;
}

tp_sha256 tp_bundle_hash(const tp_bundle *bundle)
{
    return tp_sha256_of(bundle->map.data, bundle->map.size);
}

tp_str tp_bundle_section_find(const tp_bundle *bundle, tp_str name)
{
    for (size_t i = 0; i < bundle->layout.entry_count; i++) {
        const bundle_entry *entry = &bundle->layout.entries[i];
        if (tp_str_equal(entry->name, name)) {
            return (tp_str){(const char *)bundle->map.data + entry->offset, (size_t)entry->size};
        }
    }
    return (tp_str){NULL, 0};
}

bool tp_bundle_probe(const char *path)
{
    tp_map map;
    if (tp_map_open(path, &map, NULL) != TAPEOUT_OK) {
        return false;
    }
    const bool is_bundle = map.size >= BUNDLE_HEADER_SIZE &&
                           memcmp(map.data, tp_bundle_magic, sizeof(tp_bundle_magic)) == 0;
    tp_map_close(&map);
    return is_bundle;
}
