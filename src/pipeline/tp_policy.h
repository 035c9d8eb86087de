// SPDX-License-Identifier: Apache-2.0
//
// The policy of a home: what a version must show before one of the aliases that the policy names
// moves to it. A YAML file, docs/gate.md; whatever a policy does not ask for is not looked at.
#ifndef TP_POLICY_H
#define TP_POLICY_H

#include "learn/tp_metrics.h"
#include "pipeline/tp_yaml.h"

// A figure and the bound that it has to keep.
typedef struct tp_policy_bound {
    tp_metric metric;
    tp_str text; // as written: ">= 0.70"
    bool is_minimum;
    double bound;
} tp_policy_bound;

typedef struct tp_policy_bounds {
    tp_policy_bound *items;
    size_t count;
} tp_policy_bounds;

typedef struct tp_policy {
    tp_arena arena;
    tp_yaml_strings gated;    // aliases; prod unless the file says otherwise
    tp_policy_bounds metrics; // overall, on the test rows
    tp_policy_bounds cohorts; // of the worst cohort
    double latency_us;        // median of one row, measured where the gate stands; 0: not asked
    double size_mb;           // of the bundle; 0: not asked
    tp_yaml_strings licences; // any of these; none: not asked
    uint32_t signatures;      // of so many people
    bool no_alarm;            // no open alarm of drift
    struct {
        tp_yaml_strings classification; // any of these
        tp_yaml_strings destination;    // all of the version's must be among these
        bool basis;                     // something must be said
        tp_yaml_strings screening;      // files of names that no party may bear
    } exports;
} tp_policy;

// Reads a policy; `name` stands in messages. E_INVALID with line and column.
tapeout_status tp_policy_parse(const tapeout_allocator *alloc, tp_str text, const char *name,
                               tp_policy **ret_policy, tapeout_error *err);
void tp_policy_free(tp_policy *policy); // accepts NULL

bool tp_policy_gates(const tp_policy *policy, tp_str alias);

#endif
