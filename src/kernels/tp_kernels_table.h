// SPDX-License-Identifier: Apache-2.0
//
// The hot loops of reading tables: finding the structure of CSV text.
//
// A double quote toggles between inside and outside of a quoted field; delimiters and line feeds
// count outside only. Both kernels read bytes alone, so all variants agree by construction of the
// same integers.
#ifndef TP_KERNELS_TABLE_H
#define TP_KERNELS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a stretch of text holds.
typedef struct tp_csv_marks {
    uint64_t newline_count; // line feeds outside quotes
    uint64_t blank_count;   // those of them that end an empty line ("\n" or "\r\n" alone)
    size_t last_end;        // the offset behind the last one; 0 where there is none
    bool is_inside;         // in: at the begin of the stretch; out: at its end
} tp_csv_marks;

// Carried from one call of `csv_index` to the next over the same text.
typedef struct tp_csv_index_state {
    char delimiter;  // set by the caller
    bool is_inside;  // quotes, before and after the call
    bool has_quote;  // a quote was passed
    bool has_return; // a carriage return was passed
    uint32_t base;   // set by the caller: the position of the first byte
} tp_csv_index_state;

enum { TP_CSV_INDEX_SLACK = 64 }; // positions that `csv_index` may write behind the last one

typedef struct tp_kernels_table {
    // Adds to `marks` (counts zeroed by the caller). The two bytes before `data` are read.
    void (*csv_count)(const uint8_t *data, size_t size, tp_csv_marks *marks);

    // Writes state->base + offset of each delimiter and line feed outside quotes, in order, and
    // returns how many: at most `size`, and TP_CSV_INDEX_SLACK places behind them may be written
    // too.
    size_t (*csv_index)(const uint8_t *data, size_t size, tp_csv_index_state *state,
                        uint32_t *ret_positions);
} tp_kernels_table;

// `flags` as of tp_cpu_flags(): the plain form first, then the best that the flags allow.
void tp_kernels_table_init(tp_kernels_table *ret_kernels, uint32_t flags);

void tp_csv_count_ref(const uint8_t *data, size_t size, tp_csv_marks *marks);
size_t tp_csv_index_ref(const uint8_t *data, size_t size, tp_csv_index_state *state,
                        uint32_t *ret_positions);
void tp_csv_count_avx2(const uint8_t *data, size_t size, tp_csv_marks *marks);
size_t tp_csv_index_avx2(const uint8_t *data, size_t size, tp_csv_index_state *state,
                         uint32_t *ret_positions);

#endif
