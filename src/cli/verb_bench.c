// SPDX-License-Identifier: Apache-2.0
//
// tapeout bench: measures this program beside its peers, each in a process of its own, one after
// the other in the same run, and prints the figures and how many times better ours is. What each
// benchmark does, and what was measured where, stands in docs/benchmarks.md.
#include "cli/cli_run.h"
#include "cli/verbs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { MAX_PEERS = 2, MAX_FIGURES = 5, ROUND_SECONDS_MAX = 300, WORD_BYTES = PATH_MAX + 512 };

// In the arguments "@" stands for the benchmark's folder, "%" for the program's own checkout.
typedef struct contestant {
    const char *name;
    const char *arguments; // separated by blanks; of the part, or of Python
} contestant;

typedef struct figure {
    const char *bench; // what the user asks for
    const char *unit;
    const char *keys[2]; // of the contestants' JSON, added up
    bool is_rate;        // more is better
    const char *cpu_key; // the same by processor time; NULL: not told
} figure;

// One set of runs, which may give several figures.
typedef struct contest {
    const char *group; // asks for all contests of this name together; NULL: none
    const char *needs; // a file; where it is not there, the contest is passed over; NULL: none
    figure figures[MAX_FIGURES]; // those without a name do not count
    const char *make;            // arguments of our part that makes the data; NULL: none
    contestant ours;
    contestant peers[MAX_PEERS]; // those without a name do not count
} contest;

// What `make bench` installs; the second on request alone.
#define SMOLLM2 "%/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
#define GEMMA3 "%/.deps/models/gemma-3-270m-q4_k_m.gguf"

