// SPDX-License-Identifier: Apache-2.0
//
// What the writer and the reader of a bundle must agree on: the header's bytes and the manifest's
// text. The reader parses a manifest, renders it again with this code and compares: whatever is not
// the one canonical form is refused, so there is nothing to hide in white space, in key order or in
// unknown keys.
#include "bundle/bundle_priv.h"

#include "base/limits.h"
#include "table/tp_json.h"

#include <string.h>

const char tp_bundle_magic[8] = {'T', 'A', 'P', 'E', 'O', 'U', 'T', '\n'};

static void append_entry(tp_buffer *text, const bundle_entry *entry)
{
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "align");
    tp_json_append_u64(text, entry->align);
    tp_json_append_key(text, "chunks");
    tp_buffer_append_char(text, '[');
    for (uint64_t i = 0; i < entry->chunk_count; i++) {
        char hex[TP_SHA256_HEX_SIZE + 1];
        tp_sha256_hex(&entry->chunks[i], hex);
        if (i > 0) {
            tp_buffer_append_char(text, ',');
        }
        tp_json_append_str(text, (tp_str){hex, TP_SHA256_HEX_SIZE});
    }
    tp_buffer_append_char(text, ']');
    tp_json_append_key(text, "name");
    tp_json_append_str(text, entry->name);
    tp_json_append_key(text, "offset");
    tp_json_append_u64(text, entry->offset);
    tp_json_append_key(text, "size");
    tp_json_append_u64(text, entry->size);
    tp_buffer_append_char(text, '}');
}

void tp_bundle_manifest_write(const bundle_layout *layout, tp_buffer *ret_text)
{
    tp_buffer_append_char(ret_text, '{');
    tp_json_append_key(ret_text, "chunk_size");
    tp_json_append_u64(ret_text, BUNDLE_CHUNK_SIZE);
    tp_json_append_key(ret_text, "format");
    tp_json_append_str(ret_text, TP_STR("tapeout-bundle"));
    tp_json_append_key(ret_text, "kind");
    tp_json_append_str(ret_text, layout->kind);
    tp_json_append_key(ret_text, "name");
    tp_json_append_str(ret_text, layout->name);
    tp_json_append_key(ret_text, "sections");
    tp_buffer_append_char(ret_text, '[');
    for (size_t i = 0; i < layout->entry_count; i++) {
        if (i > 0) {
            tp_buffer_append_char(ret_text, ',');
        }
        append_entry(ret_text, &layout->entries[i]);
    }
    tp_buffer_append_char(ret_text, ']');
    tp_json_append_key(ret_text, "version");
    tp_json_append_u64(ret_text, BUNDLE_VERSION);
    tp_buffer_append_char(ret_text, '}');
}

static void put_le(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

void tp_bundle_header_write(tp_str manifest, uint64_t manifest_offset,
                            uint8_t ret_header[BUNDLE_HEADER_SIZE])
{
    const tp_sha256 hash = tp_sha256_of(manifest.data, manifest.size);
    memset(ret_header, 0, BUNDLE_HEADER_SIZE);
    memcpy(ret_header, tp_bundle_magic, sizeof(tp_bundle_magic));
    put_le(ret_header + 8, BUNDLE_VERSION, 4);
    put_le(ret_header + 12, BUNDLE_HEADER_SIZE, 4);
    put_le(ret_header + 16, manifest_offset, 8);
    put_le(ret_header + 24, manifest.size, 8);
    put_le(ret_header + 32, manifest_offset + manifest.size, 8);
    memcpy(ret_header + 40, hash.bytes, TP_SHA256_SIZE);
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool tp_bundle_section_name_ok(tp_str name)
{
    bool ok = name.size > 0 && name.size <= 255;
    for (size_t i = 0; ok && i < name.size; i++) {
        const char c = name.data[i];
        ok = is_lower_or_digit(c) || c == '_' || c == '.' || c == '-';
    }
    return ok;
}

bool tp_model_name_is_valid(tp_str name)
{
    bool ok = name.size > 0 && name.size <= TP_MAX_MODEL_NAME_BYTES;
    for (size_t i = 0; ok && i < name.size; i++) {
        const char c = name.data[i];
        ok = is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') ||
             (i > 0 && (c == '_' || c == '.' || c == '-'));
    }
    return ok;
}
