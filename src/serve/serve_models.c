// SPDX-License-Identifier: Apache-2.0
//
// Where a model lies when nobody says so: cloud platforms mount a folder, whose inner layout
// differs from one to the next and between their own documents, so it is searched. One bundle must
// be found: guessing among several would serve the wrong one some day. Links to folders are not
// followed.
#include "serve/tp_serve_config.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

enum { SEARCH_MAX_DEPTH = 8, SEARCH_MAX_ENTRIES = 20000 };

typedef struct search {
    char path[TP_MAX_PATH_BYTES];
    size_t size;
    uint32_t entry_count;
    uint32_t found_count;
    tp_buffer *found; // the first
} search;

static bool push(search *state, const char *name)
{
    const size_t size = strlen(name);
    if (size + 2 > sizeof(state->path) - state->size) {
        return false;
    }
    state->path[state->size++] = '/';
    memcpy(state->path + state->size, name, size + 1);
    state->size += size;
    return true;
}

static void look(search *state, uint32_t depth);

static void look_at(search *state, const char *name, uint32_t depth)
{
    const size_t size = state->size;
    struct stat about;
    if (!push(state, name)) {
        return;
    }
    if (lstat(state->path, &about) == 0 && S_ISDIR(about.st_mode)) {
        look(state, depth + 1);
    } else if (stat(state->path, &about) == 0 && S_ISREG(about.st_mode) &&
               tp_bundle_probe(state->path)) {
        if (state->found_count++ == 0) {
            tp_buffer_append(state->found, state->path, state->size);
        }
    }
    state->size = size;
    state->path[size] = '\0';
}

static void look(search *state, uint32_t depth)
{
    DIR *directory = depth > SEARCH_MAX_DEPTH ? NULL : opendir(state->path);
    if (directory == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(directory);
         entry != NULL && state->entry_count < SEARCH_MAX_ENTRIES; entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            state->entry_count++;
            look_at(state, entry->d_name, depth);
        }
    }
    (void)closedir(directory);
}

tapeout_status tp_serve_model_search(const char *const *directories, size_t count,
                                     tp_buffer *ret_path, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        search state = {.size = strlen(directories[i]), .found = ret_path};
        if (state.size >= sizeof(state.path)) {
            continue;
        }
        memcpy(state.path, directories[i], state.size + 1);
        look(&state, 0);
        if (state.found_count > 1) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "%s holds %u bundles; name the one to serve on the command line",
                           directories[i], state.found_count);
        }
        if (state.found_count == 1) {
            return tp_buffer_check(ret_path, "path of the model", err);
        }
    }
    return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                   "no model to serve: name one on the command line or in --config (none is in "
                   "AZUREML_MODEL_DIR, /mnt/models or /opt/ml/model), or serve the registry "
                   "alone with --registry");
}