static const contest contests[] = {
    {.figures = {{"train", "s", {"bin_s", "boost_s"}, false, "train_cpu_s"},
                 {"predict", "rows/s", {"predict_rows_per_s"}, true, "predict_rows_per_cpu_s"}},
     .make = "gbt make @/data rows=1000000 features=28",
     .ours = {"tapeout", "gbt train @/data threads=2 trees=100 leaves=63 test=0"},
     .peers = {{"lightgbm", "%/bench/peers_gbt.py lightgbm @/data threads=2 test=0"},
               {"xgboost", "%/bench/peers_gbt.py xgboost @/data threads=2 test=0"}}},
    {.figures = {{"contention", "x", {"factor"}, false, NULL}},
     .make = "gbt make @/data rows=200000 features=28",
     .ours = {"tapeout", "gbt contention @/data threads=2 trees=50 leaves=63"},
     .peers = {{"lightgbm",
                "%/bench/peers_gbt.py lightgbm @/data busy=1 trees=50 threads=2 test=0"},
               {"xgboost",
                "%/bench/peers_gbt.py xgboost @/data busy=1 trees=50 threads=2 test=0"}}},
    {.figures = {{"csv", "MB/s/core", {"mb_per_s_core"}, true, "mb_per_cpu_s"}},
     .make = "csv make @/data.csv 1000000",
     .ours = {"tapeout", "csv read @/data.csv 1"},
     .peers = {{"pandas", "%/bench/peers_csv.py pandas @/data.csv"},
               {"pyarrow", "%/bench/peers_csv.py pyarrow @/data.csv"}}},
    {.figures = {{"features", "s", {"seconds"}, false, "cpu_s"}},
     .make = "csv make @/data.csv 1000000",
     .ours = {"tapeout", "features run @/data.csv 1"},
     .peers = {{"scikit-learn", "%/bench/peers_features.py @/data.csv"}}},
    {.figures = {{"single", "us", {"single_row_us"}, false, NULL}},
     .make = "csv make @/data.csv 40000",
     .ours = {"tapeout", "pipeline single @"}},
    {.figures = {{"http", "requests/s", {"requests_per_s"}, true, NULL}},
     .make = "csv make @/data.csv 40000",
     .ours = {"tapeout", "pipeline http @ 3"}},
    {.group = "trust",
     .figures = {{"http-plain", "us", {"plain_us"}, false, NULL},
                 {"http-trust", "us", {"trust_us"}, false, NULL},
                 {"http-receipt", "us", {"receipts_us"}, false, NULL},
                 {"trust-cost", "x of plain", {"trust_x"}, false, NULL},
                 {"receipt-cost", "x of plain", {"receipts_x"}, false, NULL}},
     .make = "csv make @/data.csv 40000",
     .ours = {"tapeout", "trust http @"}},
    {.group = "trust",
     .figures = {{"alias", "ms", {"alias_ms"}, false, NULL}},
     .ours = {"tapeout", "trust alias @"}},
    {.group = "trust",
     .figures = {{"audit-verify", "records/s", {"records_per_s"}, true, "records_per_cpu_s"}},
     .ours = {"tapeout", "trust audit @"}},
    {.group = "llm",
     .needs = SMOLLM2,
     .figures = {{"prefill", "tokens/s", {"prefill_per_s"}, true, "prefill_per_cpu_s"},
                 {"decode-2", "tokens/s", {"decode_per_s"}, true, "decode_per_cpu_s"}},
     .ours = {"tapeout", "llm speed " SMOLLM2 " threads=2"},
     .peers = {{"llama.cpp", "%/bench/peers_llm.py " SMOLLM2 " threads=2"}}},
    {.group = "llm",
     .needs = SMOLLM2,
     .figures = {{"decode-1", "tokens/s", {"decode_per_s"}, true, "decode_per_cpu_s"},
                 {"streams-8", "tokens/s", {"streams_per_s"}, true, "streams_per_cpu_s"}},
     .ours = {"tapeout", "llm speed " SMOLLM2 " threads=1"},
     .peers = {{"llama.cpp", "%/bench/peers_llm.py " SMOLLM2 " threads=1"}}},
    {.group = "llm",
     .needs = SMOLLM2,
     .figures = {{"bandwidth", "of a read", {"of_read"}, true, NULL},
                 {"eight", "x of one", {"streams_over_one"}, true, "streams_over_one_cpu"}},
     .ours = {"tapeout", "llm speed " SMOLLM2 " threads=1"}},
    {.group = "llm",
     .needs = SMOLLM2,
     .figures = {{"first", "ms", {"first_ms"}, false, "first_cpu_ms"},
                 {"peak", "MB", {"peak_mb"}, false, NULL}},
     .ours = {"tapeout", "llm first @ " SMOLLM2}},
    {.group = "llm",
     .needs = GEMMA3,
     .figures = {{"gemma-pre", "tokens/s", {"prefill_per_s"}, true, "prefill_per_cpu_s"},
                 {"gemma-dec", "tokens/s", {"decode_per_s"}, true, "decode_per_cpu_s"}},
     .ours = {"tapeout", "llm speed " GEMMA3 " threads=2"},
     .peers = {{"llama.cpp", "%/bench/peers_llm.py " GEMMA3 " threads=2"}}},
};
enum { CONTEST_COUNT = sizeof(contests) / sizeof(contests[0]) };

static const cli_flag flags[] = {
    {"rounds", "N", "how often each is run, in turn; the best counts; default 1", false},
    {"rows", "N", "instead of the rows that the benchmark makes", false},
};

typedef struct bench {
    cli *self;
    char program[PATH_MAX];
    char root[PATH_MAX]; // the checkout, above the build folder
    char python[PATH_MAX];
    char folder[PATH_MAX];
    char words[CLI_RUN_ARGUMENTS][WORD_BYTES];
    cli_run run;
    uint64_t rounds;
    const char *rows; // NULL: as the contest says
    size_t printed;
} bench;

// -- running one contestant ----------------------------------------------------------------------

// Expands one word of the arguments into `to`.
static void expand(const bench *self, const char *word, size_t size, char *to)
{
    const char *stands_for = word[0] == '@' ? self->folder : word[0] == '%' ? self->root : NULL;
    if (stands_for != NULL) {
        (void)snprintf(to, WORD_BYTES, "%s%.*s", stands_for, (int)size - 1, word + 1);
    } else {
        (void)snprintf(to, WORD_BYTES, "%.*s", (int)size, word);
    }
}

