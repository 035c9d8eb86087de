// SPDX-License-Identifier: Apache-2.0
//
// Writing a bundle: sections one after another at aligned places, zeros between them, the manifest
// last, the header patched in when everything is known, then sync, rename and sync of the
// directory. There is no clock, no path and no machine in it: the same content gives the same
// bytes.
#include "bundle/bundle_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_error.h"

#include <string.h>

static tapeout_status check_content(const tp_bundle_content *content, tapeout_error *err)
{
    if (!tp_model_name_is_valid(content->name)) {
        return tp_fail(
            err, TAPEOUT_E_INVALID,
            "bundle: name \"%.*s\" must match [A-Za-z0-9][A-Za-z0-9._-]* and have at most "
            "%u bytes",
            TP_STR_ARGS(content->name), TP_MAX_MODEL_NAME_BYTES);
    }
    if (!tp_bundle_section_name_ok(content->kind) || content->section_count == 0 ||
        content->section_count > TP_MAX_BUNDLE_SECTIONS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "bundle: 1 to %u sections and a kind are needed",
                       TP_MAX_BUNDLE_SECTIONS);
    }
    for (size_t i = 0; i < content->section_count; i++) {
        const tp_bundle_section *section = &content->sections[i];
        const uint32_t align = section->align;
        if (!tp_bundle_section_name_ok(section->name) || align < BUNDLE_MIN_ALIGN ||
            align > BUNDLE_MAX_ALIGN || (align & (align - 1)) != 0) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "bundle: section %zu has a bad name or alignment", i);
        }
        for (size_t j = 0; j < i; j++) {
            if (tp_str_equal(content->sections[j].name, section->name)) {
                return tp_fail(err, TAPEOUT_E_INVALID, "bundle: section \"%.*s\" stands twice",
                               TP_STR_ARGS(section->name));
            }
        }
    }
    return TAPEOUT_OK;
}

static void place_sections(const tp_bundle_content *content, bundle_layout *layout)
{
    uint64_t offset = BUNDLE_HEADER_SIZE;
    for (size_t i = 0; i < content->section_count; i++) {
        bundle_entry *entry = &layout->entries[i];
        const tp_bundle_section *section = &content->sections[i];
        offset = bundle_align_up(offset, section->align);
        *entry = (bundle_entry){.name = section->name,
                                .offset = offset,
                                .size = section->data.size,
                                .align = section->align};
        offset += section->data.size;
    }
    layout->manifest_offset = bundle_align_up(offset, BUNDLE_MIN_ALIGN);
    for (size_t i = 0; i < layout->entry_count; i++) {
        const uint64_t end =
            i + 1 < layout->entry_count ? layout->entries[i + 1].offset : layout->manifest_offset;
        layout->entries[i].extent = end - layout->entries[i].offset;
        layout->entries[i].chunk_count = bundle_chunk_count(layout->entries[i].extent);
    }
}

typedef struct write_job {
    const tp_bundle_content *content;
    tp_bundle_fill_fn fill;
    void *fill_user;
    bundle_layout layout;
    tp_arena arena;
    tp_writer *writer;
    char *chunk; // [BUNDLE_CHUNK_SIZE] of the section that is being written
} write_job;

struct tp_bundle_stream {
    write_job *job;
    const bundle_entry *entry;
    tp_sha256 *hashes; // [entry->chunk_count]
    uint64_t written;  // bytes of the section, those in the chunk too
    size_t filled;     // of the chunk
    uint64_t chunk;    // number of the chunk
};

// Hashes and writes a whole chunk, or the last one.
static tapeout_status put_chunk(tp_bundle_stream *stream, const char *data, size_t size,
                                tapeout_error *err)
{
    stream->hashes[stream->chunk++] = tp_sha256_of(data, size);
    return tp_writer_write(stream->job->writer, data, size, err);
}

