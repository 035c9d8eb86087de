// SPDX-License-Identifier: Apache-2.0
//
// The layout of a bundle as writer and reader both see it. docs/formats/bundle.md has every byte.
#ifndef BUNDLE_PRIV_H
#define BUNDLE_PRIV_H

#include "bundle/tp_bundle.h"

enum {
    BUNDLE_HEADER_SIZE = 128,
    BUNDLE_VERSION = 1,
    BUNDLE_CHUNK_SIZE = 1 << 20,
    BUNDLE_MIN_ALIGN = 64,
    BUNDLE_MAX_ALIGN = 65536
};

extern const char tp_bundle_magic[8];

typedef struct bundle_entry {
    tp_str name;
    uint64_t offset;
    uint64_t size;
    uint64_t extent; // bytes up to the next section or the manifest, padding included
    uint32_t align;
    uint64_t chunk_count;
    const tp_sha256 *chunks; // [chunk_count]
} bundle_entry;

typedef struct bundle_layout {
    tp_str kind;
    tp_str name;
    bundle_entry *entries;
    size_t entry_count;
    uint64_t manifest_offset;
} bundle_layout;

static inline uint64_t bundle_align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline uint64_t bundle_chunk_count(uint64_t extent)
{
    return (extent + BUNDLE_CHUNK_SIZE - 1) / BUNDLE_CHUNK_SIZE;
}

// The manifest of a layout as canonical JSON (RFC 8785: keys sorted, no white space; it holds
// strings without escapes and integers alone). The reader writes it again and compares.
void tp_bundle_manifest_write(const bundle_layout *layout, tp_buffer *ret_text);

// The header of a file whose manifest is `manifest` at `manifest_offset`.
void tp_bundle_header_write(tp_str manifest, uint64_t manifest_offset,
                            uint8_t ret_header[BUNDLE_HEADER_SIZE]);

// Section names are [a-z0-9_.-]+, kinds too.
bool tp_bundle_section_name_ok(tp_str name);

#endif