// Puts the arguments behind those that stand already, `count` of them.
static void add_arguments(bench *self, const char *arguments, size_t count)
{
    while (*arguments != '\0' && count + 1 < CLI_RUN_ARGUMENTS) {
        const size_t size = strcspn(arguments, " ");
        expand(self, arguments, size, self->words[count]);
        self->run.arguments[count] = self->words[count];
        count++;
        arguments += size + (arguments[size] == ' ');
    }
    self->run.arguments[count] = NULL;
}

static bool run_ours(bench *self, const char *arguments)
{
    self->run.arguments[0] = self->program;
    self->run.arguments[1] = "bench-part";
    add_arguments(self, arguments, 2);
    return cli_run_wait(&self->run);
}

static bool run_peer(bench *self, const char *arguments)
{
    self->run.arguments[0] = self->python;
    add_arguments(self, arguments, 1);
    return cli_run_wait(&self->run);
}

// The sum of up to two figures in what the last run printed; false where one is not there.
static bool read_figure(const bench *self, const char *const keys[2], double *ret_value)
{
    yyjson_doc *doc = yyjson_read(self->run.output, strlen(self->run.output), 0);
    double sum = 0;
    bool is_there = doc != NULL;
    for (size_t k = 0; k < 2 && keys[k] != NULL; k++) {
        yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), keys[k]);
        is_there = is_there && yyjson_is_num(value);
        sum += yyjson_get_num(value);
    }
    yyjson_doc_free(doc);
    if (is_there) {
        *ret_value = sum;
    }
    return is_there;
}

// -- a contest -----------------------------------------------------------------------------------

typedef struct result {
    bool is_there;
    double value[MAX_FIGURES];
    double cpu[MAX_FIGURES]; // by processor time; 0: not told
} result;

static double better_of(bool is_rate, double a, double b)
{
    return (a > b) == is_rate ? a : b;
}

static void keep_better(const contest *what, const bench *self, result *best)
{
    for (size_t f = 0; f < MAX_FIGURES && what->figures[f].bench != NULL; f++) {
        const figure *shown = &what->figures[f];
        double value = 0;
        double cpu = 0;
        if (!read_figure(self, shown->keys, &value) ||
            (shown->cpu_key != NULL &&
             !read_figure(self, (const char *[2]){shown->cpu_key}, &cpu))) {
            return;
        }
        best->value[f] = best->is_there ? better_of(shown->is_rate, value, best->value[f]) : value;
        best->cpu[f] = best->is_there ? better_of(shown->is_rate, cpu, best->cpu[f]) : cpu;
    }
    best->is_there = true;
}

// How many times better ours is.
static double advantage(const figure *shown, double ours, double other)
{
    return shown->is_rate ? ours / other : other / ours;
}

// `which`: 0 is ours, then the peers.
static void print_row(bench *self, const contest *what, size_t f, const result *results,
                      size_t which)
{
    const figure *shown = &what->figures[f];
    const char *between = self->printed++ > 0 ? "," : "";
    const char *name = which == 0 ? what->ours.name : what->peers[which - 1].name;
    const result *its = &results[which];
    const double better = advantage(shown, results[0].value[f], its->value[f]);
    const double better_by_cpu = advantage(shown, results[0].cpu[f], its->cpu[f]);
    if (self->self->is_json && !its->is_there) {
        (void)printf("%s{\"bench\":\"%s\",\"of\":\"%s\",\"skipped\":true}", between, shown->bench,
                     name);
    } else if (self->self->is_json) {
        (void)printf("%s{\"bench\":\"%s\",\"of\":\"%s\",\"unit\":\"%s\",\"value\":%.6g,"
                     "\"ours_better_by\":%.4g",
                     between, shown->bench, name, shown->unit, its->value[f], better);
        if (shown->cpu_key != NULL) {
            (void)printf(",\"cpu_value\":%.6g,\"ours_better_by_cpu\":%.4g", its->cpu[f],
                         better_by_cpu);
        }
        (void)fputs("}", stdout);
    } else if (!its->is_there) {
        (void)printf("%-12s %-13s not measured\n", shown->bench, name);
    } else {
        (void)printf("%-12s %-13s %12.6g %-11s %8.2f", shown->bench, name, its->value[f],
                     shown->unit, better);
        if (shown->cpu_key != NULL) {
            (void)printf(" %12.6g %8.2f", its->cpu[f], better_by_cpu);
        }
        (void)fputs("\n", stdout);
    }
    (void)fflush(stdout);
}

