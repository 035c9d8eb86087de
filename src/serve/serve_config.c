// SPDX-License-Identifier: Apache-2.0
//
// Settings from a file, bound by one table, and from the options of the call, which win. Paths in
// the file are relative to it. Whether an address may be listened on is decided where all is known
// (server_open.c).
#include "serve/tp_serve_config.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "pipeline/tp_yaml.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

// The file, as far as a table can say it.
typedef struct config_file {
    tp_str listen;
    uint32_t threads;
    bool log_requests;
    bool allow_unsigned;
    tp_str store;
    bool audit_log;
    bool audit_receipts;
    bool audit_rows;
    tp_yaml_node models;
    tp_yaml_node access;
    uint32_t body_bytes;
    uint32_t bodies_bytes;
    uint64_t artifact_bytes;
    uint32_t rows;
    uint32_t connections;
    uint32_t idle_s;
    uint32_t head_s;
    uint32_t body_s;
    uint32_t write_s;
    uint32_t drain_s;
    tp_yaml_strings metrics;
    uint32_t llm_context;
    uint64_t llm_kv_bytes;
    bool llm_kv_q8;
    uint32_t llm_threads;
    uint32_t llm_running;
    uint32_t llm_queue;
    uint32_t llm_deadline_s;
    uint64_t llm_memory_bytes;
    bool llm_unload_idle;
    tp_str tls_cert;
    tp_str tls_key;
    tp_str tls_client_ca;
    tp_str tls_client_cert;
    tp_str tls_min_version;
    bool tls_self;
    uint32_t hsts_s;
    tp_str user;
    tp_str blobs;
    bool airgap;
} config_file;

typedef struct config_model {
    tp_str name;
    tp_str version;
    tp_str path;
    tp_str ref;
    tp_str tenant;
} config_model;

#define PLACE(field) offsetof(config_file, field)
#define MOST_BYTES ((double)(1ull << 50))

static const tp_yaml_key limit_keys[] = {
    {"body_bytes", TP_YAML_U32, PLACE(body_bytes), 1, TP_MAX_HTTP_BODY_BYTES, NULL},
    {"bodies_bytes", TP_YAML_U32, PLACE(bodies_bytes), 1, UINT32_MAX, NULL},
    {"artifact_bytes", TP_YAML_U64, PLACE(artifact_bytes), 1, MOST_BYTES, NULL},
    {"rows", TP_YAML_U32, PLACE(rows), 1, TP_MAX_SERVE_ROWS, NULL},
    {"connections", TP_YAML_U32, PLACE(connections), 1, TP_MAX_SERVE_CONNECTIONS, NULL},
};
static const tp_yaml_table limit_table = {limit_keys, sizeof(limit_keys) / sizeof(limit_keys[0])};

static const tp_yaml_key timeout_keys[] = {
    {"idle", TP_YAML_U32, PLACE(idle_s), 1, 3600, NULL},
    {"head", TP_YAML_U32, PLACE(head_s), 1, 3600, NULL},
    {"body", TP_YAML_U32, PLACE(body_s), 1, 3600, NULL},
    {"write", TP_YAML_U32, PLACE(write_s), 1, 3600, NULL},
    {"drain", TP_YAML_U32, PLACE(drain_s), 1, 3600, NULL},
};
static const tp_yaml_table timeout_table = {timeout_keys,
                                            sizeof(timeout_keys) / sizeof(timeout_keys[0])};

static const tp_yaml_key audit_keys[] = {
    {"log", TP_YAML_BOOL, PLACE(audit_log), 0, 0, NULL},
    {"receipts", TP_YAML_BOOL, PLACE(audit_receipts), 0, 0, NULL},
    {"rows", TP_YAML_BOOL, PLACE(audit_rows), 0, 0, NULL},
};
static const tp_yaml_table audit_table = {audit_keys, sizeof(audit_keys) / sizeof(audit_keys[0])};

static const tp_yaml_key log_keys[] = {
    {"requests", TP_YAML_BOOL, PLACE(log_requests), 0, 0, NULL},
};
static const tp_yaml_table log_table = {log_keys, sizeof(log_keys) / sizeof(log_keys[0])};

