// SPDX-License-Identifier: Apache-2.0
//
// What the server counts, and where the numbers of language models come from: sums and gauges are
// their schedulers' and are taken over when somebody asks; times are observed when an answer has
// ended. The names of vLLM and llama.cpp are further families, which have series only where the
// configuration wants that set (docs/serve.md).
#include "serve/server_priv.h"

#include "base/limits.h"
#include "trust/tp_audit.h"

const tp_metric_family tp_server_families[METRIC_COUNT] = {
    {"tapeout_http_requests_total",
     "Requests answered.",
     TP_METRIC_COUNTER,
     false,
     800,
     {"route", "method", "code"}},
    {"tapeout_http_request_duration_seconds",
     "From a request's first byte to its reply.",
     TP_METRIC_HISTOGRAM,
     true,
     SERVER_MAX_ROUTES,
     {"route"}},
    {"tapeout_http_connections", "Open connections.", TP_METRIC_GAUGE, false, 1, {NULL}},
    {"tapeout_http_connections_total",
     "Connections accepted.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_http_connections_refused_total",
     "Connections beyond the limit.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_http_received_bytes_total", "Bytes received.", TP_METRIC_COUNTER, false, 1, {NULL}},
    {"tapeout_http_sent_bytes_total", "Bytes sent.", TP_METRIC_COUNTER, false, 1, {NULL}},
    {"tapeout_model_requests_total",
     "Requests that a model was asked for.",
     TP_METRIC_COUNTER,
     false,
     64,
     {"model", "version", "outcome"}},
    {"tapeout_model_rows_total",
     "Rows scored.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_model_unseen_total",
     "Categories that training did not know.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_model_compute_seconds",
     "Time in features and model.",
     TP_METRIC_HISTOGRAM,
     true,
     8,
     {"model"}},
    {"tapeout_model_info",
     "Models that are or were served.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model", "version", "sha256"}},
    {"tapeout_ready", "1 while ready.", TP_METRIC_GAUGE, false, 1, {NULL}},
    {"tapeout_read_only",
     "1 once a sync of the registry or the audit log failed: nothing is stored until a new start.",
     TP_METRIC_GAUGE,
     false,
     1,
     {NULL}},
    {"tapeout_audit_entries_total",
     "Entries of the audit log on disk.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_audit_lost_total",
     "Receipts and refused logins that found no room.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_audit_waiting_bytes",
     "Receipts and refused logins that wait for the disk.",
     TP_METRIC_GAUGE,
     false,
     1,
     {NULL}},
    {"tapeout_audit_failing", "1 while they cannot be written.", TP_METRIC_GAUGE, false, 1, {NULL}},
    {"tapeout_build_info", "The version of tapeout.", TP_METRIC_GAUGE, false, 1, {"version"}},
    {"tapeout_log_dropped_total",
     "Log lines dropped in a turn that had too many.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_tls_failed_total",
     "Connections whose TLS handshake failed.",
     TP_METRIC_COUNTER,
     false,
     1,
     {NULL}},
    {"tapeout_tls_certificate_expires_timestamp_seconds",
     "When the certificate in use ends; 0 without TLS.",
     TP_METRIC_GAUGE,
     false,
     1,
     {NULL}},
    {"tapeout_llm_requests_total",
     "Answers of language models by how they ended.",
     TP_METRIC_COUNTER,
     false,
     160,
     {"model", "version", "finish"}},
    {"tapeout_llm_prompt_tokens_total",
     "Tokens of prompts, those from the cache included.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_cached_tokens_total",
     "Tokens of prompts that the cache had.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_generated_tokens_total",
     "Tokens generated.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_preempted_total",
     "Sequences that gave their pages up and began again.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_requests_running",
     "Sequences that are being computed.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_requests_waiting",
     "Sequences that wait.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_kv_pages",
     "Pages of the key/value cache.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_kv_pages_used",
     "Pages that sequences hold, prefix cache aside.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model", "version"}},
    {"tapeout_llm_time_to_first_token_seconds",
     "From a request to its first token.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model", "version"}},
    {"tapeout_llm_inter_token_seconds",
     "Mean time between the tokens of a request, once a token.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model", "version"}},
    {"tapeout_llm_request_seconds",
     "From a request to its last token.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model", "version"}},
    {"vllm:num_requests_running",
     "Requests that are being computed.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:num_requests_waiting",
     "Requests that wait.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:kv_cache_usage_perc",
     "Share of the key/value cache in use, 1 is all.",
     TP_METRIC_GAUGE,
     true,
     32,
     {"model_name", "engine"}},
    {"vllm:prompt_tokens_total",
     "Tokens of prompts.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:generation_tokens_total",
     "Tokens generated.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:request_success_total",
     "Requests by how they ended.",
     TP_METRIC_COUNTER,
     false,
     96,
     {"model_name", "engine", "finished_reason"}},
    {"vllm:num_preemptions_total",
     "Preempted sequences.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:prefix_cache_queries_total",
     "Tokens that were looked for in the prefix cache.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:prefix_cache_hits_total",
     "Tokens that the prefix cache had.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model_name", "engine"}},
    {"vllm:time_to_first_token_seconds",
     "Time to first token.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model_name", "engine"}},
    {"vllm:inter_token_latency_seconds",
     "Time between tokens.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model_name", "engine"}},
    {"vllm:e2e_request_latency_seconds",
     "From a request to its last token.",
     TP_METRIC_HISTOGRAM,
     true,
     32,
     {"model_name", "engine"}},
    {"llamacpp:prompt_tokens_total", "Tokens of prompts.", TP_METRIC_COUNTER, false, 32, {"model"}},
    {"llamacpp:prompt_seconds_total",
     "Time in steps that read prompts.",
     TP_METRIC_COUNTER,
     true,
     32,
     {"model"}},
    {"llamacpp:tokens_predicted_total",
     "Tokens generated.",
     TP_METRIC_COUNTER,
     false,
     32,
     {"model"}},
    {"llamacpp:tokens_predicted_seconds_total",
     "Time in steps that only generate.",
     TP_METRIC_COUNTER,
     true,
     32,
     {"model"}},
    {"llamacpp:n_decode_total", "Forward passes.", TP_METRIC_COUNTER, false, 32, {"model"}},
    {"llamacpp:requests_processing",
     "Requests that are being computed.",
     TP_METRIC_GAUGE,
     false,
     32,
     {"model"}},
    {"llamacpp:requests_deferred", "Requests that wait.", TP_METRIC_GAUGE, false, 32, {"model"}},
};

