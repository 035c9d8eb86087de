// SPDX-License-Identifier: Apache-2.0
//
// Finds the part that was asked for.
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

double tp_bench_cpu_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int tp_bench_part(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } parts[] = {{"gbt", tp_bench_gbt},           {"csv", tp_bench_csv},
                 {"features", tp_bench_features}, {"pipeline", tp_bench_pipeline},
                 {"matrix", tp_bench_matrix},     {"llm", tp_bench_llm},
                 {"trust", tp_bench_trust}};
    for (size_t i = 0; argc > 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(argv[0], parts[i].name) == 0) {
            return parts[i].run(argc, argv);
        }
    }
    (void)fputs("usage: tapeout bench-part gbt|csv|features|pipeline|matrix|llm|trust ...\n",
                stderr);
    return 2;
}
