// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file (versions 2 and 3): key-values and tensors, as views into a read-only mapping. All of
// it is checked while it is opened: counts, lengths, kinds, names, dimensions, places. Whoever
// reads a fact afterwards says what range makes sense and gets an error that names the key.
//
// @thread immutable
#ifndef TP_GGUF_H
#define TP_GGUF_H

#include "base/tp_file.h"
#include "llm/gguf/tp_tensor_type.h"

// The numbers are those of the files.
typedef enum tp_gguf_kind {
    TP_GGUF_U8 = 0,
    TP_GGUF_I8 = 1,
    TP_GGUF_U16 = 2,
    TP_GGUF_I16 = 3,
    TP_GGUF_U32 = 4,
    TP_GGUF_I32 = 5,
    TP_GGUF_F32 = 6,
    TP_GGUF_BOOL = 7,
    TP_GGUF_STRING = 8,
    TP_GGUF_ARRAY = 9,
    TP_GGUF_U64 = 10,
    TP_GGUF_I64 = 11,
    TP_GGUF_F64 = 12
} tp_gguf_kind;

// Items of one kind, never arrays themselves.
typedef struct tp_gguf_array {
    tp_gguf_kind kind;
    uint64_t count;
    const uint8_t *data;     // as in the file
    const uint32_t *offsets; // [count] of strings, from `data` to each one's length
} tp_gguf_array;

typedef struct tp_gguf_value {
    tp_gguf_kind kind;
    tp_str bytes; // as in the file, without the kind
    union {
        uint64_t u64;  // U8 … U64
        int64_t i64;   // I8 … I64
        double f64;    // F32, F64
        bool boolean;  // BOOL
        tp_str string; // STRING: any bytes
        tp_gguf_array array;
    };
} tp_gguf_value;

typedef struct tp_gguf_kv {
    tp_str key;
    tp_gguf_value value;
} tp_gguf_kv;

enum { TP_GGUF_DIMS = 4 };

typedef struct tp_gguf_tensor {
    tp_str name;
    tp_tensor_type type;
    uint32_t dim_count;
    uint64_t dims[TP_GGUF_DIMS]; // fastest first; 1 beyond dim_count
    uint64_t size_bytes;
    tp_str data; // size_bytes of them; data.data is NULL in a file of metadata
} tp_gguf_tensor;

typedef struct tp_gguf tp_gguf;

// The mappings that a model lies in: one file, or those of its set where the name is that of the
// first of a split model (NAME-00001-of-00003.gguf). Nothing in them has been looked at yet.
typedef struct tp_gguf_files {
    const tapeout_allocator *alloc;
    char *path;   // of the first
    tp_map *maps; // [count], room for [capacity]: as many as the name speaks of
    size_t count;
    size_t capacity;
    tapeout_error missing; // why there are no more, where the name speaks of more
} tp_gguf_files;

tapeout_status tp_gguf_files_open(const tapeout_allocator *alloc, const char *path,
                                  tp_gguf_files *ret_files, tapeout_error *err);
void tp_gguf_files_close(tp_gguf_files *files); // accepts one that is all zeros

// Reads what is mapped, all of which becomes the model's; on failure too nothing of `files` is
// left. E_CORRUPT for what breaks the format, E_UNSUPPORTED for versions, byte orders and tensor
// types that are not taken, E_LIMIT beyond a named limit.
tapeout_status tp_gguf_from_files(const tp_env *env, tp_gguf_files *files, tp_gguf **ret_gguf,
                                  tapeout_error *err);

// Both at once. For a file that is foreign there is tp_gguf_check.h.
tapeout_status tp_gguf_open(const tp_env *env, const char *path, tp_gguf **ret_gguf,
                            tapeout_error *err);

// The same from memory, which is borrowed until tp_gguf_close. One part of a split model is
// refused.
tapeout_status tp_gguf_parse(const tp_env *env, tp_str bytes, tp_gguf **ret_gguf,
                             tapeout_error *err);

// The same for a file that ends behind its tensor infos: the tensors have sizes and no data.
tapeout_status tp_gguf_parse_metadata(const tp_env *env, tp_str bytes, tp_gguf **ret_gguf,
                                      tapeout_error *err);

void tp_gguf_close(tp_gguf **gguf); // accepts NULL inside; nulls it

// Lets go of the memory behind a tensor's data, which has been read for now; it comes back from the
// file when it is touched.
void tp_gguf_tensor_release(const tp_gguf *gguf, const tp_gguf_tensor *tensor);

// -- facts ---------------------------------------------------------------------------------------
// A key that is absent, of another kind or out of range is E_CORRUPT and named. Integers of any
// width and sign serve where they fit; a float of either width.
bool tp_gguf_has(const tp_gguf *gguf, const char *key);
tapeout_status tp_gguf_get_u64(const tp_gguf *gguf, const char *key, uint64_t min, uint64_t max,
                               uint64_t *ret_value, tapeout_error *err);
// Finite.
tapeout_status tp_gguf_get_f64(const tp_gguf *gguf, const char *key, double *ret_value,
                               tapeout_error *err);
tapeout_status tp_gguf_get_bool(const tp_gguf *gguf, const char *key, bool *ret_value,
                                tapeout_error *err);
tapeout_status tp_gguf_get_str(const tp_gguf *gguf, const char *key, tp_str *ret_value,
                               tapeout_error *err);
// An array of `kind`: any integer kind stands for all of them, either float for both.
tapeout_status tp_gguf_get_array(const tp_gguf *gguf, const char *key, tp_gguf_kind kind,
                                 tp_gguf_array *ret_array, tapeout_error *err);

// Item `index` (< count) of an array of the family: integers wrap between the two forms.
tp_str tp_gguf_array_str(const tp_gguf_array *array, uint64_t index);
uint64_t tp_gguf_array_u64(const tp_gguf_array *array, uint64_t index);
int64_t tp_gguf_array_i64(const tp_gguf_array *array, uint64_t index);
double tp_gguf_array_f64(const tp_gguf_array *array, uint64_t index);
bool tp_gguf_array_bool(const tp_gguf_array *array, uint64_t index);

// -- all of them, in the order of the file -------------------------------------------------------
size_t tp_gguf_kv_count(const tp_gguf *gguf);
const tp_gguf_kv *tp_gguf_kv_at(const tp_gguf *gguf, size_t index);
const tp_gguf_kv *tp_gguf_kv_find(const tp_gguf *gguf, tp_str key); // NULL: none

size_t tp_gguf_tensor_count(const tp_gguf *gguf);
const tp_gguf_tensor *tp_gguf_tensor_at(const tp_gguf *gguf, size_t index);
const tp_gguf_tensor *tp_gguf_tensor_find(const tp_gguf *gguf, tp_str name); // NULL: none

// "u32", "string", … for messages and inspection.
const char *tp_gguf_kind_name(tp_gguf_kind kind);

#endif
