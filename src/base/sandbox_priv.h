// SPDX-License-Identifier: Apache-2.0
//
// The parts of a sandbox: each locks the calling process or thread for good.
#ifndef SANDBOX_PRIV_H
#define SANDBOX_PRIV_H

#include "base/tp_sandbox.h"

// -- sandbox_landlock.c --------------------------------------------------------------------------
uint32_t tp_landlock_abi(void);
// The calling thread, and those that it makes, open only what the rules name. OK without doing
// anything where the kernel has no Landlock.
tapeout_status tp_landlock_files(const tp_sandbox_rules *rules, tapeout_error *err);
// The calling thread, and those that it makes, connect no TCP socket. False where the kernel has no
// rules for that.
bool tp_landlock_no_connect(void);

// -- sandbox_seccomp.c ---------------------------------------------------------------------------
bool tp_seccomp_is_offered(void);
// All threads: system calls of a list, and whoever makes another ends the process.
tapeout_status tp_seccomp_work(bool opens_files, bool writes_files, tapeout_error *err);
tapeout_status tp_seccomp_airgap(bool connects_unix, tapeout_error *err);

#endif
