// SPDX-License-Identifier: Apache-2.0
//
// What a misspelt command or flag was meant to be: the known name at the least edit distance, where
// that is at most a third of the name's length. Names are short, so one row of the table of
// distances stands on the stack.
#include "cli/cli.h"

#include <string.h>

enum { MAX_NAME = 64, HOPELESS = MAX_NAME + 1 };

typedef struct nearest {
    const char *wrong;
    size_t size;
    const char *best;
    size_t distance;
} nearest;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Insertions, deletions and substitutions that lead from one name to the other (Levenshtein).
static size_t edit_distance(const char *a, size_t a_size, const char *b)
{
    size_t row[MAX_NAME + 1];
    const size_t b_size = strlen(b);
    if (a_size > MAX_NAME || b_size > MAX_NAME) {
        return HOPELESS;
    }
    for (size_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_size];
}

static void consider(nearest *search, const char *name)
{
    const size_t distance = edit_distance(search->wrong, search->size, name);
    const size_t longer = search->size > strlen(name) ? search->size : strlen(name);
    if (distance < search->distance && distance * 3 <= longer + 1) {
        search->best = name;
        search->distance = distance;
    }
}

const char *cli_nearest_verb(const char *name)
{
    nearest search = {name, strlen(name), NULL, HOPELESS};
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            consider(&search, verbs[i]->name);
        }
    }
    return search.best;
}

const char *cli_nearest_flag(const cli_verb *verb, const char *name, size_t size)
{
    nearest search = {name, size, NULL, HOPELESS};
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    for (size_t i = 0; i < verb->flag_count; i++) {
        consider(&search, verb->flags[i].name);
    }
    for (size_t i = 0; i < common_count; i++) {
        consider(&search, common[i].name);
    }
    return search.best;
}
