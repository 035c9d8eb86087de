// SPDX-License-Identifier: Apache-2.0
//
// A prediction on the record, so that it can be run again: the rows as the model got them, in one
// written form, and the numbers that came out, in the shortest form that reads back to the same
// bits. Two predictions are the same to the last bit when these texts are.
#ifndef TP_RECEIPT_H
#define TP_RECEIPT_H

#include "bundle/tp_scorer.h"
#include "table/tp_table.h"

#include <yyjson.h>

// Appends [{"column":value,...},...] of all rows, columns in the table's order. Texts, times and
// infinite numbers are strings, what is missing is null.
void tp_receipt_rows_write(const tapeout_table *table, tp_buffer *json);
// Puts rows of that form into a builder made for the model's schema; keys in any order, an absent
// one is missing. E_DATA names row and column.
tapeout_status tp_receipt_rows_read(yyjson_val *rows, const tp_schema *schema,
                                    tp_table_builder *builder, tapeout_error *err);

// Appends {"prediction":[...],"probability":[...]}: the latter [classes][rows] where the model has
// some, one class for a binary one. `class_count` as in tp_target.
void tp_receipt_output_write(const tp_scores *scores, uint32_t class_count, tp_buffer *json);

#endif
