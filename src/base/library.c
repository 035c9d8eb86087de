// SPDX-License-Identifier: Apache-2.0
//
// dlopen and the executable's place, for systems with ELF and /proc. RTLD_LOCAL keeps the library's
// own copies of common functions (DuckDB brings an allocator and zstd) from answering our calls.
#include "base/tp_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void *tp_library_open(const char *name, char *ret_why, size_t why_size)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const char *why = library == NULL ? dlerror() : "";
    (void)snprintf(ret_why, why_size, "%s", why == NULL ? "unknown reason" : why);
    return library;
}

bool tp_library_function(void *library, const char *name, void *ret_function)
{
    void *address = dlsym(library, name);
    if (address == NULL) {
        return false;
    }
    // POSIX promises that a function's address fits; C has no cast for it, memcpy has no opinion.
    memcpy(ret_function, &address, sizeof(address));
    return true;
}

bool tp_library_of(void (*function)(void), char *ret_path, size_t path_size)
{
    Dl_info info;
    void *address = NULL;
    memcpy(&address, &function, sizeof(address));
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        return false;
    }
    // The program itself goes by the name that it was called by, which need not be a path.
    if (info.dli_fname[0] != '/') {
        const ssize_t size = readlink("/proc/self/exe", ret_path, path_size);
        if (size <= 0 || (size_t)size >= path_size) {
            return false;
        }
        ret_path[size] = '\0';
        return true;
    }
    const int size = snprintf(ret_path, path_size, "%s", info.dli_fname);
    return size > 0 && (size_t)size < path_size;
}

bool tp_executable_directory(char *ret_path, size_t path_size)
{
    if (path_size < 2) {
        return false;
    }
    const ssize_t size = readlink("/proc/self/exe", ret_path, path_size - 1);
    if (size <= 0 || (size_t)size == path_size - 1) {
        return false;
    }
    ret_path[size] = '\0';
    char *slash = strrchr(ret_path, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}
