// SPDX-License-Identifier: Apache-2.0
//
// Signatures against a trust list. Order matters: the key is found by its id, the signature is
// checked over the payload's bytes, and only then is the payload parsed and compared with the
// bundle. One broken signature spoils the rest: somebody has been at the file.
//
// Dates are what signers say of themselves; nobody countersigns them. So a revoked key is worth
// nothing whenever it signed, and a key must be valid both on the date that it wrote and today.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_dsse.h"
#include "trust/tp_trust.h"

#include <stdio.h>
#include <string.h>

enum { CLOCK_SLACK_S = 300 }; // that a signer's clock may be ahead of ours

typedef struct verifier {
    tp_arena *arena;
    const tp_inquiry *asked;
    bool is_out_of_memory; // which is no verdict
} verifier;

static const char *keep(tp_arena *arena, const char *text)
{
    const char *copy = tp_arena_str(arena, tp_str_from(text)).data;
    return copy == NULL ? "no memory for the reason" : copy;
}

static void broken(verifier *self, tp_signature_check *check, const char *why)
{
    check->state = TP_SIGNATURE_BROKEN;
    check->why = keep(self->arena, why);
}

// What the statement names, against the bundle.
static const char *difference(const tp_statement *statement, const tp_signed *what)
{
    if (!tp_key_id_equal(&statement->manifest, &what->manifest) ||
        (what->file != NULL && !tp_key_id_equal(&statement->file, what->file))) {
        return "it signs other bytes than this bundle's";
    }
    return tp_str_equal(tp_str_from(statement->name), what->name)
               ? NULL
               : "it signs a bundle of another name";
}

void tp_trust_judge(tp_signature_check *check, int64_t now_s)
{
    const tp_trusted_key *key = check->key;
    const bool is_dated = check->signed_s != 0;
    if (key->revoked_s != 0) {
        check->state = TP_SIGNATURE_REVOKED;
        check->why = "its key was revoked";
    } else if (check->signed_s > now_s + CLOCK_SLACK_S) {
        check->state = TP_SIGNATURE_EXPIRED;
        check->why = "it is dated in the future";
    } else if (is_dated && (check->signed_s < key->from_s || check->signed_s > key->until_s)) {
        check->state = TP_SIGNATURE_EXPIRED;
        check->why = "its key was not valid on the date of the signature";
    } else if (now_s < key->from_s || now_s > key->until_s) {
        check->state = TP_SIGNATURE_EXPIRED;
        check->why = "its key is not valid today";
    } else {
        check->state = TP_SIGNATURE_GOOD;
    }
}

static void check_line(verifier *self, tp_str line, tp_signature_check *check)
{
    tapeout_error error = {0};
    tp_envelope envelope;
    tp_statement statement;
    if (tp_dsse_parse(self->arena, line, &envelope, &error) != TAPEOUT_OK) {
        self->is_out_of_memory = self->is_out_of_memory || error.status == TAPEOUT_E_NOMEM;
        broken(self, check, error.message);
        return;
    }
    check->has_key_id = true;
    check->key_id = envelope.key_id;
    check->key = tp_trust_list_find(self->asked->list, &envelope.key_id);
    if (check->key == NULL) {
        check->state = TP_SIGNATURE_UNKNOWN;
        check->why = "nobody here trusts its key";
        return;
    }
    if (!tp_str_equal(envelope.type, TP_STR(TP_DSSE_IN_TOTO)) ||
        !tp_dsse_verify(self->arena->alloc, &envelope, &check->key->key)) {
        broken(self, check, "it is not the key's: forged or damaged");
        return;
    }
    if (tp_statement_parse(self->arena->alloc, envelope.payload, &statement, &error) !=
        TAPEOUT_OK) {
        self->is_out_of_memory = self->is_out_of_memory || error.status == TAPEOUT_E_NOMEM;
        broken(self, check, error.message);
        return;
    }
    check->signed_s = statement.signed_s;
    const char *why = difference(&statement, self->asked->what);
    if (why != NULL) {
        broken(self, check, why);
        return;
    }
    tp_trust_judge(check, self->asked->now_s);
}

static tp_str next_line(tp_str *rest)
{
    const char *end = memchr(rest->data, '\n', rest->size);
    const size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    const tp_str line = {rest->data, size};
    rest->data += end == NULL ? size : size + 1;
    rest->size -= end == NULL ? size : size + 1;
    return line;
}

