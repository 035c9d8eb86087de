// SPDX-License-Identifier: Apache-2.0
//
// The registry of a home directory: which models there are, under which numbers, and where their
// bytes lie. `tapeout_registry_resolve` is how every command reads its MODEL argument.
//
// @thread All calls are `synchronized`, over processes too.
#ifndef TAPEOUT_REGISTRY_H
#define TAPEOUT_REGISTRY_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TAPEOUT_MODEL_NAME_SIZE = 129, // with the NUL
    TAPEOUT_MODEL_PATH_SIZE = 4096,
    TAPEOUT_SHA256_TEXT_SIZE = 65
};

// Where a MODEL argument leads.
typedef struct tapeout_model_ref {
    bool is_registered; // false: `path` is what the caller wrote, and all else is empty
    bool is_refused;    // a gate was not passed when it was trained
    uint64_t version;
    char name[TAPEOUT_MODEL_NAME_SIZE];
    char sha256[TAPEOUT_SHA256_TEXT_SIZE]; // of the bundle, in hexadecimal
    char path[TAPEOUT_MODEL_PATH_SIZE];
} tapeout_model_ref;

// What is registered. The texts of JSON are kept and listed as they are; NULL stands for an empty
// array or object.
typedef struct tapeout_registration {
    uint32_t struct_size;
    const char *name;
    const char *bundle;      // path of the file, which is copied
    const char *sha256;      // in hexadecimal, checked against the file; NULL: not checked
    bool is_refused;         // cannot be promoted, nor served by its bare name
    const char *reason;      // of the refusal, for people; NULL: none
    const char *gates;       // JSON array
    const char *timings;     // JSON object
    const char *facts;       // JSON object: threads, CPU, tapeout's version, paths, ...
    const char *owner;       // who answers for it; NULL: nobody
    const char *description; // for people; NULL: none
    const char *run_id;      // the run that made it; NULL: none
    const char
        *key; // the same request again, with the same key, gives the same version; NULL: none
} tapeout_registration;

TAPEOUT_API void tapeout_registration_init(tapeout_registration *registration);

// Registers a bundle in the context's home. When it returns OK, the version survives a power cut.
// E_INVALID for a name that is none or JSON that is none, E_CORRUPT where `sha256` is not the
// file's, E_DENIED, E_FULL, E_IO, E_BUSY as the system says; nothing is registered then.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_registry_register(tapeout_context *context, const tapeout_registration *registration,
                          tapeout_model_ref *ret_ref, tapeout_error *err);

// A MODEL with a slash or naming an existing file is a path; else it is a registered "name" (its
// newest version that is not refused), "name:version" or "name@alias".
// E_NOT_FOUND (with the nearest name), E_GATE where all versions of the name are refused,
// E_INVALID, E_CORRUPT.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_resolve(tapeout_context *context,
                                                                      const char *model,
                                                                      tapeout_model_ref *ret_ref,
                                                                      tapeout_error *err);

// {"models": [{"name", "created", "versions": [{"version", "sha256", "size", "path",
// "created", "refused", "reason", "aliases", "gates", "timings", "facts"}]}]}; names and numbers in
// order. A home without a registry lists nothing. Freed with tapeout_text_free.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_list(tapeout_context *context,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

// Removes "name:version". The bundle's bytes go with the last version that has them.
// E_NOT_FOUND, E_INVALID (no version said), E_BUSY (an alias points to it).
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_remove(tapeout_context *context,
                                                                     const char *model,
                                                                     tapeout_error *err);

// -- aliases and tags ----------------------------------------------------------------------------
// Points `alias` to "name:version". `who` is kept in the history; NULL: nobody. E_NOT_FOUND, E_GATE
// (the version was refused), E_INVALID.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_alias_set(tapeout_context *context,
                                                                        const char *model,
                                                                        const char *alias,
                                                                        const char *who,
                                                                        tapeout_error *err);
// Removes the alias of the name. E_NOT_FOUND.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_alias_remove(tapeout_context *context,
                                                                           const char *name,
                                                                           const char *alias,
                                                                           const char *who,
                                                                           tapeout_error *err);
// {"moves": [{"id", "alias", "kind", "from", "to", "who", "time_us", "evidence"}]}, oldest first;
// `alias` NULL: of all of the name. Freed with tapeout_text_free.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_registry_alias_history(tapeout_context *context, const char *name, const char *alias,
                               char **ret_json, tapeout_error *err);

// Sets a tag of "name" or "name:version"; `value` NULL removes it. E_NOT_FOUND, E_LIMIT.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_tag(tapeout_context *context,
                                                                  const char *model,
                                                                  const char *key,
                                                                  const char *value,
                                                                  tapeout_error *err);

// -- upkeep --------------------------------------------------------------------------------------
// Removes bytes that no version names and that are older than `grace_seconds`. {"removed",
// "removed_bytes", "kept", "answers_removed"}.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_collect(tapeout_context *context,
                                                                      uint64_t grace_seconds,
                                                                      char **ret_json,
                                                                      tapeout_error *err);
// Copies registry and bytes into a folder, while others write. {"format", "sha256", "created_us",
// "blobs", "bytes"}. E_UNSUPPORTED where the registry is in PostgreSQL.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_backup(tapeout_context *context,
                                                                     const char *folder,
                                                                     char **ret_json,
                                                                     tapeout_error *err);
// Puts a backup into the context's home, which must not have a registry: E_EXISTS. {"blobs",
// "bytes"}.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_registry_restore(tapeout_context *context,
                                                                      const char *folder,
                                                                      char **ret_json,
                                                                      tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
