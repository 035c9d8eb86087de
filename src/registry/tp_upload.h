// SPDX-License-Identifier: Apache-2.0
//
// A blob that comes in pieces (registry_upload.c). It borrows nothing of the registry, whose handle
// may be closed meanwhile.
//
// @thread confined
#ifndef TP_UPLOAD_H
#define TP_UPLOAD_H

#include "base/tp_str.h"
#include "registry/tp_registry.h"

typedef struct tp_upload tp_upload;

// E_BUSY with TP_MAX_UPLOADS under way; E_IO where a sync has failed before.
tapeout_status tp_upload_open(tp_registry *registry, tp_upload **ret_upload, tapeout_error *err);
// After a failure all that can be done with it is to free it.
tapeout_status tp_upload_write(tp_upload *upload, tp_str piece, tapeout_error *err);
uint64_t tp_upload_size(const tp_upload *upload); // bytes written so far
// Removes what has not become a blob. Accepts NULL; nulls it.
void tp_upload_free(tp_upload **upload);

#endif