static const tp_yaml_key llm_keys[] = {
    {"context", TP_YAML_U32, PLACE(llm_context), 1, TP_MAX_LLM_CONTEXT, NULL},
    {"kv_bytes", TP_YAML_U64, PLACE(llm_kv_bytes), 1, MOST_BYTES, NULL},
    {"kv_q8", TP_YAML_BOOL, PLACE(llm_kv_q8), 0, 0, NULL},
    {"threads", TP_YAML_U32, PLACE(llm_threads), 1, TP_MAX_THREADS, NULL},
    {"running", TP_YAML_U32, PLACE(llm_running), 1, TP_MAX_LLM_RUNNING, NULL},
    {"queue", TP_YAML_U32, PLACE(llm_queue), 1, TP_MAX_LLM_QUEUE, NULL},
    {"deadline", TP_YAML_U32, PLACE(llm_deadline_s), 1, 86400, NULL},
    {"memory_bytes", TP_YAML_U64, PLACE(llm_memory_bytes), 1, MOST_BYTES, NULL},
    {"unload_idle", TP_YAML_BOOL, PLACE(llm_unload_idle), 0, 0, NULL},
};
static const tp_yaml_table llm_table = {llm_keys, sizeof(llm_keys) / sizeof(llm_keys[0])};

static const tp_yaml_key tls_keys[] = {
    {"cert", TP_YAML_STR, PLACE(tls_cert), 0, 0, NULL},
    {"key", TP_YAML_STR, PLACE(tls_key), 0, 0, NULL},
    {"self", TP_YAML_BOOL, PLACE(tls_self), 0, 0, NULL},
    {"client_ca", TP_YAML_STR, PLACE(tls_client_ca), 0, 0, NULL},
    {"client_cert", TP_YAML_STR, PLACE(tls_client_cert), 0, 0, NULL},
    {"min_version", TP_YAML_STR, PLACE(tls_min_version), 0, 0, NULL},
    {"hsts", TP_YAML_U32, PLACE(hsts_s), 0, UINT32_MAX, NULL},
};
static const tp_yaml_table tls_table = {tls_keys, sizeof(tls_keys) / sizeof(tls_keys[0])};

static const tp_yaml_key file_keys[] = {
    {"listen", TP_YAML_STR, PLACE(listen), 0, 0, NULL},
    {"threads", TP_YAML_U32, PLACE(threads), 1, TP_MAX_THREADS, NULL},
    {"allow_unsigned", TP_YAML_BOOL, PLACE(allow_unsigned), 0, 0, NULL},
    {"store", TP_YAML_STR, PLACE(store), 0, 0, NULL},
    {"models", TP_YAML_NODE, PLACE(models), 0, 0, NULL},
    {"limits", TP_YAML_MAP, 0, 0, 0, &limit_table},
    {"timeouts", TP_YAML_MAP, 0, 0, 0, &timeout_table},
    {"log", TP_YAML_MAP, 0, 0, 0, &log_table},
    {"audit", TP_YAML_MAP, 0, 0, 0, &audit_table},
    {"metrics", TP_YAML_STR_LIST, PLACE(metrics), 0, 0, NULL},
    {"llm", TP_YAML_MAP, 0, 0, 0, &llm_table},
    {"tls", TP_YAML_MAP, 0, 0, 0, &tls_table},
    {"access", TP_YAML_NODE, PLACE(access), 0, 0, NULL},
    {"user", TP_YAML_STR, PLACE(user), 0, 0, NULL},
    {"airgap", TP_YAML_BOOL, PLACE(airgap), 0, 0, NULL},
    {"blobs", TP_YAML_STR, PLACE(blobs), 0, 0, NULL},
};
static const tp_yaml_table file_table = {file_keys, sizeof(file_keys) / sizeof(file_keys[0])};

static const tp_yaml_key model_keys[] = {
    {"name", TP_YAML_STR, offsetof(config_model, name), 0, 0, NULL},
    {"version", TP_YAML_STR, offsetof(config_model, version), 0, 0, NULL},
    {"path", TP_YAML_STR, offsetof(config_model, path), 0, 0, NULL},
    {"ref", TP_YAML_STR, offsetof(config_model, ref), 0, 0, NULL},
    {"tenant", TP_YAML_STR, offsetof(config_model, tenant), 0, 0, NULL},
};
static const tp_yaml_table model_table = {model_keys, sizeof(model_keys) / sizeof(model_keys[0])};

