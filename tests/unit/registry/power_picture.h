// SPDX-License-Identifier: Apache-2.0
//
// A second picture of a folder, as a disk has it that keeps what was synced and nothing else: a
// file's bytes since the file was synced, its name since its folder was. It is told of each sync
// and can be written out as a power cut would leave it: exactly that, or torn, where of what was
// not synced any sector and any name may be there or not, as a seed has it.
#ifndef POWER_PICTURE_H
#define POWER_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

// Forgets all; from now on the picture is of `root`, which is empty.
void power_picture_begin(const char *root);
// The file or folder below the root was synced; whether it is a folder.
void power_picture_take(int fd);
// Into a folder `path` that is not there yet.
void power_picture_write(const char *path);
void power_picture_write_torn(const char *path, uint64_t seed);

#endif
