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

// One chunk of a section as it stands in the file; `scratch` holds the last one with its padding.
static tp_str chunk_bytes(const bundle_entry *entry, tp_str data, uint64_t chunk, char *scratch)
{
    const uint64_t begin = chunk * BUNDLE_CHUNK_SIZE;
    const uint64_t left = entry->extent - begin;
    const size_t size = left < BUNDLE_CHUNK_SIZE ? (size_t)left : BUNDLE_CHUNK_SIZE;
    if (begin + size <= data.size) {
        return (tp_str){data.data + begin, size};
    }
    const size_t filled = begin < data.size ? data.size - (size_t)begin : 0;
    if (filled > 0) {
        memcpy(scratch, data.data + begin, filled);
    }
    memset(scratch + filled, 0, size - filled);
    return (tp_str){scratch, size};
}

typedef struct write_job {
    const tp_bundle_content *content;
    bundle_layout layout;
    tp_arena arena;
    char *scratch; // [BUNDLE_CHUNK_SIZE]
    tp_writer *writer;
} write_job;

static tapeout_status write_sections(write_job *job, tapeout_error *err)
{
    static const char zeros[BUNDLE_MAX_ALIGN];
    for (size_t i = 0; i < job->layout.entry_count; i++) {
        bundle_entry *entry = &job->layout.entries[i];
        tp_sha256 *chunks = tp_arena_array(&job->arena, entry->chunk_count, sizeof(*chunks));
        if (chunks == NULL) {
            return tp_fail_nomem(err);
        }
        const uint64_t gap = entry->offset - tp_writer_position(job->writer);
        TP_TRY(tp_writer_write(job->writer, zeros, (size_t)gap, err));
        for (uint64_t c = 0; c < entry->chunk_count; c++) {
            const tp_str bytes =
                chunk_bytes(entry, job->content->sections[i].data, c, job->scratch);
            chunks[c] = tp_sha256_of(bytes.data, bytes.size);
            TP_TRY(tp_writer_write(job->writer, bytes.data, bytes.size, err));
        }
        entry->chunks = chunks;
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

tapeout_status tp_bundle_write(const tp_env *env, const char *path,
                               const tp_bundle_content *content, tp_sha256 *ret_hash,
                               tapeout_error *err)
{
    TP_TRY(check_content(content, err));
    write_job job = {.content = content,
                     .layout = {.kind = content->kind,
                                .name = content->name,
                                .entry_count = content->section_count}};
    tp_buffer manifest;
    tp_buffer_init(&manifest, env->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    tp_arena_init(&job.arena, env->alloc, TP_MAX_BUNDLE_MANIFEST_BYTES);
    job.layout.entries =
        tp_arena_array(&job.arena, content->section_count, sizeof(*job.layout.entries));
    job.scratch = tp_alloc(env->alloc, BUNDLE_CHUNK_SIZE);
    tapeout_status status = TAPEOUT_OK;
    if (job.layout.entries == NULL || job.scratch == NULL) {
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
    tp_free(env->alloc, job.scratch, BUNDLE_CHUNK_SIZE);
    tp_arena_deinit(&job.arena);
    tp_buffer_deinit(&manifest);
    return status;
}