// -- language models -----------------------------------------------------------------------------
// The series of `family` for a model. vLLM's families have an engine where ours have a version,
// llama.cpp's neither; `last` is the third label, where there is one.
static uint32_t series_of(tp_monitor *monitor, server_metric family, const tp_served *model,
                          tp_str last)
{
    const bool is_vllm = family >= METRIC_VLLM_RUNNING && family <= METRIC_VLLM_WHOLE;
    const tp_str values[3] = {model->name, is_vllm ? TP_STR("0") : model->version, last};
    return tp_monitor_series(monitor, family, values);
}

static uint32_t plain_series_of(tp_monitor *monitor, server_metric family, const tp_served *model)
{
    return series_of(monitor, family, model, (tp_str){"", 0});
}

static void set(tp_monitor *monitor, server_metric family, const tp_served *model, uint64_t value)
{
    tp_monitor_set(monitor, plain_series_of(monitor, family, model), value);
}

static void set_finishes(tp_monitor *monitor, server_metric family, const tp_served *model,
                         const tp_scheduler_stats *stats)
{
    const bool is_native = family == METRIC_LLM_REQUESTS;
    static const char *const names[2][TP_FINISH_FAILED + 1] = {
        {NULL, "stop", "length", "abort", "abort", "error"},
        {NULL, "stop", "length", "cancelled", "timeout", "failed"}};
    for (int finish = TP_FINISH_STOP; finish <= TP_FINISH_FAILED; finish++) {
        uint64_t count = stats->finished_count[finish];
        if (!is_native && finish == TP_FINISH_CANCELLED) {
            continue; // told with those that were late
        }
        if (!is_native && finish == TP_FINISH_TIMEOUT) {
            count += stats->finished_count[TP_FINISH_CANCELLED];
        }
        const tp_str name = tp_str_from(names[is_native][finish]);
        tp_monitor_set(monitor, series_of(monitor, family, model, name), count);
    }
}