void tp_serve_config_init(tp_serve_config *config, const tapeout_allocator *alloc)
{
    memset(config, 0, sizeof(*config));
    tp_arena_init(&config->arena, alloc, TP_MAX_SERVE_CONFIG_BYTES * 8);
    config->listen = "127.0.0.1:8080";
    config->logs_requests = true;
    config->audit_log = true;
    config->audit_rows = true;
    config->max_body_bytes = TP_MAX_HTTP_BODY_BYTES;
    config->max_bodies_bytes = TP_MAX_HTTP_BODIES_BYTES;
    config->max_artifact_bytes = TP_MAX_ARTIFACT_BYTES;
    config->max_rows = TP_MAX_SERVE_ROWS;
    config->max_connections = 16384;
    config->timeouts =
        (tp_loop_timeouts){.idle_ms = 75000, .head_ms = 10000, .body_ms = 30000, .write_ms = 30000};
    config->hsts_s = 31536000;
    config->drain_ms = 25000; // platforms kill 30 s after they asked
}

void tp_serve_config_deinit(tp_serve_config *config)
{
    tp_arena_deinit(&config->arena);
}

static tapeout_status add_model(tp_serve_config *config, tp_str model, tp_str name, tp_str version,
                                tapeout_error *err)
{
    if (config->model_count == TP_MAX_SERVED_MODELS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u models to serve", TP_MAX_SERVED_MODELS);
    }
    tp_model_spec *spec = &config->models[config->model_count];
    spec->path = tp_arena_str(&config->arena, model).data;
    spec->name = tp_arena_str(&config->arena, name);
    spec->version = tp_arena_str(&config->arena, version);
    if (spec->path == NULL || spec->name.data == NULL || spec->version.data == NULL) {
        return tp_fail_nomem(err);
    }
    config->model_count++;
    return TAPEOUT_OK;
}

// A path in the file is relative to the file, as in every spec of the project. NULL for an empty
// one.
static tapeout_status path_beside(tp_serve_config *config, const char *file, tp_str written,
                                  const char **ret_path, tapeout_error *err)
{
    const tapeout_allocator *alloc = config->arena.alloc;
    if (written.size == 0) {
        return TAPEOUT_OK;
    }
    char *path = tp_strndup(alloc, written.data, written.size);
    char *directory = tp_path_directory(alloc, file);
    char *joined = path == NULL || directory == NULL ? NULL : tp_path_join(alloc, directory, path);
    const char *kept =
        joined == NULL ? NULL : tp_arena_str(&config->arena, tp_str_from(joined)).data;
    if (joined != NULL) {
        tp_free(alloc, joined, strlen(joined) + 1);
    }
    if (directory != NULL) {
        tp_free(alloc, directory, strlen(directory) + 1);
    }
    if (path != NULL) {
        tp_free(alloc, path, written.size + 1);
    }
    if (kept == NULL) {
        return tp_fail_nomem(err);
    }
    *ret_path = kept;
    return TAPEOUT_OK;
}

static tapeout_status add_file_model(tp_serve_config *config, const config_model *model,
                                     const char *file, tapeout_error *err)
{
    if (model->ref.size > 0) {
        return add_model(config, model->ref, model->name, model->version, err);
    }
    const char *path = NULL;
    TP_TRY(path_beside(config, file, model->path, &path, err));
    return add_model(config, tp_str_from(path), model->name, model->version, err);
}

