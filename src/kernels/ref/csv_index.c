// SPDX-License-Identifier: Apache-2.0
//
// The structure of CSV text, byte by byte: what the vector forms must agree with.
#include "kernels/tp_kernels_table.h"

void tp_csv_count_ref(const uint8_t *data, size_t size, tp_csv_marks *marks)
{
    bool is_inside = marks->is_inside;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"') {
            is_inside = !is_inside;
        } else if (data[i] == '\n' && !is_inside) {
            const uint8_t *at = data + i;
            const bool is_blank = at[-1] == '\n' || (at[-1] == '\r' && at[-2] == '\n');
            marks->newline_count++;
            marks->blank_count += is_blank;
            marks->last_end = i + 1;
        }
    }
    marks->is_inside = is_inside;
}

size_t tp_csv_index_ref(const uint8_t *data, size_t size, tp_csv_index_state *state,
                        uint32_t *ret_positions)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        const uint8_t c = data[i];
        if (c == '"') {
            state->is_inside = !state->is_inside;
            state->has_quote = true;
        } else if ((c == '\n' || c == (uint8_t)state->delimiter) && !state->is_inside) {
            ret_positions[count++] = state->base + (uint32_t)i;
        } else if (c == '\r') {
            state->has_return = true;
        }
    }
    return count;
}