static void set_native(tp_monitor *monitor, const tp_served *model, const tp_scheduler_stats *stats)
{
    set_finishes(monitor, METRIC_LLM_REQUESTS, model, stats);
    set(monitor, METRIC_LLM_PROMPT_TOKENS, model, stats->prompt_tokens);
    set(monitor, METRIC_LLM_CACHED_TOKENS, model, stats->cached_tokens);
    set(monitor, METRIC_LLM_GENERATED_TOKENS, model, stats->generated_tokens);
    set(monitor, METRIC_LLM_PREEMPTED, model, stats->preempted_count);
    set(monitor, METRIC_LLM_RUNNING, model, stats->running);
    set(monitor, METRIC_LLM_WAITING, model, stats->waiting);
    set(monitor, METRIC_LLM_PAGES, model, stats->page_count);
    set(monitor, METRIC_LLM_PAGES_USED, model, stats->pages_used);
}

// A share is written as times are: of a billion.
static uint64_t page_share(const tp_scheduler_stats *stats)
{
    return stats->page_count == 0 ? 0
                                  : (uint64_t)stats->pages_used * 1000000000u / stats->page_count;
}

static void set_vllm(tp_monitor *monitor, const tp_served *model, const tp_scheduler_stats *stats)
{
    set(monitor, METRIC_VLLM_RUNNING, model, stats->running);
    set(monitor, METRIC_VLLM_WAITING, model, stats->waiting);
    set(monitor, METRIC_VLLM_USAGE, model, page_share(stats));
    set(monitor, METRIC_VLLM_PROMPT, model, stats->prompt_tokens);
    set(monitor, METRIC_VLLM_GENERATED, model, stats->generated_tokens);
    set_finishes(monitor, METRIC_VLLM_SUCCESS, model, stats);
    set(monitor, METRIC_VLLM_PREEMPTED, model, stats->preempted_count);
    set(monitor, METRIC_VLLM_QUERIES, model, stats->prompt_tokens);
    set(monitor, METRIC_VLLM_HITS, model, stats->cached_tokens);
}

static void set_llamacpp(tp_monitor *monitor, const tp_served *model,
                         const tp_scheduler_stats *stats)
{
    set(monitor, METRIC_LLAMACPP_PROMPT, model, stats->prompt_tokens);
    set(monitor, METRIC_LLAMACPP_PROMPT_SECONDS, model, stats->prefill_ns);
    set(monitor, METRIC_LLAMACPP_GENERATED, model, stats->generated_tokens);
    set(monitor, METRIC_LLAMACPP_GENERATED_SECONDS, model, stats->decode_ns);
    set(monitor, METRIC_LLAMACPP_DECODES, model, stats->step_count);
    set(monitor, METRIC_LLAMACPP_PROCESSING, model, stats->running);
    set(monitor, METRIC_LLAMACPP_DEFERRED, model, stats->waiting);
}

static bool is_wanted(const tp_serve_config *config, server_metric family)
{
    return family < METRIC_VLLM_RUNNING ||
           (family < METRIC_LLAMACPP_PROMPT ? config->metrics_vllm : config->metrics_llamacpp);
}

// A model that has left memory runs nothing, whatever its gauges said last.
static void clear_gone(struct tapeout_server *server, tp_served *const *llms, size_t count)
{
    tp_monitor *monitor = server->state.monitor;
    uint32_t kept[TP_MAX_SERVED_MODELS];
    for (server_metric family = METRIC_LLM_REQUESTS; family < METRIC_COUNT; family++) {
        if (tp_server_families[family].kind != TP_METRIC_GAUGE ||
            !is_wanted(server->config, family)) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            kept[i] = plain_series_of(monitor, family, llms[i]);
        }
        tp_monitor_clear_others(monitor, family, kept, count);
    }
}

static void refresh_llms(struct tapeout_server *server)
{
    tp_monitor *monitor = server->state.monitor;
    tp_served *models[TP_MAX_SERVED_MODELS];
    tp_served *llms[TP_MAX_SERVED_MODELS];
    size_t llm_count = 0;
    const size_t count = tp_engine_list(server->state.engine, models, TP_MAX_SERVED_MODELS);
    for (size_t i = 0; i < count; i++) {
        if (models[i]->llm != NULL) {
            const tp_scheduler_stats stats =
                tp_scheduler_stats_read(tp_llm_host_scheduler(models[i]->llm));
            set_native(monitor, models[i], &stats);
            if (server->config->metrics_vllm) {
                set_vllm(monitor, models[i], &stats);
            }
            if (server->config->metrics_llamacpp) {
                set_llamacpp(monitor, models[i], &stats);
            }
            llms[llm_count++] = models[i];
        }
    }
    clear_gone(server, llms, llm_count);
    for (size_t i = 0; i < count; i++) {
        tp_engine_unref(server->state.engine, models[i]);
    }
}