static tapeout_status bind_models(tp_serve_config *config, tp_yaml *yaml, tp_yaml_node list,
                                  const char *file, tapeout_error *err)
{
    if (!tp_yaml_is_list(yaml, list)) {
        return tp_yaml_fail(yaml, list, err, "models must be a list of {path} or {ref}");
    }
    for (size_t i = 0; i < tp_yaml_count(yaml, list); i++) {
        const tp_yaml_node item = tp_yaml_item(yaml, list, i);
        config_model model = {.name = {NULL, 0}};
        TP_TRY(tp_yaml_bind(yaml, item, &model_table, &model, err));
        if ((model.path.size > 0) == (model.ref.size > 0)) {
            return tp_yaml_fail(yaml, item, err, "a model needs either path or ref");
        }
        if (model.tenant.size > 0 && !tp_identity_name_is_valid(model.tenant)) {
            return tp_yaml_fail(yaml, item, err, "tenant: letters, digits and ._@- were expected");
        }
        TP_TRY(add_file_model(config, &model, file, err));
        tp_model_spec *spec = &config->models[config->model_count - 1];
        spec->tenant = tp_arena_str(&config->arena, model.tenant);
        TP_TRY(tp_arena_check(&config->arena, "models", err));
    }
    return TAPEOUT_OK;
}

static tapeout_status bind_llm(tp_serve_config *config, const config_file *file, const char *name,
                               tapeout_error *err)
{
    config->llm_deadline_ms = file->llm_deadline_s * 1000;
    config->engine = (tp_engine_options){.llm = {.thread_count = file->llm_threads,
                                                 .kv_bytes = file->llm_kv_bytes,
                                                 .kv_is_q8 = file->llm_kv_q8,
                                                 .context_length = file->llm_context,
                                                 .running_max = file->llm_running,
                                                 .queue_max = file->llm_queue},
                                         .memory_bytes = file->llm_memory_bytes,
                                         .unloads_idle = file->llm_unload_idle};
    for (size_t i = 0; i < file->metrics.count; i++) {
        const tp_str set = file->metrics.items[i];
        if (tp_str_equal(set, TP_STR("vllm"))) {
            config->metrics_vllm = true;
        } else if (tp_str_equal(set, TP_STR("llamacpp"))) {
            config->metrics_llamacpp = true;
        } else {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "%s: metrics: the sets are vllm and llamacpp, not \"%.*s\"", name,
                           TP_STR_ARGS(set));
        }
    }
    return TAPEOUT_OK;
}

// One of two words. False where it is neither; an absent one is the first.
static bool choose(tp_str word, tp_str first, tp_str second, bool *ret_is_second)
{
    *ret_is_second = tp_str_equal(word, second);
    return word.size == 0 || *ret_is_second || tp_str_equal(word, first);
}

static tapeout_status bind_tls(tp_serve_config *config, const config_file *file, const char *name,
                               tapeout_error *err)
{
    bool is_1_3 = false;
    TP_TRY(path_beside(config, name, file->tls_cert, &config->tls.cert, err));
    TP_TRY(path_beside(config, name, file->tls_key, &config->tls.key, err));
    TP_TRY(path_beside(config, name, file->tls_client_ca, &config->tls.client_ca, err));
    if (!choose(file->tls_client_cert, TP_STR("required"), TP_STR("optional"),
                &config->tls.client_optional)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: tls: client_cert is required or optional, not \"%.*s\"", name,
                       TP_STR_ARGS(file->tls_client_cert));
    }
    if (!choose(file->tls_min_version, TP_STR("1.2"), TP_STR("1.3"), &is_1_3)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: tls: min_version is 1.2 or 1.3, not \"%.*s\"",
                       name, TP_STR_ARGS(file->tls_min_version));
    }
    config->tls.min_version = is_1_3 ? TP_TLS_1_3 : TP_TLS_1_2;
    config->tls_self = file->tls_self;
    config->hsts_s = file->hsts_s;
    return TAPEOUT_OK;
}

// Where there is one.
static tapeout_status keep_text(tp_serve_config *config, tp_str text, const char **ret_kept,
                                tapeout_error *err)
{
    if (text.size == 0) {
        return TAPEOUT_OK;
    }
    const char *kept = tp_arena_str(&config->arena, text).data;
    if (kept == NULL) {
        return tp_fail_nomem(err);
    }
    *ret_kept = kept;
    return TAPEOUT_OK;
}

