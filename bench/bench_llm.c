// SPDX-License-Identifier: Apache-2.0
//
// Times a language model: reading a prompt, generating for one and for eight at once, and the
// first token of a process that has just begun.
//
//   llm speed MODEL threads=N [prompt=512 tokens=128 streams=8]
//   llm first FOLDER MODEL
//
// `speed` runs forward passes and nothing else, as the peers do: every generated token costs a pass
// with logits, which token comes next is given. The first passes are not timed. `gb_s` counts the
// packed weights once a token; `read_gb_s` is a loop that only reads as many bytes, on one thread,
// right after. `first` imports the model into FOLDER and times whole processes, from their start to
// their end, that answer a prompt of twenty tokens with one. One JSON object on stdout.
#include "bench.h"

#include "base/tp_alloc.h"
#include "llm/gguf/tp_gguf.h"
#include "llm/model/tp_forward.h"
#include "llm/model/tp_kv.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_MAX = 16, CONTEXT = 1024, PAGES = CONTEXT / TP_KV_PAGE_POSITIONS, FIRSTS = 7 };

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench llm: %s\n", what);
    exit(1);
}

static double wall_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint32_t option(int argc, char **argv, const char *name, uint32_t otherwise)
{
    const size_t size = strlen(name);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            return (uint32_t)strtoul(argv[i] + size + 1, NULL, 10);
        }
    }
    return otherwise;
}

// -- passes --------------------------------------------------------------------------------------

typedef struct bench {
    tp_llm *llm;
    tp_llm_run *run;
    float *logits;                // [STREAMS_MAX, V]
    tp_llm_token tokens[CONTEXT]; // of a pass
    tp_llm_sequence sequences[STREAMS_MAX];
    uint32_t pages[STREAMS_MAX][PAGES];
} bench;

typedef struct span {
    double wall;
    double cpu;
} span;

static span now(void)
{
    return (span){wall_seconds(), tp_bench_cpu_seconds()};
}

static span since(span begin)
{
    const span end = now();
    return (span){end.wall - begin.wall, end.cpu - begin.cpu};
}

static void pass(bench *self, uint32_t token_count, uint32_t sequence_count)
{
    const tp_llm_step step = {self->tokens, token_count, self->sequences, sequence_count};
    tapeout_error err;
    if (tp_llm_forward(self->run, &step, self->logits, &err) != TAPEOUT_OK) {
        fail(err.message);
    }
}

static uint32_t some_id(const bench *self, uint32_t i)
{
    return (i * 7919 + 1000) % tp_llm_facts_of(self->llm)->vocab_count;
}

static void read_prompt(bench *self, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        self->tokens[i] = (tp_llm_token){some_id(self, i), i, 0, i + 1 == count};
    }
    pass(self, count, 1);
}

// `count` tokens for each of so many streams, from their beginning on.
static void generate(bench *self, uint32_t streams, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t s = 0; s < streams; s++) {
            self->tokens[s] = (tp_llm_token){some_id(self, i + s), i, s, true};
        }
        pass(self, streams, streams);
    }
}

static span time_generating(bench *self, uint32_t streams, uint32_t count)
{
    generate(self, streams, 4);
    const span begin = now();
    generate(self, streams, count);
    return since(begin);
}

static double read_gb_s(size_t size)
{
    const tp_env env = tp_env_plain();
    uint64_t *words = tp_alloc_aligned(env.alloc, size);
    if (words == NULL) {
        fail("no memory");
    }
    tp_advise_large_pages(words, size);
    memset(words, 1, size);
    double best = 0;
    for (int round = 0; round < 5; round++) {
        uint64_t sums[16] = {0};
        const double begin = tp_bench_cpu_seconds();
        for (size_t i = 0; i + 16 <= size / 8; i += 16) {
            for (size_t k = 0; k < 16; k++) {
                sums[k] ^= words[i + k];
            }
        }
        const double rate = (double)size * 1e-9 / (tp_bench_cpu_seconds() - begin);
        volatile uint64_t keep = sums[0] ^ sums[7] ^ sums[15];
        (void)keep;
        best = rate > best ? rate : best;
    }
    tp_free_aligned(env.alloc, words, size);
    return best;
}

static size_t weight_bytes(const bench *self)
{
    uint64_t sum = 0;
    const tp_gguf *metadata = tp_llm_metadata(self->llm);
    for (size_t i = 0; i < tp_gguf_tensor_count(metadata); i++) {
        uint64_t bytes = 0;
        if (tp_llm_packed_bytes(tp_gguf_tensor_at(metadata, i), &bytes, NULL) == TAPEOUT_OK) {
            sum += bytes;
        }
    }
    return (size_t)sum;
}