static void observe_times(server_shard *shard, const serve_exchange *exchange,
                          const server_metric families[3])
{
    tp_monitor *monitor = shard->server->state.monitor;
    const serve_tokens *tokens = &exchange->tokens;
    tp_monitor_observe(monitor, shard->index,
                       plain_series_of(monitor, families[0], exchange->model), tokens->first_ns);
    tp_monitor_observe(monitor, shard->index,
                       plain_series_of(monitor, families[2], exchange->model), tokens->whole_ns);
    const uint32_t between = plain_series_of(monitor, families[1], exchange->model);
    for (uint32_t i = 1; i < tokens->generated_count; i++) {
        tp_monitor_observe(monitor, shard->index, between,
                           (tokens->whole_ns - tokens->first_ns) / (tokens->generated_count - 1));
    }
}

void tp_server_account_tokens(server_shard *shard, const serve_exchange *exchange)
{
    static const server_metric native[3] = {METRIC_LLM_FIRST, METRIC_LLM_BETWEEN, METRIC_LLM_WHOLE};
    static const server_metric vllm[3] = {METRIC_VLLM_FIRST, METRIC_VLLM_BETWEEN,
                                          METRIC_VLLM_WHOLE};
    if (exchange->model == NULL || exchange->tokens.generated_count == 0) {
        return;
    }
    observe_times(shard, exchange, native);
    if (shard->server->config->metrics_vllm) {
        observe_times(shard, exchange, vllm);
    }
}

// -- the whole -----------------------------------------------------------------------------------
void tp_server_refresh_metrics(void *user)
{
    struct tapeout_server *server = user;
    tp_monitor *monitor = server->state.monitor;
    tp_loop_stats sum = {0};
    for (uint32_t i = 0; i < server->shard_count; i++) {
        const tp_loop_stats stats = tp_loop_stats_read(server->shards[i].loop);
        sum.connections_open += stats.connections_open;
        sum.connections_accepted += stats.connections_accepted;
        sum.connections_refused += stats.connections_refused;
        sum.received_bytes += stats.received_bytes;
        sum.sent_bytes += stats.sent_bytes;
    }
    // Families without labels have one series, whose number is the family's own.
    tp_monitor_set(monitor, METRIC_CONNECTIONS, sum.connections_open);
    tp_monitor_set(monitor, METRIC_CONNECTIONS_TOTAL, sum.connections_accepted);
    tp_monitor_set(monitor, METRIC_CONNECTIONS_REFUSED, sum.connections_refused);
    tp_monitor_set(monitor, METRIC_RECEIVED, sum.received_bytes);
    tp_monitor_set(monitor, METRIC_SENT, sum.sent_bytes);
    if (server->tls != NULL) {
        const int64_t expires_s = tp_tls_facts_read(server->tls).expires_unix_s;
        tp_monitor_set(monitor, METRIC_TLS_EXPIRES, expires_s > 0 ? (uint64_t)expires_s : 0);
    }
    tp_monitor_set(monitor, METRIC_READY,
                   atomic_load_explicit(&server->state.is_ready, memory_order_relaxed));
    tp_monitor_set(monitor, METRIC_READ_ONLY, tp_serve_is_stopped(&server->state));
    if (server->state.audit != NULL) {
        const tp_audit_counts counts = tp_audit_count(server->state.audit);
        tp_monitor_set(monitor, METRIC_AUDIT_ENTRIES, counts.appended);
        tp_monitor_set(monitor, METRIC_AUDIT_LOST, counts.lost);
        tp_monitor_set(monitor, METRIC_AUDIT_WAITING, counts.waiting);
        tp_monitor_set(monitor, METRIC_AUDIT_FAILING, counts.is_failing);
    }
    refresh_llms(server);
}
