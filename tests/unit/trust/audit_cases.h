// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the audit log share: a home of their own, short ways to append and to look.
#ifndef AUDIT_CASES_H
#define AUDIT_CASES_H

#include "test.h"
#include "trust/audit_priv.h"

enum { AUDIT_CASES_PATH = 4200 };

// HOME below the temporary folder, in a static buffer; not there yet.
const char *audit_case_home(void);
tp_audit *audit_case_open(const char *home);
// Appends an entry of kind "test" whose `what` is {"n":number}; returns its sequence.
uint64_t audit_case_append(tp_audit *audit, uint64_t number);
// Appends `count` of them.
void audit_case_fill(const char *home, uint64_t count);

// HOME/audit/NAME in one of a few static buffers; for the segment that begins with `first`.
const char *audit_case_path(const char *home, const char *name);
const char *audit_case_segment(const char *home, uint64_t first);
// The bytes of a file; freed with audit_case_free.
tp_str audit_case_read(const char *path);
void audit_case_free(tp_str data);
void audit_case_write(const char *path, tp_str data);

// The file is whole entries from `first` on; returns the sequence after the last.
uint64_t audit_case_check(const char *path, uint64_t first);

#endif
