// SPDX-License-Identifier: Apache-2.0
//
// What the processor offers. A flag is claimed when CPUID has every instruction set behind it and
// XGETBV says that the operating system saves the registers; then TAPEOUT_CPU narrows the set. Read
// once, before the first kernel runs, and constant afterwards.
#include "base/tp_cpu.h"

#include "base/tp_error.h"
#include "base/tp_str.h"

#include <pthread.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum {
    // Leaf 1, ECX.
    LEAF1_FMA = 1 << 12,
    LEAF1_OSXSAVE = 1 << 27,
    LEAF1_AVX = 1 << 28,
    LEAF1_F16C = 1 << 29,
    // Leaf 7, EBX.
    LEAF7_BMI1 = 1 << 3,
    LEAF7_AVX2 = 1 << 5,
    LEAF7_BMI2 = 1 << 8,
    LEAF7_AVX512F = 1 << 16,
    LEAF7_AVX512DQ = 1 << 17,
    LEAF7_AVX512BW = 1 << 30,
    // XCR0: SSE and AVX state; with mask registers and both halves of ZMM.
    XCR0_AVX = 0x06,
    XCR0_AVX512 = 0xe6
};
static const unsigned LEAF7_AVX512VL = 1u << 31;

static unsigned saved_registers(void)
{
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_all(unsigned value, unsigned mask)
{
    return (value & mask) == mask;
}

static uint32_t detect(void)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) ||
        !has_all(c, LEAF1_FMA | LEAF1_OSXSAVE | LEAF1_AVX | LEAF1_F16C)) {
        return 0;
    }
    const unsigned saved = saved_registers();
    if (!has_all(saved, XCR0_AVX) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        !has_all(b, LEAF7_BMI1 | LEAF7_AVX2 | LEAF7_BMI2)) {
        return 0;
    }
    const unsigned wide = LEAF7_AVX512F | LEAF7_AVX512DQ | LEAF7_AVX512BW | LEAF7_AVX512VL;
    return has_all(saved, XCR0_AVX512) && has_all(b, wide) ? TP_CPU_AVX2 | TP_CPU_AVX512
                                                           : TP_CPU_AVX2;
}
#else
static uint32_t detect(void)
{
    return 0;
}
#endif

typedef struct variant {
    const char *name;
    uint32_t flags;
} variant;

// Ascending: the last whose flags are all there is the best.
static const variant variants[] = {
    {"ref", 0},
    {"avx2", TP_CPU_AVX2},
    {"avx512", TP_CPU_AVX2 | TP_CPU_AVX512},
};
enum { VARIANT_COUNT = sizeof(variants) / sizeof(variants[0]) };

static struct {
    pthread_once_t once;
    uint32_t machine; // what the processor has
    uint32_t allowed; // what kernels may use
    bool unknown;     // TAPEOUT_CPU names no variant
    bool lacking;     // TAPEOUT_CPU names one that the machine does not have
} cpu = {.once = PTHREAD_ONCE_INIT};

static const char *wanted(void)
{
    const char *name = getenv("TAPEOUT_CPU");
    return name == NULL || name[0] == 0 ? NULL : name;
}

static void read_once(void)
{
    cpu.machine = detect();
    cpu.allowed = cpu.machine;
    const char *name = wanted();
    if (name == NULL) {
        return;
    }
    // What cannot be had falls back to the definition; tp_cpu_check makes it an error at start.
    cpu.allowed = 0;
    cpu.unknown = true;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        if (tp_str_equal(tp_str_from(name), tp_str_from(variants[i].name))) {
            cpu.unknown = false;
            cpu.lacking = (variants[i].flags & ~cpu.machine) != 0;
            cpu.allowed = cpu.lacking ? 0 : variants[i].flags;
        }
    }
}

uint32_t tp_cpu_flags(void)
{
    (void)pthread_once(&cpu.once, read_once); // fails for an invalid control alone
    return cpu.allowed;
}

uint32_t tp_cpu_machine_flags(void)
{
    (void)tp_cpu_flags();
    return cpu.machine;
}

tapeout_status tp_cpu_check(tapeout_error *err)
{
    (void)tp_cpu_flags();
    if (cpu.unknown) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "TAPEOUT_CPU: no such instruction set: %s; expected ref, avx2 or avx512",
                       wanted());
    }
    if (cpu.lacking) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "TAPEOUT_CPU: this machine lacks %s; its best is %s", wanted(),
                       tp_cpu_name(cpu.machine));
    }
    return TAPEOUT_OK;
}

const char *tp_cpu_name(uint32_t flags)
{
    const char *name = variants[0].name;
    for (size_t i = 1; i < VARIANT_COUNT; i++) {
        if ((flags & variants[i].flags) == variants[i].flags) {
            name = variants[i].name;
        }
    }
    return name;
}
