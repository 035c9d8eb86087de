// SPDX-License-Identifier: Apache-2.0
//
// Shared libraries that are looked for while the program runs. They stay loaded until the process
// ends, since few libraries promise that they can be unloaded.
#ifndef TP_LIBRARY_H
#define TP_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

// Loads the library `name`: a path when it has a slash, else a name that the system's loader finds.
// Its symbols stay its own. NULL on failure, with the loader's words in `ret_why` (always
// terminated; `why_size` at least 1).
void *tp_library_open(const char *name, char *ret_why, size_t why_size);

// Stores the address of the function `name` in `*ret_function`, a pointer to any kind of function
// pointer; false where there is none, and then nothing is stored.
bool tp_library_function(void *library, const char *name, void *ret_function);

// The file that a function's code was loaded from; false where the system does not say or
// `path_size` is too small.
bool tp_library_of(void (*function)(void), char *ret_path, size_t path_size);

// The directory of the running executable, without a slash behind it; false where the system does
// not say or `path_size` is too small.
bool tp_executable_directory(char *ret_path, size_t path_size);

#endif
