// SPDX-License-Identifier: Apache-2.0
//
// What this processor offers, asked once (CPUID and, since the system must save the registers,
// XGETBV). `TAPEOUT_CPU=ref|avx2` narrows it, for tests and for users who doubt a kernel; a name
// that the machine lacks is an error, said at start by tapeout_context_new.
#ifndef TP_CPU_H
#define TP_CPU_H

#include <tapeout/status.h>

enum {
    TP_CPU_AVX2 = 1u << 0,  // AVX2, FMA, BMI1, BMI2, F16C
    TP_CPU_AVX512 = 1u << 1 // F, BW, DQ, VL
};

// The flags that kernels may use: the machine's, narrowed by TAPEOUT_CPU. Asked once per process.
uint32_t tp_cpu_flags(void);

// What the machine has, TAPEOUT_CPU or not.
uint32_t tp_cpu_machine_flags(void);

// E_INVALID for an unknown name in TAPEOUT_CPU, E_UNSUPPORTED for one that this machine lacks.
tapeout_status tp_cpu_check(tapeout_error *err);

// The name of the best variant in `flags`: "ref", "avx2" or "avx512".
const char *tp_cpu_name(uint32_t flags);

#endif
