// SPDX-License-Identifier: Apache-2.0
//
// Functions that no source file may call, made compile errors: memory goes through the allocator,
// text through bounded helpers, numbers through parsers that report overflow, dates through code
// without hidden state. Forced in on the compiler's command line for every file but alloc.c, which
// implements the replacement. By attribute and not by `#pragma GCC poison`, since the headers of
// other libraries have members of these names; checked by gcc alone, which suffices.
#ifndef TP_BANNED_H
#define TP_BANNED_H

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <mm_malloc.h> // part of <immintrin.h>; calls what is banned below
#endif

// The fortified header defines this one as a macro.
#undef sprintf

#define TP_BANNED(instead) __attribute__((unavailable(instead)))

void *malloc(size_t size) TP_BANNED("use tp_alloc");
void *calloc(size_t count, size_t size) TP_BANNED("use tp_alloc_array_zero");
void *realloc(void *block, size_t size) TP_BANNED("use tp_resize_array");
void free(void *block) TP_BANNED("use tp_free");
char *strdup(const char *text) TP_BANNED("use tp_strndup");
char *strndup(const char *text, size_t size) TP_BANNED("use tp_strndup");
char *strcpy(char *to, const char *from) TP_BANNED("use tp_buffer or memcpy");
char *strcat(char *to, const char *from) TP_BANNED("use tp_buffer");
char *strncpy(char *to, const char *from, size_t size) TP_BANNED("use memcpy");
char *strncat(char *to, const char *from, size_t size) TP_BANNED("use tp_buffer");
int sprintf(char *to, const char *format, ...) TP_BANNED("use snprintf or tp_buffer_printf");
char *strtok(char *text, const char *marks) TP_BANNED("use tp_str");
char *strtok_r(char *text, const char *marks, char **state) TP_BANNED("use tp_str");
int atoi(const char *text) TP_BANNED("use tp_str_to_int64");
long atol(const char *text) TP_BANNED("use tp_str_to_int64");
double atof(const char *text) TP_BANNED("use a parser that reports errors");
long strtol(const char *text, char **end, int base) TP_BANNED("use tp_str_to_int64");
unsigned long strtoul(const char *text, char **end, int base) TP_BANNED("use tp_str_to_uint64");
struct tm *localtime(const time_t *time) TP_BANNED("hidden state and time zone");
struct tm *gmtime(const time_t *time) TP_BANNED("hidden state");
char *ctime(const time_t *time) TP_BANNED("hidden state");
char *asctime(const struct tm *time) TP_BANNED("hidden state");
int setenv(const char *name, const char *value, int overwrite) TP_BANNED("races with getenv");
int putenv(char *text) TP_BANNED("races with getenv");
#endif

#endif