// Whether `name` asks for figure `f`, which has a name of its own.
static bool is_name_of(const char *name, const contest *what, size_t f)
{
    return strcmp(name, "all") == 0 || strcmp(name, what->figures[f].bench) == 0 ||
           (what->group != NULL && strcmp(name, what->group) == 0);
}

static bool asked_for(const cli *self, const contest *what, size_t f)
{
    const char *name = what->figures[f].bench;
    bool is_asked = self->argument_count == 0;
    for (int i = 0; name != NULL && i < self->argument_count; i++) {
        is_asked = is_asked || is_name_of(self->arguments[i], what, f);
    }
    return name != NULL && is_asked;
}

static bool is_asked_for(const cli *self, const contest *what)
{
    bool is_asked = false;
    for (size_t f = 0; f < MAX_FIGURES; f++) {
        is_asked = is_asked || asked_for(self, what, f);
    }
    return is_asked;
}

static void print_results(bench *self, const contest *what, const result *results)
{
    for (size_t f = 0; f < MAX_FIGURES; f++) {
        if (!asked_for(self->self, what, f)) {
            continue;
        }
        print_row(self, what, f, results, 0);
        for (size_t p = 0; p < MAX_PEERS && what->peers[p].name != NULL; p++) {
            print_row(self, what, f, results, p + 1);
        }
    }
}

static bool make_data(bench *self, const contest *what)
{
    char arguments[256];
    const char *cut = strstr(what->make, "rows=");
    const char *number = cut != NULL ? cut + 5 : strrchr(what->make, ' ') + 1;
    if (self->rows == NULL) {
        return run_ours(self, what->make);
    }
    (void)snprintf(arguments, sizeof(arguments), "%.*s%s%s", (int)(number - what->make), what->make,
                   self->rows, number + strspn(number, "0123456789"));
    return run_ours(self, arguments);
}

// Whether the file that the contest needs is there; says so where it is not.
static bool has_needs(const bench *self, const contest *what)
{
    char path[WORD_BYTES];
    if (what->needs == NULL) {
        return true;
    }
    expand(self, what->needs, strlen(what->needs), path);
    if (access(path, R_OK) == 0) {
        return true;
    }
    (void)fprintf(stderr,
                  "%s: passed over: %s is not there; docs/benchmarks.md says how it comes\n",
                  what->figures[0].bench, path);
    return false;
}

static bool run_contest(bench *self, const contest *what)
{
    result results[1 + MAX_PEERS] = {0};
    if (!has_needs(self, what)) {
        return true;
    }
    if (what->make != NULL) {
        (void)fprintf(stderr, "%s: making the data\n", what->figures[0].bench);
        if (!make_data(self, what)) {
            return false;
        }
    }
    for (uint64_t round = 0; round < self->rounds; round++) {
        (void)fprintf(stderr, "%s: tapeout\n", what->figures[0].bench);
        if (!run_ours(self, what->ours.arguments)) {
            return false;
        }
        keep_better(what, self, &results[0]);
        for (size_t p = 0; p < MAX_PEERS && what->peers[p].name != NULL; p++) {
            (void)fprintf(stderr, "%s: %s\n", what->figures[0].bench, what->peers[p].name);
            if (run_peer(self, what->peers[p].arguments)) {
                keep_better(what, self, &results[p + 1]);
            } else {
                (void)fprintf(stderr, "%s: %s %s; `make bench` installs the peers\n",
                              what->figures[0].bench, what->peers[p].name,
                              self->run.is_late ? "took too long" : "could not be run");
            }
        }
    }
    print_results(self, what, results);
    return true;
}

