// SPDX-License-Identifier: Apache-2.0
//
// tapeout chat: a conversation in the terminal. Answers appear as they are generated; Ctrl-C stops
// the answer, at the prompt it ends the program as Ctrl-D does. Lines are edited with libedit where
// it was built in and stdin is a terminal.
#include "cli/verbs.h"

#include "cli/cli_sampling.h"

#include <signal.h>
#include <string.h>
#include <tapeout/llm.h>
#include <unistd.h>
#include <yyjson.h>
#ifdef TAPEOUT_HAS_EDITLINE
#include <histedit.h>
#endif

static const cli_flag flags[] = {
    {"system", "TEXT", "the system's message", false},
    {"max-tokens", "N", "of one answer", false},
    CLI_SAMPLING_FLAGS,
    CLI_LLM_FLAGS,
};

enum { LINE_BYTES = 1 << 16, HISTORY_LINES = 1000 };

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

// -- lines ---------------------------------------------------------------------------------------
typedef struct line_reader {
    bool is_terminal;
    char line[LINE_BYTES];
#ifdef TAPEOUT_HAS_EDITLINE
    EditLine *editor;
    History *history;
    HistEvent event;
#endif
} line_reader;

#ifdef TAPEOUT_HAS_EDITLINE
static char *prompt_text(EditLine *editor)
{
    (void)editor;
    static char text[] = ">>> ";
    return text;
}
#endif

static void reader_open(line_reader *reader)
{
    reader->is_terminal = isatty(STDIN_FILENO) == 1;
#ifdef TAPEOUT_HAS_EDITLINE
    if (reader->is_terminal) {
        reader->editor = el_init("tapeout", stdin, stdout, stderr);
        reader->history = history_init();
    }
    if (reader->editor != NULL && reader->history != NULL) {
        (void)history(reader->history, &reader->event, H_SETSIZE, HISTORY_LINES);
        (void)el_set(reader->editor, EL_PROMPT, prompt_text);
        (void)el_set(reader->editor, EL_EDITOR, "emacs");
        (void)el_set(reader->editor, EL_HIST, history, reader->history);
        (void)el_source(reader->editor, NULL);
    }
#endif
}

static void reader_close(line_reader *reader)
{
#ifdef TAPEOUT_HAS_EDITLINE
    if (reader->history != NULL) {
        history_end(reader->history);
    }
    if (reader->editor != NULL) {
        el_end(reader->editor);
    }
#else
    (void)reader;
#endif
}

// A line without its end, or NULL at the end of input.
static const char *reader_next(line_reader *reader)
{
#ifdef TAPEOUT_HAS_EDITLINE
    if (reader->editor != NULL) {
        int count = 0;
        const char *line = el_gets(reader->editor, &count);
        if (line == NULL || count <= 0 || (size_t)count >= sizeof(reader->line)) {
            return NULL;
        }
        memcpy(reader->line, line, (size_t)count);
        reader->line[count] = '\0';
        reader->line[strcspn(reader->line, "\r\n")] = '\0';
        if (reader->line[0] != '\0') {
            (void)history(reader->history, &reader->event, H_ENTER, reader->line);
        }
        return reader->line;
    }
#endif
    if (reader->is_terminal) {
        (void)fputs(">>> ", stdout);
        (void)fflush(stdout);
    }
    if (fgets(reader->line, sizeof(reader->line), stdin) == NULL) {
        return NULL;
    }
    reader->line[strcspn(reader->line, "\r\n")] = '\0';
    return reader->line;
}

// -- the conversation ----------------------------------------------------------------------------
typedef struct talk {
    cli *self;
    tapeout_chat *chat;
    tapeout_generate_options options;
    bool is_verbose; // timings behind each answer
} talk;

static bool print_text(void *user, const char *text, size_t size)
{
    (void)user;
    return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0 && is_interrupted == 0;
}

static void print_timings(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *usage = yyjson_obj_get(root, "usage");
    yyjson_val *timings = yyjson_obj_get(root, "timings");
    const double decode_s = yyjson_get_num(yyjson_obj_get(timings, "decode_ms")) / 1000;
    const double count = yyjson_get_num(yyjson_obj_get(usage, "completion_tokens"));
    (void)fprintf(stderr,
                  "[%.0f tokens in, %.0f of them cached; first after %.0f ms; %.0f out, %.1f a "
                  "second]\n",
                  yyjson_get_num(yyjson_obj_get(usage, "prompt_tokens")),
                  yyjson_get_num(yyjson_obj_get(usage, "cached_tokens")),
                  yyjson_get_num(yyjson_obj_get(timings, "prefill_ms")), count,
                  decode_s > 0 ? (count - 1) / decode_s : 0);
    yyjson_doc_free(doc);
}

// One that fails leaves the conversation as it was.
static bool say(talk *self, const char *line)
{
    char *json = NULL;
    is_interrupted = 0;
    if (tapeout_chat_say(self->chat, line, &self->options, &json, &self->self->err) != TAPEOUT_OK) {
        (void)cli_failure(self->self);
        return self->self->err.status != TAPEOUT_E_CANCELLED;
    }
    if (self->self->is_json) {
        return cli_print_json(self->self, json) == 0;
    }
    (void)fputs(is_interrupted != 0 ? "\n[stopped]\n" : "\n", stdout);
    if (self->is_verbose) {
        print_timings(json);
    }
    tapeout_text_free(self->self->context, json);
    return true;
}

