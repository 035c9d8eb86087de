// SPDX-License-Identifier: Apache-2.0
//
// What an identity may use up: requests when they come in, rows before they are scored, tokens
// before a prompt is queued, with all that it may generate; what was not generated is given back.
// Replies say how much is left, in the words of OpenAI's clients.
#include "serve/serve_access.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

static tp_limit_ask ask_of(const serve_exchange *exchange, tp_countable countable, uint64_t cost)
{
    const tp_principal *principal = exchange->principal;
    return (tp_limit_ask){principal->number, principal->rates, principal->rate_count, countable,
                          cost};
}

static bool has_limits(const serve_exchange *exchange)
{
    return exchange->auth != NULL && exchange->principal != NULL &&
           exchange->principal->rate_count > 0;
}

tapeout_status tp_serve_charge(serve_exchange *exchange, tp_countable countable, uint64_t cost,
                               tapeout_error *err)
{
    tp_limit_state *state = &exchange->limits[countable];
    if (!has_limits(exchange)) {
        return TAPEOUT_OK;
    }
    const tp_limit_ask ask = ask_of(exchange, countable, cost);
    if (tp_limiter_take(exchange->auth->access->limits, &ask, tp_clock_monotonic_ns(), state)) {
        return TAPEOUT_OK;
    }
    exchange->retry_ns = state->is_too_large ? SERVE_RETRY_NEVER : state->retry_ns;
    tp_serve_fail_code(exchange, "rate_limit_exceeded");
    (void)tp_fail(err, TAPEOUT_E_BUSY,
                  state->is_too_large
                      ? "%llu %s at once are more than this key's limit of %llu: ask for less"
                      : "%llu %s are more than is left of this key's limit of %llu; come again "
                        "after Retry-After",
                  (unsigned long long)cost, tp_countable_name(countable),
                  (unsigned long long)state->limit);
    return tp_serve_fail_as(exchange, 429, TAPEOUT_E_BUSY);
}

void tp_serve_give_back(serve_exchange *exchange, tp_countable countable, uint64_t cost)
{
    if (cost > 0 && has_limits(exchange)) {
        const tp_limit_ask ask = ask_of(exchange, countable, cost);
        tp_limiter_give(exchange->auth->access->limits, &ask);
    }
}

// "120ms", "8.640s", "6m0.000s": as OpenAI writes them.
static void write_duration(tp_buffer *headers, uint64_t ns)
{
    const uint64_t ms = ns / 1000000;
    if (ms < 1000) {
        tp_json_append_i64(headers, (int64_t)(ms));
        tp_buffer_append_str(headers, TP_STR("ms\r\n"));
        return;
    }
    if (ms >= 60000) {
        tp_json_append_i64(headers, (int64_t)(ms / 60000));
        tp_buffer_append_char(headers, 'm');
    }
    const char rest[6] = {
        '.', (char)('0' + ms % 1000 / 100), (char)('0' + ms % 100 / 10), (char)('0' + ms % 10), 's',
        '\r'};
    tp_json_append_i64(headers, (int64_t)(ms % 60000 / 1000));
    tp_buffer_append(headers, rest, sizeof(rest));
    tp_buffer_append_char(headers, '\n');
}

// Piece by piece and without formats: this is written for every request that has limits.
void tp_serve_limits_write(const serve_exchange *exchange, tp_buffer *headers)
{
    static const struct {
        tp_str limit;
        tp_str remaining;
        tp_str reset;
    } names[TP_COUNTABLE_COUNT] = {
        [TP_COUNT_REQUESTS] = {TP_STR("x-ratelimit-limit-requests: "),
                               TP_STR("\r\nx-ratelimit-remaining-requests: "),
                               TP_STR("\r\nx-ratelimit-reset-requests: ")},
        [TP_COUNT_ROWS] = {TP_STR("x-ratelimit-limit-rows: "),
                           TP_STR("\r\nx-ratelimit-remaining-rows: "),
                           TP_STR("\r\nx-ratelimit-reset-rows: ")},
        [TP_COUNT_TOKENS] = {TP_STR("x-ratelimit-limit-tokens: "),
                             TP_STR("\r\nx-ratelimit-remaining-tokens: "),
                             TP_STR("\r\nx-ratelimit-reset-tokens: ")},
    };
    for (int kind = 0; kind < TP_COUNTABLE_COUNT; kind++) {
        const tp_limit_state *state = &exchange->limits[kind];
        if (state->is_limited) {
            tp_buffer_append_str(headers, names[kind].limit);
            tp_json_append_i64(headers, (int64_t)(state->limit));
            tp_buffer_append_str(headers, names[kind].remaining);
            tp_json_append_i64(headers, (int64_t)(state->remaining));
            tp_buffer_append_str(headers, names[kind].reset);
            write_duration(headers, state->reset_ns);
        }
    }
}
