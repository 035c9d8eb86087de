// SPDX-License-Identifier: Apache-2.0
//
// The bundle: one file that holds a model whole. A fixed header, sections, and a manifest that
// names every section with its place and the SHA-256 of each MiB of it, padding included; the
// header holds the manifest's own hash. No byte of the file is uncovered, and the same content is
// the same file. Every byte is described in docs/formats/bundle.md.
//
// This layer knows sections, not what they mean: tp_scorer.h does.
#ifndef TP_BUNDLE_H
#define TP_BUNDLE_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"
#include "base/tp_file.h"

enum { TP_SHA256_SIZE = 32, TP_SHA256_HEX_SIZE = 64 };

typedef struct tp_sha256 {
    uint8_t bytes[TP_SHA256_SIZE];
} tp_sha256;

tp_sha256 tp_sha256_of(const void *data, size_t size);
void tp_sha256_hex(const tp_sha256 *hash, char ret_hex[TP_SHA256_HEX_SIZE + 1]);
// Of a file's bytes as they are.
tapeout_status tp_sha256_file(const char *path, tp_sha256 *ret_hash, tapeout_error *err);

// -- writing -------------------------------------------------------------------------------------
typedef struct tp_bundle_section {
    tp_str name;    // [a-z0-9_.-]+, unique
    tp_str data;    // borrowed during the call; {NULL, size}: made while it is written
    uint32_t align; // a power of two, 64 … 65536
} tp_bundle_section;

typedef struct tp_bundle_content {
    tp_str kind; // "tabular" or "llm"
    tp_str name; // what it is served as
    const tp_bundle_section *sections;
    size_t section_count;
} tp_bundle_content;

// Writes `path` whole or not at all, and returns the hash of the file.
tapeout_status tp_bundle_write(const tp_env *env, const char *path,
                               const tp_bundle_content *content, tp_sha256 *ret_hash,
                               tapeout_error *err);

// A section that is made while it is written, so that weights of any size need little memory. The
// maker of section `index` writes exactly the size that was announced.
typedef struct tp_bundle_stream tp_bundle_stream;
tapeout_status tp_bundle_stream_write(tp_bundle_stream *stream, const void *data, size_t size,
                                      tapeout_error *err);
typedef tapeout_status (*tp_bundle_fill_fn)(void *user, size_t index, tp_bundle_stream *stream,
                                            tapeout_error *err);

// The same with sections that `fill` makes.
tapeout_status tp_bundle_write_filled(const tp_env *env, const char *path,
                                      const tp_bundle_content *content, tp_bundle_fill_fn fill,
                                      void *user, tp_sha256 *ret_hash, tapeout_error *err);

// [A-Za-z0-9][A-Za-z0-9._-]*, at most TP_MAX_MODEL_NAME_BYTES: names are file names and URL parts
// too.
bool tp_model_name_is_valid(tp_str name);

// -- reading -------------------------------------------------------------------------------------
typedef struct tp_bundle tp_bundle; // @thread immutable

// Maps the file and checks all of it: header, canonical manifest, places, padding, and every
// chunk's hash (in parallel on the env's pool). E_CORRUPT names the section. The bytes that were
// checked are the bytes that are used: the mapping is private and the file stays open.
tapeout_status tp_bundle_open(const tp_env *env, const char *path, tp_bundle **ret_bundle,
                              tapeout_error *err);
void tp_bundle_close(tp_bundle **bundle); // accepts NULL inside; nulls it

tp_str tp_bundle_kind(const tp_bundle *bundle);
tp_str tp_bundle_name(const tp_bundle *bundle);
tp_str tp_bundle_manifest(const tp_bundle *bundle); // canonical JSON
// Of the whole file, read once more: what opening checks are the chunks.
tp_sha256 tp_bundle_hash(const tp_bundle *bundle);
// The section's bytes, in the mapping; {NULL, 0} where there is none.
tp_str tp_bundle_section_find(const tp_bundle *bundle, tp_str name);
// True when the file begins as a bundle does.
bool tp_bundle_probe(const char *path);
// True when it is a bundle whose manifest is in order and names this kind; no chunk is looked at.
bool tp_bundle_is_kind(const char *path, tp_str kind);

#endif