static tapeout_status put_bytes(tp_bundle_stream *stream, const char *data, uint64_t size,
                                tapeout_error *err)
{
    while (size > 0) {
        if (stream->filled == 0 && size >= BUNDLE_CHUNK_SIZE) {
            TP_TRY(put_chunk(stream, data, BUNDLE_CHUNK_SIZE, err));
            data += BUNDLE_CHUNK_SIZE;
            size -= BUNDLE_CHUNK_SIZE;
            continue;
        }
        const size_t room = BUNDLE_CHUNK_SIZE - stream->filled;
        const size_t part = size < room ? (size_t)size : room;
        memcpy(stream->job->chunk + stream->filled, data, part);
        stream->filled += part;
        data += part;
        size -= part;
        if (stream->filled == BUNDLE_CHUNK_SIZE) {
            TP_TRY(put_chunk(stream, stream->job->chunk, BUNDLE_CHUNK_SIZE, err));
            stream->filled = 0;
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_bundle_stream_write(tp_bundle_stream *stream, const void *data, size_t size,
                                      tapeout_error *err)
{
    if (size > stream->entry->size - stream->written) {
        return tp_fail(err, TAPEOUT_E_INTERNAL,
                       "bundle: section \"%.*s\" was announced with %llu bytes and gets more",
                       TP_STR_ARGS(stream->entry->name), (unsigned long long)stream->entry->size);
    }
    stream->written += size;
    return put_bytes(stream, data, size, err);
}

static tapeout_status write_section(write_job *job, size_t index, tp_bundle_stream *stream,
                                    tapeout_error *err)
{
    static const char zeros[BUNDLE_MAX_ALIGN];
    const bundle_entry *entry = stream->entry;
    const tp_str data = job->content->sections[index].data;
    if (data.data != NULL || data.size == 0) {
        TP_TRY(tp_bundle_stream_write(stream, data.data, data.size, err));
    } else if (job->fill != NULL) {
        TP_TRY(job->fill(job->fill_user, index, stream, err));
    }
    if (stream->written != entry->size) {
        return tp_fail(err, TAPEOUT_E_INTERNAL,
                       "bundle: section \"%.*s\" was announced with %llu bytes and got %llu",
                       TP_STR_ARGS(entry->name), (unsigned long long)entry->size,
                       (unsigned long long)stream->written);
    }
    // The padding behind a section is hashed with it; it is less than an alignment.
    TP_TRY(put_bytes(stream, zeros, entry->extent - entry->size, err));
    return stream->filled > 0 ? put_chunk(stream, job->chunk, stream->filled, err) : TAPEOUT_OK;
}

static tapeout_status write_sections(write_job *job, tapeout_error *err)
{
    static const char zeros[BUNDLE_MAX_ALIGN];
    const uint64_t gap = job->layout.entries[0].offset - tp_writer_position(job->writer);
    TP_TRY(tp_writer_write(job->writer, zeros, (size_t)gap, err));
    for (size_t i = 0; i < job->layout.entry_count; i++) {
        bundle_entry *entry = &job->layout.entries[i];
        tp_bundle_stream stream = {.job = job, .entry = entry};
        stream.hashes =
            tp_arena_array(&job->arena, (size_t)entry->chunk_count, sizeof(*stream.hashes));
        if (stream.hashes == NULL) {
            return tp_fail_nomem(err);
        }
        TP_TRY(write_section(job, i, &stream, err));
        entry->chunks = stream.hashes;
    }
    return TAPEOUT_OK;
}

static tapeout_status write_file(write_job *job, tp_buffer *manifest, tapeout_error *err)
{
    uint8_t header[BUNDLE_HEADER_SIZE] = {0};
    TP_TRY(tp_writer_write(job->writer, header, sizeof(header), err));
    TP_TRY(write_sections(job, err));
    tp_bundle_manifest_write(&job->layout, manifest);
    TP_TRY(tp_buffer_check(manifest, "bundle manifest", err));
    TP_TRY(tp_writer_write(job->writer, manifest->data, manifest->size, err));
    tp_bundle_header_write(tp_buffer_view(manifest), job->layout.manifest_offset, header);
    TP_TRY(tp_writer_patch(job->writer, 0, header, sizeof(header), err));
    return tp_writer_commit(&job->writer, err);
}

tapeout_status tp_bundle_write_filled(const tp_env *env, const char *path,
                                      const tp_bundle_content *content, tp_bundle_fill_fn fill,
                                      void *user, tp_sha256 *ret_hash, tapeout_error *err)
{
    TP_TRY(check_content(content, err));
    write_job job = {.content = content,
                     .fill = fill,
                     .fill_user = user,
                     .layout = {.kind = content->kind,
                                .name = content->name,
                                .entry_count = content->section_count}};
    tp_buffer manifest;
    tp_buffer_init(&manifest, env->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    tp_arena_init(&job.arena, env->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    job.layout.entries =
        tp_arena_array(&job.arena, content->section_count, sizeof(*job.layout.entries));
    job.chunk = tp_alloc(env->alloc, BUNDLE_CHUNK_SIZE);
    tapeout_status status = TAPEOUT_OK;
    if (job.layout.entries == NULL || job.chunk == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        place_sections(content, &job.layout);
        status = tp_writer_open(env->alloc, path, &job.writer, err);
    }
    if (status == TAPEOUT_OK) {
        status = write_file(&job, &manifest, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_sha256_file(path, ret_hash, err);
    }
    tp_writer_abort(&job.writer);
    tp_free(env->alloc, job.chunk, BUNDLE_CHUNK_SIZE);
    tp_arena_deinit(&job.arena);
    tp_buffer_deinit(&manifest);
    return status;
}

tapeout_status tp_bundle_write(const tp_env *env, const char *path,
                               const tp_bundle_content *content, tp_sha256 *ret_hash,
                               tapeout_error *err)
{
    return tp_bundle_write_filled(env, path, content, NULL, NULL, ret_hash, err);
}