static const char help[] = "/system TEXT  begin anew with this system message\n"
                           "/clear        forget the conversation\n"
                           "/set NAME X   temperature, top-p, top-k, min-p, max-tokens or seed\n"
                           "/verbose      timings behind each answer, or not\n"
                           "/help         this\n"
                           "/bye          end\n";

static bool set_one(tapeout_generate_options *options, const char *name, double value)
{
    if (strcmp(name, "temperature") == 0) {
        options->temperature = value;
    } else if (strcmp(name, "top-p") == 0) {
        options->top_p = value;
    } else if (strcmp(name, "min-p") == 0) {
        options->min_p = value;
    } else if (value < 0 || value > UINT32_MAX) {
        return false;
    } else if (strcmp(name, "top-k") == 0) {
        options->top_k = (uint32_t)value;
    } else if (strcmp(name, "max-tokens") == 0) {
        options->max_tokens = (uint32_t)value;
    } else if (strcmp(name, "seed") == 0) {
        options->seed = (uint64_t)value;
    } else {
        return false;
    }
    return true;
}

static void command_set(talk *self, const char *arguments)
{
    char name[32] = "";
    yyjson_val value;
    const size_t size = strcspn(arguments, " ");
    const char *number = arguments + size + strspn(arguments + size, " ");
    if (size < sizeof(name)) {
        memcpy(name, arguments, size);
    }
    const char *end = yyjson_read_number(number, &value, 0, NULL, NULL);
    if (end == NULL || *end != '\0' || !set_one(&self->options, name, yyjson_get_num(&value))) {
        (void)fputs("/set NAME X; see /help for the names\n", stderr);
    }
}

// False ends the conversation.
static bool command(talk *self, const char *line)
{
    tapeout_error *err = &self->self->err;
    tapeout_status status = TAPEOUT_OK;
    if (strcmp(line, "/bye") == 0 || strcmp(line, "/exit") == 0 || strcmp(line, "/quit") == 0) {
        return false;
    }
    if (strncmp(line, "/system ", 8) == 0) {
        status = tapeout_chat_reset(self->chat, line + 8, err);
    } else if (strcmp(line, "/clear") == 0) {
        status = tapeout_chat_reset(self->chat, NULL, err);
    } else if (strncmp(line, "/set ", 5) == 0) {
        command_set(self, line + 5);
    } else if (strcmp(line, "/verbose") == 0) {
        self->is_verbose = !self->is_verbose;
    } else {
        (void)fputs(help, stderr);
    }
    return status == TAPEOUT_OK || cli_failure(self->self) == 0;
}

static void converse(talk *self)
{
    static line_reader reader;
    const char *line = NULL;
    bool goes_on = true;
    reader_open(&reader);
    if (reader.is_terminal && !self->self->is_quiet) {
        (void)fputs("/help lists commands, /bye ends\n", stderr);
    }
    // Ctrl-C is the answer's from here on, not the program's.
    const struct sigaction interrupt = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &interrupt, NULL); // a known signal and a valid handler
    while (goes_on && (line = reader_next(&reader)) != NULL) {
        if (line[0] == '/') {
            goes_on = command(self, line);
        } else if (line[strspn(line, " \t")] != '\0') {
            goes_on = say(self, line);
        }
    }
    reader_close(&reader);
}

static int run(cli *self)
{
    tapeout_llm *llm = NULL;
    tapeout_llm_options llm_options;
    uint64_t max_tokens = 0;
    talk said = {.self = self};
    tapeout_generate_options_init(&said.options);
    said.options.temperature = 0.7;
    said.options.top_p = 0.95;
    said.options.on_text = self->is_json ? NULL : print_text;
    const int status = cli_sampling_read(self, &said.options);
    if (status != 0 || !cli_llm_options_read(self, &llm_options) ||
        (cli_has(self, "max-tokens") && !cli_number(self, "max-tokens", &max_tokens))) {
        return CLI_EXIT_USAGE;
    }
    said.options.max_tokens = max_tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)max_tokens;
    if (tapeout_llm_open(self->context, self->arguments[0], &llm_options, &llm, &self->err) !=
            TAPEOUT_OK ||
        tapeout_chat_new(self->context, llm, cli_value(self, "system"), &said.chat, &self->err) !=
            TAPEOUT_OK) {
        tapeout_llm_close(llm);
        return cli_failure(self);
    }
    self->err.status = TAPEOUT_OK;
    converse(&said);
    tapeout_chat_free(said.chat);
    tapeout_llm_close(llm);
    return self->err.status == TAPEOUT_OK ? 0 : CLI_EXIT_FAILURE;
}

const cli_verb cli_verb_chat = {
    .name = "chat",
    .arguments = "MODEL",
    .summary = "talk to a language model in the terminal",
    .text = "Answers appear as they come; Ctrl-C stops one. Lines that begin with / are commands, "
            "/help\n"
            "lists them. With --json each answer is a JSON object on a line. Temperature is 0.7 "
            "and\n"
            "top-p 0.95 unless said otherwise; with the same seed the same conversation takes the\n"
            "same course.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
