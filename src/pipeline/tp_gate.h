// SPDX-License-Identifier: Apache-2.0
//
// The gate: a policy held against what is known of a version. What is asked, what was found and
// whether it suffices becomes the evidence that is kept with the decision.
#ifndef TP_GATE_H
#define TP_GATE_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"
#include "pipeline/tp_policy.h"

typedef struct tp_gate_tag {
    tp_str key;
    tp_str value;
} tp_gate_tag;

// All borrowed.
typedef struct tp_gate_facts {
    tp_str report_json; // of the bundle; empty: it has none
    tp_str licence;     // as an SPDX identifier; empty: nothing is said
    uint64_t size_bytes;
    double row_us;           // median of one row; NaN: could not be measured
    tp_yaml_strings signers; // people whose signatures hold; one may stand more than once
    const tp_gate_tag *tags; // [tag_count] of the version
    size_t tag_count;
} tp_gate_facts;

// The tags that a gate looks at. Destinations and parties are lists with commas.
#define TP_TAG_LICENCE "licence"
#define TP_TAG_ALARM "alarm.drift" // "open" while one is
#define TP_TAG_CLASSIFICATION "export.classification"
#define TP_TAG_BASIS "export.basis"
#define TP_TAG_DESTINATION "export.destination"
#define TP_TAG_PARTY "export.party"

// Appends `[{"name","want","got","passed"}]` of all that the policy asks, also of what passed, and
// tells whether everything did. What is not known does not pass. Fails only for want of memory.
tapeout_status tp_gate_check(const tp_env *env, const tp_policy *policy, const tp_gate_facts *facts,
                             tp_buffer *json, bool *ret_passed, tapeout_error *err);

// The median time of one row through a table's bundle, in microseconds, over rows made of the
// quantiles and frequent values that the bundle remembers of its training data.
tapeout_status tp_gate_time_row(const tp_env *env, const char *bundle_path, double *ret_us,
                                tapeout_error *err);

#endif
