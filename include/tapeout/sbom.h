// SPDX-License-Identifier: Apache-2.0
//
// Bills of materials in CycloneDX 1.6: of the program that runs, and of a model.
//
// @thread All calls are `synchronized`.
#ifndef TAPEOUT_SBOM_H
#define TAPEOUT_SBOM_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

// What this program is made of: its own version and hash, and every library in it or beside it with
// version, licence, kind of linkage and, where it is a file of its own, that file's hash. The same
// program on the same libraries gives the same bytes: there is no time in it. Freed with
// tapeout_text_free.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_sbom_program(tapeout_context *context,
                                                                  char **ret_json,
                                                                  tapeout_error *err);

// The same of a model, by a MODEL argument: its hash, task, architecture, metrics, licence, and by
// which data, specification and code it was made, as far as its bundle says so.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_sbom_model(tapeout_context *context,
                                                                const char *model, char **ret_json,
                                                                tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
