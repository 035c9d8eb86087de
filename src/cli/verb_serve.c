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
    {"registry", NULL, "serve the registry and MLflow's tracking, where no model is named", false},
    {"tls", "self", "TLS with a certificate of its own making, in the home directory", false},
    {"tls-cert", "FILE", "TLS: the certificate in PEM, and those up to the root", false},
    {"tls-key", "FILE", "its key in PEM", false},
    {"tls-client-ca", "FILE", "clients need a certificate that one of these vouches for", false},
    {"user", "NAME", "become that user once the port is bound and the key is read", false},
    {"airgap", NULL, "the kernel lets the server call nobody; see doctor --airgap", false},
    {"no-auth", NULL, "answer anybody on this machine, without keys; on loopback alone", false},
    {"receipts", NULL, "put each prediction into the audit log, for tapeout replay", false},
    {"no-audit", NULL, "keep no audit log in the home", false},
    {"quiet-requests", NULL, "no log line for each request", false},
    {"context", "TOKENS", "longest prompt and answer of a language model", false},
    {"kv-bytes", "N", "size of each one's key/value cache", false},
    {"memory", "BYTES", "what all language models may take; one that does not fit is refused",
     false},
    {"kv-q8", NULL, "eight bits a value in the cache instead of sixteen", false},
};

static void write_stderr(void *user, const char *lines, size_t size)
{
    (void)user;
    (void)fwrite(lines, 1, size, stderr); // there is nowhere to say that it failed
    (void)fflush(stderr);
}

// Not a line of the log: a key belongs to a person, not to where logs are kept.
static void tell_first_key(void *user, const char *key, const char *url)
{
    (void)user;
    (void)fprintf(stderr,
                  "tapeout: an administrator's API key, which is told only now:\n"
                  "  %s\n"
                  "  curl -H \"Authorization: Bearer %s\" %s/v2/models\n",
                  key, key, url);
    (void)fflush(stderr);
}

static bool read_llm_flags(cli *self, tapeout_serve_options *options)
{
    uint64_t context = 0;
    options->llm_kv_is_q8 = cli_has(self, "kv-q8");
    if ((cli_has(self, "memory") && !cli_number(self, "memory", &options->llm_memory_bytes)) ||
        (cli_has(self, "kv-bytes") && !cli_number(self, "kv-bytes", &options->llm_kv_bytes)) ||
        (cli_has(self, "context") && !cli_number(self, "context", &context))) {
        return false;
    }
    options->llm_context = context > UINT32_MAX ? UINT32_MAX : (uint32_t)context;
    return true;
}

static bool read_tls_flags(cli *self, tapeout_serve_options *options)
{
    const char *kind = cli_value(self, "tls");
    options->tls_self = kind != NULL;
    options->tls_cert = cli_value(self, "tls-cert");
    options->tls_key = cli_value(self, "tls-key");
    options->tls_client_ca = cli_value(self, "tls-client-ca");
    if (kind != NULL && strcmp(kind, "self") != 0) {
        (void)cli_usage(self, "--tls knows self alone; a certificate in files goes by --tls-cert "
                              "and --tls-key");
        return false;
    }
    return true;
}

static int run(cli *self)
{
    static tapeout_serve_model models[CLI_MAX_ARGUMENTS];
    tapeout_serve_options options;
    tapeout_serve_options_init(&options);
    for (int i = 0; i < self->argument_count; i++) {
        models[i].model = self->arguments[i];
    }
    const char *listen = cli_value(self, "listen");
    if (listen != NULL && strrchr(listen, ':') == NULL) {
        return cli_usage(self, "--listen wants HOST:PORT, not \"%s\"", listen);
    }
    if (!read_llm_flags(self, &options) || !read_tls_flags(self, &options)) {
        return CLI_EXIT_USAGE;
    }
    options.models = models;
    options.model_count = (size_t)self->argument_count;
    options.thread_count = self->options.thread_count;
    options.listen = listen;
    options.config = cli_value(self, "config");
    options.user = cli_value(self, "user");
    options.airgap = cli_has(self, "airgap");
    options.registry = cli_has(self, "registry");
    options.no_auth = cli_has(self, "no-auth");
    options.first_key = tell_first_key;
    options.receipts = cli_has(self, "receipts");
    options.no_audit = cli_has(self, "no-audit");
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
        "Each MODEL is the path of a bundle or model file, or a registered name; the first also\n"
        "answers /score and /invocations. Without any, the configuration names them, or one is\n"
        "searched where cloud platforms mount models; --registry does without one. Logs go to\n"
        "stderr, a line of JSON an event. TERM and INT finish what is under way and exit 0; HUP\n"
        "looks for new versions.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 0,
    .max_arguments = CLI_MAX_ARGUMENTS,
    .run = run,
};
