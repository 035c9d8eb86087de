// SPDX-License-Identifier: Apache-2.0
//
// The state of a training, shared by the boosting loop and the file that turns margins into
// quantised gradients.
#ifndef GBT_TRAIN_PRIV_H
#define GBT_TRAIN_PRIV_H

#include "learn/gbt/gbt_grow_priv.h"

// Scale and spread of the gradients of one output.
typedef struct tp_gbt_scale {
    double max_g;
    double max_h;
    double unit_g; // what one fine unit stands for
    double unit_h;
    uint64_t small_count; // rows that 16 bits would hardly see
} tp_gbt_scale;

typedef struct tp_gbt_trainer {
    const tp_env *env;
    const tp_gbt_options *options;
    const tp_learn_data *data;
    const tp_learn_data *valid; // NULL: none
    tp_gbt_loss loss;
    tp_gbt_loss valid_loss;
    tp_gbt_bins bins;
    tp_gbt_matrix matrix;
    tp_gbt_matrix valid_matrix;
    double *score; // [K, R] margins
    size_t cell_count;
    double *valid_score;
    size_t valid_cell_count;
    tp_gbt_gradient *fine; // [K, R]
    size_t fine_count;
    tp_gbt_scale *scales;       // [K]
    tp_gbt_scale *chunk_scales; // [chunks, K] what a chunk found
    uint64_t *chunk_begins;     // [chunks] entries before the chunk, in the bag
    size_t chunk_count;
    uint64_t bag_key; // random key of the bag that is in use
    uint32_t first_iteration;
    bool is_grower_ready;
    tp_gbt_grower grower;
    tp_gbt *gbt;
} tp_gbt_trainer;

// -- gbt_gradient.c ------------------------------------------------------------------------------
tapeout_status tp_gbt_gradients_init(tp_gbt_trainer *trainer, tapeout_error *err);
void tp_gbt_gradients_deinit(tp_gbt_trainer *trainer);
// Fine gradients of all outputs at the present margins.
tapeout_status tp_gbt_gradients_update(tp_gbt_trainer *trainer, uint32_t iteration,
                                       tapeout_error *err);
// Hands output `k` to the grower: rows of the bag as entries, features of the sample.
tapeout_status tp_gbt_gradients_enter(tp_gbt_trainer *trainer, uint32_t iteration, uint32_t k,
                                      tapeout_error *err);
bool tp_gbt_row_in_bag(const tp_gbt_trainer *trainer, uint64_t row);

#endif
