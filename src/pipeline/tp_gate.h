// SPDX-License-Identifier: Apache-2.0
//
// The gate: a policy held against what is known of a version. What is asked, what was found and
// whether it suffices becomes the evidence that is kept with the decision.
#ifndef TP_GATE_H
#define TP_GATE_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"
#include "bundle/tp_scorer.h"
#include "pipeline/tp_policy.h"

#include <stdatomic.h>

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
    bool is_signed;          // somebody whom the home trusts signed it; asked by every policy
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

// The median time of one row through a scorer, in microseconds, over rows of a table in turn;
// `rows` has an index.
tapeout_status tp_gate_time_rows(const tp_env *env, const tp_scorer *scorer,
                                 const tapeout_table *table, tp_row_choice rows, double *ret_us,
                                 tapeout_error *err);
// The same of a table's bundle, over rows made of the quantiles and frequent values that it
// remembers of its training data. The bundle is taken, as by tp_scorer_from_bundle.
tapeout_status tp_gate_time_row(const tp_env *env, tp_bundle **bundle, double *ret_us,
                                tapeout_error *err);

// -- decisions -----------------------------------------------------------------------------------
// Where decisions are taken. All borrowed.
typedef struct tp_gate_call {
    const tp_env *env;
    const char *home;
    struct tp_registry *registry; // open for writing
    struct tp_audit *audit;       // NULL: the home's is opened for each entry
    atomic_bool *is_stopped;      // of that one (tp_audit_stop_share); may be NULL
} tp_gate_call;

typedef struct tp_gate_ask {
    tp_str model;  // "name:version"; to roll back "name" does
    tp_str alias;  // empty: only look
    tp_str who;    // takes the decision
    tp_str reason; // for people; may be empty
} tp_gate_ask;

// Holds the policy in force against the version and, where it passes, moves the alias; appends the
// evidence as tapeout/gate.h has it, after E_GATE too. E_DENIED for a version older than the one
// that the alias leads to; E_BUSY where somebody else moved it meanwhile.
tapeout_status tp_gate_promote(const tp_gate_call *call, const tp_gate_ask *ask, tp_buffer *json,
                               tapeout_error *err);

// Leads the alias back to where it pointed before, or to a version that was promoted to it once.
tapeout_status tp_gate_roll_back(const tp_gate_call *call, const tp_gate_ask *ask, tp_buffer *json,
                                 tapeout_error *err);

typedef struct tp_policy_file {
    tp_str text;
    const char *name;      // for messages
    const char *directory; // what paths in it are relative to
} tp_policy_file;

// The policy in force from now on.
tapeout_status tp_gate_policy_set(const tp_gate_call *call, const tp_policy_file *file, tp_str who,
                                  tapeout_error *err);

#endif