static void open_model(bench *self, const char *path, uint32_t thread_count)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_kv *kv = NULL;
    tapeout_error err;
    if (tp_gguf_open(&env, path, &gguf, &err) != TAPEOUT_OK ||
        tp_llm_from_gguf(&env, gguf, &self->llm, &err) != TAPEOUT_OK ||
        tp_kv_new(&env, self->llm, TP_KV_F16, STREAMS_MAX * PAGES, &kv, &err) != TAPEOUT_OK ||
        tp_llm_run_new(&env, self->llm, kv, thread_count, CONTEXT, &self->run, &err) !=
            TAPEOUT_OK) {
        fail(err.message);
    }
    self->logits = malloc(sizeof(float) * STREAMS_MAX * tp_llm_facts_of(self->llm)->vocab_count);
    if (self->logits == NULL) {
        fail("no memory");
    }
    for (uint32_t s = 0; s < STREAMS_MAX; s++) {
        for (uint32_t i = 0; i < PAGES; i++) {
            self->pages[s][i] = s * PAGES + i;
        }
        self->sequences[s].pages = self->pages[s];
    }
}

static int speed(int argc, char **argv)
{
    static bench self;
    const uint32_t prompt = option(argc, argv, "prompt", 512);
    const uint32_t tokens = option(argc, argv, "tokens", 128);
    const uint32_t streams = option(argc, argv, "streams", 8);
    if (prompt == 0 || prompt > CONTEXT || tokens == 0 || tokens > CONTEXT || streams == 0 ||
        streams > STREAMS_MAX) {
        fail("prompt and tokens must be 1 to 1024, streams 1 to 16");
    }
    open_model(&self, argv[0], option(argc, argv, "threads", 1));
    read_prompt(&self, prompt);
    const span begin = now();
    read_prompt(&self, prompt);
    const span prefill = since(begin);
    const span one = time_generating(&self, 1, tokens);
    const span many = time_generating(&self, streams, tokens / 2 + 1);
    const double many_count = (double)streams * (tokens / 2 + 1);
    const size_t size = weight_bytes(&self);
    const double read = read_gb_s(size);
    const double gb_s = (double)size * 1e-9 * tokens / one.cpu;
    (void)printf("{\"prefill_per_s\":%.1f,\"prefill_per_cpu_s\":%.1f,\"decode_per_s\":%.2f,"
                 "\"decode_per_cpu_s\":%.2f,\"streams_per_s\":%.2f,\"streams_per_cpu_s\":%.2f,"
                 "\"streams_over_one\":%.2f,\"streams_over_one_cpu\":%.2f,\"gb_s\":%.2f,"
                 "\"read_gb_s\":%.2f,\"of_read\":%.3f}\n",
                 prompt / prefill.wall, prompt / prefill.cpu, tokens / one.wall, tokens / one.cpu,
                 many_count / many.wall, many_count / many.cpu,
                 many_count / many.wall * one.wall / tokens,
                 many_count / many.cpu * one.cpu / tokens, gb_s, read, gb_s / read);
    return 0;
}

// -- the first token -----------------------------------------------------------------------------

static double cpu_of(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1e-6;
}

// Runs this program; its output goes nowhere.
static span run_program(char *const *arguments, long *ret_peak_kb)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int status = 0;
    struct rusage usage;
    const double begin = wall_seconds();
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) != 0 ||
        posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environ) != 0 ||
        wait4(child, &status, 0, &usage) != child || status != 0) {
        fail("the program could not be run, or failed");
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    *ret_peak_kb = usage.ru_maxrss;
    return (span){wall_seconds() - begin, cpu_of(&usage)};
}

static int first(char *folder, char *model)
{
    char home[4096];
    char bundle[4096];
    long peak_kb = 0;
    (void)snprintf(home, sizeof(home), "%s/home", folder);
    (void)snprintf(bundle, sizeof(bundle), "%s/model.tapeout", folder);
    // Twenty tokens of SmolLM2's vocabulary.
    char prompt[] = "The capital of France is a large and old city on a river, and its name is, as "
                    "many know,";
    char *import[] = {"tapeout", "import", model, "--home", home, "--out", bundle, "--quiet", NULL};
    char *answer[] = {"tapeout", "generate",      bundle,    "--home",
                      home,      "--raw",         "--quiet", "--prompt",
                      prompt,    "--max-tokens",  "1",       "--threads",
                      "2",       "--temperature", "0",       NULL};
    (void)run_program(import, &peak_kb);
    span best = {1e9, 1e9};
    for (int i = 0; i < FIRSTS; i++) {
        const span took = run_program(answer, &peak_kb);
        best.wall = took.wall < best.wall ? took.wall : best.wall;
        best.cpu = took.cpu < best.cpu ? took.cpu : best.cpu;
    }
    (void)printf("{\"first_ms\":%.1f,\"first_cpu_ms\":%.1f,\"peak_mb\":%.1f}\n", best.wall * 1e3,
                 best.cpu * 1e3, (double)peak_kb / 1024);
    return 0;
}

int tp_bench_llm(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "speed") == 0) {
        return speed(argc - 2, argv + 2);
    }
    if (argc == 4 && strcmp(argv[1], "first") == 0) {
        return first(argv[2], argv[3]);
    }
    (void)fputs("usage: llm speed MODEL threads=N | llm first FOLDER MODEL\n", stderr);
    return 2;
}
