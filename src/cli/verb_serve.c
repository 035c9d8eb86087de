// SPDX-License-Identifier: Apache-2.0
//
// tapeout serve: answers over HTTP until asked to stop.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/serve.h>

static const cli_flag flags[] = {
    {"listen", "HOST:PORT", "where to listen; default 127.0.0.1:8080; port 0: any that is free",
     false},
    {"config", "FILE", "models and limits from a YAML file", false},
    {"no-auth", NULL, "answer anybody on this machine: needed as long as there are no identities",
     false},
    {"quiet-requests", NULL, "no log line for each request", false},
};

static void write_stderr(void *user, const char *lines, size_t size)
{
    (void)user;
    (void)fwrite(lines, 1, size, stderr); // there is nowhere to say that it failed
    (void)fflush(stderr);
}

static int run(cli *self)
{
    static tapeout_serve_model models[CLI_MAX_ARGUMENTS];
    tapeout_serve_options options;
    tapeout_serve_options_init(&options);
    for (int i = 0; i < self->argument_count; i++) {
        models[i].model = self->arguments[i];
    }
    if (!cli_has(self, "no-auth")) {
        return cli_usage(self, "needs --no-auth: there are no identities yet, so anybody on this "
                               "machine can ask the models; say so aloud to start");
    }
    const char *listen = cli_value(self, "listen");
    if (listen != NULL && strrchr(listen, ':') == NULL) {
        return cli_usage(self, "--listen wants HOST:PORT, not \"%s\"", listen);
    }
    options.models = models;
    options.model_count = (size_t)self->argument_count;
    options.thread_count = self->options.thread_count;
    options.listen = listen;
    options.config = cli_value(self, "config");
    options.no_auth = true;
    options.quiet_requests = cli_has(self, "quiet-requests");
    options.handle_signals = true;
    options.log = write_stderr;
    return tapeout_serve_run(self->context, &options, &self->err) == TAPEOUT_OK ? 0
                                                                                : cli_failure(self);
}

const cli_verb cli_verb_serve = {
    .name = "serve",
    .arguments = "[MODEL...]",
    .summary = "answer over HTTP",
    .text =
        "Each MODEL is a bundle's path or a registered name; the first also answers /score and\n"
        "/invocations. Without any, the configuration names them, or one is searched where\n"
        "cloud platforms mount models. Logs go to stderr, a line of JSON an event. TERM and\n"
        "INT finish what is under way and exit 0; HUP looks for new versions.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 0,
    .max_arguments = CLI_MAX_ARGUMENTS,
    .run = run,
};