tapeout_status tp_signatures_check(tp_arena *arena, tp_str lines, const tp_inquiry *inquiry,
                                   tp_verdict *ret_verdict, tapeout_error *err)
{
    verifier self = {arena, inquiry, false};
    tp_verdict verdict = {.count = 0};
    tp_signature_check *checks = tp_arena_array(arena, TP_MAX_SIGNATURES, sizeof(*checks));
    bool is_whole = checks != NULL;
    // The last line ends like every other; what follows it was added or cut.
    if (is_whole && lines.size > 0 && lines.data[lines.size - 1] != '\n') {
        broken(&self, &checks[verdict.count++], "the file of signatures does not end in a line");
        is_whole = false;
    }
    while (is_whole && lines.size > 0) {
        if (verdict.count == TP_MAX_SIGNATURES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u signatures", TP_MAX_SIGNATURES);
        }
        check_line(&self, next_line(&lines), &checks[verdict.count++]);
    }
    TP_TRY(tp_arena_check(arena, "signatures", err));
    if (self.is_out_of_memory) {
        return tp_fail_nomem(err);
    }
    bool is_broken = false;
    for (size_t i = 0; i < verdict.count; i++) {
        verdict.good_count += checks[i].state == TP_SIGNATURE_GOOD ? 1 : 0;
        is_broken = is_broken || checks[i].state == TP_SIGNATURE_BROKEN;
    }
    verdict.checks = checks;
    verdict.is_trusted = verdict.good_count > 0 && !is_broken;
    *ret_verdict = verdict;
    return TAPEOUT_OK;
}

// -- telling -------------------------------------------------------------------------------------
static const char *state_name(tp_signature_state state)
{
    switch (state) {
    case TP_SIGNATURE_GOOD:
        return "good";
    case TP_SIGNATURE_UNKNOWN:
        return "unknown key";
    case TP_SIGNATURE_REVOKED:
        return "revoked key";
    case TP_SIGNATURE_EXPIRED:
        return "not valid at the time";
    case TP_SIGNATURE_BROKEN:
        return "broken";
    }
    return "broken";
}

tapeout_status tp_verdict_status(const tp_verdict *verdict, const char *what, tapeout_error *err)
{
    if (verdict->is_trusted) {
        return TAPEOUT_OK;
    }
    if (verdict->count == 0) {
        return tp_fail(err, TAPEOUT_E_UNTRUSTED,
                       "%s has no signature; sign it with a trusted key: tapeout sign", what);
    }
    // The worst one is the one to tell.
    const tp_signature_check *worst = &verdict->checks[0];
    for (size_t i = 1; i < verdict->count; i++) {
        worst = verdict->checks[i].state > worst->state ? &verdict->checks[i] : worst;
    }
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&worst->key_id, hex);
    if (worst->key != NULL) {
        return tp_fail(err, TAPEOUT_E_UNTRUSTED,
                       "%s has no trusted signature: that of %s (%.*s): %s", what, worst->key->name,
                       TP_KEY_SHORT_SIZE, hex, worst->why);
    }
    return tp_fail(err, TAPEOUT_E_UNTRUSTED, "%s has no trusted signature: key %.*s: %s", what,
                   TP_KEY_SHORT_SIZE, worst->has_key_id ? hex : "unknown", worst->why);
}

void tp_verdict_append(tp_buffer *json, const tp_verdict *verdict)
{
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < verdict->count; i++) {
        const tp_signature_check *check = &verdict->checks[i];
        tp_buffer_append_text(json, i > 0 ? ",{" : "{");
        tp_json_append_key(json, "state");
        tp_json_append_str(json, tp_str_from(state_name(check->state)));
        if (check->has_key_id) {
            tp_json_append_key(json, "key_id");
            tp_key_id_append(json, &check->key_id);
        }
        if (check->key != NULL) {
            tp_json_append_key(json, "name");
            tp_json_append_str(json, tp_str_from(check->key->name));
            tp_json_append_key(json, "person");
            tp_json_append_str(json, tp_str_from(check->key->person));
        }
        if (check->signed_s != 0) {
            tp_json_append_key(json, "signed");
            tp_time_append(json, check->signed_s);
        }
        if (check->why != NULL) {
            tp_json_append_key(json, "why");
            tp_json_append_str(json, tp_str_from(check->why));
        }
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_char(json, ']');
}
