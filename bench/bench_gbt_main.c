// SPDX-License-Identifier: Apache-2.0
//
// The trees' part alone, for a profiler or a debugger.
#include "bench.h"

int main(int argc, char **argv)
{
    return tp_bench_gbt(argc, argv);
}
