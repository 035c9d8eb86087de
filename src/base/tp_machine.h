// SPDX-License-Identifier: Apache-2.0
//
// How much memory there is and how much of it a process could still take: the machine's, and where
// a control group (a container, a service) allows less, that. Asked anew each time.
#ifndef TP_MACHINE_H
#define TP_MACHINE_H

#include <stdint.h>

typedef struct tp_machine_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; // without making others give anything up but files kept in memory
} tp_machine_memory;

// Zeros where the system does not say.
tp_machine_memory tp_machine_memory_read(void);

#endif