static tapeout_status bind_file(tp_serve_config *config, tp_yaml *yaml, const char *name,
                                tapeout_error *err)
{
    config_file file = {
        .log_requests = config->logs_requests,
        .audit_log = config->audit_log,
        .audit_receipts = config->audit_receipts,
        .audit_rows = config->audit_rows,
        .body_bytes = (uint32_t)config->max_body_bytes,
        .bodies_bytes = (uint32_t)config->max_bodies_bytes,
        .artifact_bytes = config->max_artifact_bytes,
        .rows = (uint32_t)config->max_rows,
        .connections = config->max_connections,
        .idle_s = config->timeouts.idle_ms / 1000,
        .head_s = config->timeouts.head_ms / 1000,
        .body_s = config->timeouts.body_ms / 1000,
        .write_s = config->timeouts.write_ms / 1000,
        .drain_s = config->drain_ms / 1000,
        .hsts_s = config->hsts_s,
    };
    const tp_yaml_node root = tp_yaml_root(yaml);
    if (root == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_yaml_bind(yaml, root, &file_table, &file, err));
    TP_TRY(bind_llm(config, &file, name, err));
    TP_TRY(bind_tls(config, &file, name, err));
    if (file.access != 0) {
        TP_TRY(tp_serve_access_config_bind(&config->access, &config->arena, yaml, file.access, name,
                                           err));
    }
    config->thread_count = file.threads;
    config->logs_requests = file.log_requests;
    config->audit_log = file.audit_log;
    config->audit_receipts = file.audit_receipts;
    config->audit_rows = file.audit_rows;
    config->allow_unsigned = file.allow_unsigned;
    config->max_body_bytes = file.body_bytes;
    config->max_bodies_bytes = file.bodies_bytes;
    config->max_artifact_bytes = file.artifact_bytes;
    config->max_rows = file.rows;
    config->max_connections = file.connections;
    config->timeouts = (tp_loop_timeouts){.idle_ms = file.idle_s * 1000,
                                          .head_ms = file.head_s * 1000,
                                          .body_ms = file.body_s * 1000,
                                          .write_ms = file.write_s * 1000};
    config->drain_ms = file.drain_s * 1000;
    config->is_airgapped = file.airgap;
    TP_TRY(keep_text(config, file.user, &config->user, err));
    TP_TRY(keep_text(config, file.store, &config->store, err));
    TP_TRY(keep_text(config, file.blobs, &config->blobs, err));
    TP_TRY(keep_text(config, file.listen, &config->listen, err));
    return file.models == 0 ? TAPEOUT_OK : bind_models(config, yaml, file.models, name, err);
}

tapeout_status tp_serve_config_parse(tp_serve_config *config, tp_str text, const char *name,
                                     tapeout_error *err)
{
    tp_yaml *yaml = NULL;
    TP_TRY(tp_yaml_parse(&config->arena, text, name, &yaml, err));
    const tapeout_status status = bind_file(config, yaml, name, err);
    tp_yaml_free(yaml);
    return status;
}

static tapeout_status read_file(tp_serve_config *config, const char *path, tapeout_error *err)
{
    const tapeout_allocator *alloc = config->arena.alloc;
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(alloc, path, TP_MAX_SERVE_CONFIG_BYTES, &text, err));
    const tapeout_status status = tp_serve_config_parse(config, text, path, err);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    return status;
}

// Azure ML, KServe and SageMaker put a model in place and start the server without arguments.
static tapeout_status add_mounted_model(tp_serve_config *config, tapeout_error *err)
{
    const char *azure = getenv("AZUREML_MODEL_DIR");
    const char *directories[3];
    size_t count = 0;
    if (azure != NULL && azure[0] != '\0') {
        directories[count++] = azure;
    }
    directories[count++] = "/mnt/models";
    directories[count++] = "/opt/ml/model";
    tp_buffer path;
    tp_buffer_init(&path, config->arena.alloc, TP_MAX_PATH_BYTES);
    tapeout_status status = tp_serve_model_search(directories, count, &path, err);
    if (status == TAPEOUT_OK) {
        status =
            add_model(config, tp_buffer_view(&path), (tp_str){NULL, 0}, (tp_str){NULL, 0}, err);
    }
    tp_buffer_deinit(&path);
    return status;
}

static tp_str text_of(const char *text)
{
    return text == NULL ? (tp_str){NULL, 0} : tp_str_from(text);
}

