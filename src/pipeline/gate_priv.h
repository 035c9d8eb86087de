// SPDX-License-Identifier: Apache-2.0
//
// What the files of the gate share: what is to be judged, and what was found out about it.
#ifndef GATE_PRIV_H
#define GATE_PRIV_H

#include "pipeline/tp_gate.h"
#include "registry/tp_registry.h"

#include <tapeout/registry.h>

typedef struct gate_subject {
    const tp_env *env;
    const char *home;
    tp_registry *registry;
    const tapeout_model_ref *ref; // of a registered version
    const tp_policy *policy;
} gate_subject;

typedef struct gate_dossier {
    tp_arena arena; // of the texts; the caller's to free, also after a failure
    tp_gate_facts facts;
} gate_dossier;

// Everything but the tags.
tapeout_status tp_gate_look(const gate_subject *subject, gate_dossier *dossier, tapeout_error *err);

#endif
