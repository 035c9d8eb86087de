// SPDX-License-Identifier: Apache-2.0
//
// Runs inputs through a fuzz target without libFuzzer: every file that is named, and every file of
// a folder that is named, in order of name. What once crashed a parser is such a file and stays a
// test. Each input lies in a block of its exact size, so that a sanitizer sees a read past its end.
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECONDS_PER_INPUT = 60 };

static char current[4096];
static size_t passed;

// Says which input it was, with what a signal handler may call.
static void on_signal(int number)
{
    (void)!write(STDOUT_FILENO, "not ok ", strlen("not ok "));
    (void)!write(STDOUT_FILENO, current, strlen(current));
    (void)!write(STDOUT_FILENO, "\n", 1);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void die(const char *what)
{
    (void)fprintf(stderr, "replay: %s: %s\n", current, what);
    exit(EXIT_FAILURE);
}

static void run_file(void)
{
    FILE *file = fopen(current, "rb");
    struct stat info;
    if (file == NULL || fstat(fileno(file), &info) != 0) {
        die("cannot open");
    }
    const size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        die("cannot read");
    }
    (void)fclose(file);
    (void)alarm(SECONDS_PER_INPUT);
    (void)LLVMFuzzerTestOneInput(data, size);
    (void)alarm(0);
    free(data);
    passed++;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run_folder(const char *folder)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, is_visible, alphasort);
    if (count <= 0) {
        die("no inputs in this folder; a target needs a corpus");
    }
    for (int i = 0; i < count; i++) {
        (void)snprintf(current, sizeof(current), "%s/%s", folder, entries[i]->d_name);
        run_file();
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)signal(numbers[i], on_signal);
    }
    for (int i = 1; i < argc; i++) {
        (void)snprintf(current, sizeof(current), "%s", argv[i]);
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
            run_folder(argv[i]);
        } else {
            run_file();
        }
    }
    (void)printf("# %zu passed, 0 failed, 0 skipped\n", passed);
    return EXIT_SUCCESS;
}