// -- the verb ------------------------------------------------------------------------------------

static bool find_places(bench *self)
{
    const ssize_t size = readlink("/proc/self/exe", self->program, sizeof(self->program) - 1);
    const char *python = getenv("TAPEOUT_BENCH_PYTHON");
    if (size <= 0) {
        return false;
    }
    self->program[size] = '\0';
    (void)snprintf(self->root, sizeof(self->root), "%s", self->program);
    for (int i = 0; i < 2; i++) { // from <checkout>/build/tapeout
        char *slash = strrchr(self->root, '/');
        self->root[slash == NULL ? 0 : slash - self->root] = '\0';
    }
    const int used = python != NULL && python[0] != '\0'
                         ? snprintf(self->python, sizeof(self->python), "%s", python)
                         : snprintf(self->python, sizeof(self->python),
                                    "%.4000s/.deps/venv/bin/python", self->root);
    return used > 0 && cli_folder_make(self->folder, sizeof(self->folder));
}

static int check_names(const cli *self)
{
    for (int i = 0; i < self->argument_count; i++) {
        bool is_known = false;
        for (size_t c = 0; c < CONTEST_COUNT; c++) {
            for (size_t f = 0; f < MAX_FIGURES && contests[c].figures[f].bench != NULL; f++) {
                is_known = is_known || is_name_of(self->arguments[i], &contests[c], f);
            }
        }
        if (!is_known) {
            return cli_usage(self,
                             "there is no benchmark \"%s\"; there are train, predict, single, "
                             "csv, features, http, contention, trust and llm",
                             self->arguments[i]);
        }
    }
    return 0;
}

static int run(cli *self)
{
    static bench work;
    uint64_t rows = 0;
    work.self = self;
    work.rounds = 1;
    work.run.seconds_max = ROUND_SECONDS_MAX;
    work.rows = cli_value(self, "rows");
    int status = check_names(self);
    if (status != 0) {
        return status;
    }
    if ((cli_has(self, "rounds") && !cli_number(self, "rounds", &work.rounds)) ||
        (work.rows != NULL && !cli_number(self, "rows", &rows))) {
        return CLI_EXIT_USAGE;
    }
    if (!find_places(&work)) {
        (void)fputs("tapeout: no folder for the benchmark's data; set TMPDIR\n", stderr);
        return CLI_EXIT_FAILURE;
    }
    if (self->is_json) {
        (void)fputs("{\"results\":[", stdout);
    } else {
        (void)printf("%-12s %-13s %12s %-11s %8s %12s %8s\n", "bench", "of", "value", "unit",
                     "ours x", "by CPU time", "ours x");
    }
    for (size_t c = 0; c < CONTEST_COUNT && status == 0; c++) {
        if (is_asked_for(self, &contests[c]) && !run_contest(&work, &contests[c])) {
            (void)fprintf(stderr, "tapeout: the benchmark %s failed\n",
                          contests[c].figures[0].bench);
            status = CLI_EXIT_FAILURE;
        }
    }
    (void)fputs(self->is_json ? "]}\n" : "", stdout);
    cli_folder_remove(work.folder);
    return status;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .arguments = "[NAME...]",
    .summary = "measure this program beside its peers",
    .text =
        "NAME is train, predict, single, csv, features, http, contention or llm (language models:\n"
        "prefill, decode-1, decode-2, streams-8, bandwidth, eight, first, peak); without any, all "
        "run.\n"
        "Peers run in the Python that TAPEOUT_BENCH_PYTHON names, else .deps/venv of the checkout\n"
        "(`make bench` installs them there); those that are not there are passed over. Expect\n"
        "minutes, a gigabyte of memory and half of one in TMPDIR.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .max_arguments = 16,
    .run = run,
    .is_plain = true,
};
