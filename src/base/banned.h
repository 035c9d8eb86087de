// SPDX-License-Identifier: Apache-2.0
//
// Functions that no source file may call, made compile errors: memory goes through the allocator,
// text through bounded helpers, numbers through parsers that report overflow. Included on the
// compiler's command line for every file but the few that implement the replacements.
#ifndef TP_BANNED_H
#define TP_BANNED_H

#ifndef TP_BANNED_ALLOW
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison malloc calloc realloc reallocarray strcpy strcat strncpy strncat sprintf vsprintf
#pragma GCC poison gets atoi atol atof strtok strtok_r strtol strtoul strtoll strtoull localtime
#pragma GCC poison gmtime asctime ctime strdup strndup alloca setenv putenv
#endif

#endif
