// SPDX-License-Identifier: Apache-2.0
//
// The words of CycloneDX that both bills of materials use.
#ifndef SBOM_WRITE_H
#define SBOM_WRITE_H

#include "base/tp_buffer.h"

#include <tapeout/context.h>

typedef struct sbom_component {
    const char *type; // "library", "application", "data", "machine-learning-model"
    const char *ref;  // by which others of the document name it
    tp_str name;
    tp_str version;      // empty: not said
    const char *licence; // an SPDX identifier or expression; NULL: not said
    tp_str sha256;       // hexadecimal; empty: not said
    const char *linkage; // "static", "dynamic", "run time", or NULL
    bool is_optional;    // the program does without
} sbom_component;

// `{"bomFormat":...,"metadata":{"component":` of a document, to be followed by that component.
void tp_sbom_begin(tp_buffer *json);
// A component without its closing brace: further members may follow.
void tp_sbom_component_open(tp_buffer *json, const sbom_component *component);
void tp_sbom_component(tp_buffer *json, const sbom_component *component);
// `"key":"text"`, with a comma where the object has members already.
void tp_sbom_text(tp_buffer *json, const char *key, tp_str text);

#endif