// A certificate of the call's replaces whatever the file says of one.
static tapeout_status settle_tls(tp_serve_config *config, const tapeout_serve_options *options,
                                 tapeout_error *err)
{
    tp_tls_options *tls = &config->tls;
    if (options->tls_self || options->tls_cert != NULL || options->tls_key != NULL) {
        config->tls_self = options->tls_self;
        tls->cert = options->tls_cert;
        tls->key = options->tls_key;
    }
    if (options->tls_client_ca != NULL) {
        tls->client_ca = options->tls_client_ca;
    }
    config->has_tls = config->tls_self || tls->cert != NULL;
    if (config->tls_self && (tls->cert != NULL || tls->key != NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tls: either a certificate of the server's own making or one in files, not "
                       "both");
    }
    if (!config->tls_self && (tls->cert == NULL) != (tls->key == NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tls: a certificate needs its key and a key its "
                       "certificate; %s is missing",
                       tls->cert == NULL ? "the certificate" : "the key");
    }
    if (tls->client_ca != NULL && !config->has_tls) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tls: client_ca needs a certificate and a key of the server's");
    }
    return TAPEOUT_OK;
}

tapeout_status tp_serve_config_load(tp_serve_config *config, const tapeout_serve_options *options,
                                    tapeout_error *err)
{
    if (options->config != NULL) {
        TP_TRY(read_file(config, options->config, err));
    }
    TP_TRY(settle_tls(config, options, err));
    config->user = options->user != NULL ? options->user : config->user;
    config->is_airgapped = config->is_airgapped || options->airgap;
    if (options->model_count > 0) {
        config->model_count = 0;
    }
    for (size_t i = 0; i < options->model_count; i++) {
        const tapeout_serve_model *model = &options->models[i];
        TP_TRY(add_model(config, text_of(model->model), text_of(model->name),
                         text_of(model->version), err));
    }
    if (options->listen != NULL) {
        config->listen = options->listen;
    }
    if (options->thread_count > 0) {
        config->thread_count = options->thread_count;
    }
    if (options->llm_context > 0) {
        config->engine.llm.context_length = options->llm_context;
    }
    if (options->llm_kv_bytes > 0) {
        config->engine.llm.kv_bytes = options->llm_kv_bytes;
    }
    if (options->llm_memory_bytes > 0) {
        config->engine.memory_bytes = options->llm_memory_bytes;
    }
    config->engine.llm.kv_is_q8 = config->engine.llm.kv_is_q8 || options->llm_kv_is_q8;
    config->audit_log = config->audit_log && !options->no_audit;
    config->audit_receipts = config->audit_receipts || options->receipts;
    if (options->quiet_requests) {
        config->logs_requests = false;
    }
    return config->model_count > 0 || options->registry ? TAPEOUT_OK
                                                        : add_mounted_model(config, err);
}

bool tp_serve_address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

tapeout_status tp_serve_address_parse(const char *listen, struct sockaddr_storage *ret_address,
                                      tapeout_error *err)
{
    const char *colon = strrchr(listen, ':');
    uint64_t port = 0;
    if (colon == NULL || !tp_str_to_uint64(tp_str_from(colon + 1), &port) || port > UINT16_MAX) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "listen address \"%s\": HOST:PORT was expected, such as 127.0.0.1:8080",
                       listen);
    }
    char host[64] = "127.0.0.1";
    size_t size = (size_t)(colon - listen);
    if (size >= 2 && listen[0] == '[' && listen[size - 1] == ']') {
        listen++;
        size -= 2;
    }
    const bool is_name = size == 9 && memcmp(listen, "localhost", 9) == 0;
    if (!is_name && size < sizeof(host)) {
        memcpy(host, listen, size);
        host[size] = '\0';
    }
    memset(ret_address, 0, sizeof(*ret_address));
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    if (size >= sizeof(host) ||
        (uv_ip4_addr(host, (int)port, v4) != 0 && uv_ip6_addr(host, (int)port, v6) != 0)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "listen address \"%.*s\" is no IP address; give 127.0.0.1, [::1] or "
                       "localhost",
                       (int)(size < 100 ? size : 100), listen);
    }
    return TAPEOUT_OK;
}
