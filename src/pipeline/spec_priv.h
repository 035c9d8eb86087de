// SPDX-License-Identifier: Apache-2.0
//
// What the reader of specs and its table of keys share.
#ifndef SPEC_PRIV_H
#define SPEC_PRIV_H

#include "pipeline/tp_spec.h"

// Binds a spec's top level.
extern const tp_yaml_table tp_spec_table;

#endif
