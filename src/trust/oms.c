// SPDX-License-Identifier: Apache-2.0
//
// Model Signing bundles, written as the specification has them (sections 4 to 6) and read with the
// relaxations that it asks of verifiers (section 11.2): an older hint, an absent key id. What the
// statement lists must be the one file and nothing else.
#include "trust/tp_oms.h"

#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_dsse.h"

static const char media_type[] = "application/vnd.dev.sigstore.bundle.v0.3+json";
static const char media_type_start[] = "application/vnd.dev.sigstore.bundle";
static const char statement_type[] = "https://in-toto.io/Statement/v1";
static const char predicate_type[] = "https://model_signing/signature/v1.0";

// How a bundle says which key: the hash of the key's PEM text.
static tapeout_status hint_of(const tapeout_allocator *alloc, const tp_public_key *key,
                              tp_sha256 *ret_hint, tapeout_error *err)
{
    tp_buffer pem;
    tp_buffer_init(&pem, alloc, 4096);
    const tapeout_status status = tp_public_key_write_pem(key, &pem, err);
    *ret_hint = tp_sha256_of(pem.data, pem.size);
    tp_buffer_deinit(&pem);
    return status;
}

// -- writing -------------------------------------------------------------------------------------
static void write_statement(tp_str file_name, const tp_sha256 *file, tp_buffer *text)
{
    // Over the digests of all resources; there is one.
    const tp_sha256 root = tp_sha256_of(file->bytes, sizeof(file->bytes));
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "_type");
    tp_json_append_str(text, tp_str_from(statement_type));
    tp_json_append_key(text, "subject");
    tp_buffer_append_text(text, "[{\"name\":");
    tp_json_append_str(text, file_name);
    tp_buffer_append_text(text, ",\"digest\":{\"sha256\":");
    tp_key_id_append(text, &root);
    tp_buffer_append_text(text, "}}]");
    tp_json_append_key(text, "predicateType");
    tp_json_append_str(text, tp_str_from(predicate_type));
    tp_json_append_key(text, "predicate");
    tp_buffer_append_text(text, "{\"resources\":[{\"name\":");
    tp_json_append_str(text, file_name);
    tp_buffer_append_text(text, ",\"algorithm\":\"sha256\",\"digest\":");
    tp_key_id_append(text, file);
    tp_buffer_append_text(text, "}],\"serialization\":{\"method\":\"files\",\"hash_type\":"
                                "\"sha256\",\"allow_symlinks\":false,\"ignore_paths\":[\".git\","
                                "\".gitattributes\",\".github\",\".gitignore\"]}}}");
}

tapeout_status tp_oms_sign(const tp_signer *signer, tp_str file_name, const tp_sha256 *file,
                           tp_buffer *text, tapeout_error *err)
{
    tp_sha256 hint;
    tp_buffer statement;
    if (signer->key.algorithm != TP_KEY_P256) {
        return tp_fail(
            err, TAPEOUT_E_INVALID,
            "Model Signing wants a key of ECDSA over P-256, and this one is %s: make one "
            "with tapeout keys new NAME --p256",
            tp_key_algorithm_name(signer->key.algorithm));
    }
    TP_TRY(hint_of(text->alloc, &signer->key, &hint, err));
    tp_buffer_init(&statement, text->alloc, TP_MAX_ENVELOPE_BYTES);
    write_statement(file_name, file, &statement);
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "mediaType");
    tp_json_append_str(text, tp_str_from(media_type));
    tp_json_append_key(text, "verificationMaterial");
    tp_buffer_append_text(text, "{\"publicKey\":{\"hint\":");
    tp_key_id_append(text, &hint);
    tp_buffer_append_text(text, "},\"tlogEntries\":[]}");
    tp_json_append_key(text, "dsseEnvelope");
    tapeout_status status = tp_buffer_check(&statement, "signature: the statement", err);
    if (status == TAPEOUT_OK) {
        status = tp_dsse_sign(signer, TP_STR(TP_DSSE_IN_TOTO), tp_buffer_view(&statement), false,
                              text, err);
    }
    tp_buffer_deinit(&statement);
    TP_TRY(status);
    tp_buffer_append_text(text, "}\n");
    return tp_buffer_check(text, "signature", err);
}

// -- reading -------------------------------------------------------------------------------------
typedef struct oms_reader {
    tp_arena *arena;
    tp_str file_name;
    const tp_inquiry *asked;
    tp_signature_check *check;
} oms_reader;

static void broken(const oms_reader *self, const char *why)
{
    self->check->state = TP_SIGNATURE_BROKEN;
    self->check->why = why;
}

// The trusted key that the bundle hints at; an older bundle without a hint may be any P-256 key's.
static const tp_trusted_key *find_key(const oms_reader *self, yyjson_val *material,
                                      const tp_envelope *envelope)
{
    tp_sha256 wanted;
    const tp_trust_list *list = self->asked->list;
    const tp_str hint = tp_json_get_str(yyjson_obj_get(material, "publicKey"), "hint");
    const bool has_hint = tp_key_id_parse(hint, &wanted);
    for (size_t i = 0; i < list->count; i++) {
        const tp_public_key *key = &list->keys[i].key;
        tp_sha256 found;
        if (key->algorithm != TP_KEY_P256) {
            continue;
        }
        if (has_hint ? hint_of(self->arena->alloc, key, &found, NULL) == TAPEOUT_OK &&
                           tp_key_id_equal(&found, &wanted)
                     : tp_dsse_verify(self->arena->alloc, envelope, key)) {
            return &list->keys[i];
        }
    }
    return NULL;
}

static bool is_the_file(const oms_reader *self, yyjson_val *resource)
{
    tp_sha256 digest;
    const tp_str name = tp_json_get_str(resource, "name");
    // The reference implementation calls the one file of a model "."; the specification by its
    // name.
    return (tp_str_equal(name, self->file_name) || tp_str_equal(name, TP_STR("."))) &&
           tp_str_equal(tp_json_get_str(resource, "algorithm"), TP_STR("sha256")) &&
           tp_key_id_parse(tp_json_get_str(resource, "digest"), &digest) &&
           tp_key_id_equal(&digest, self->asked->what->file);
}

// NULL where the statement is about this file and no other.
static const char *read_statement(const oms_reader *self, yyjson_val *root)
{
    tp_sha256 digest;
    const tp_sha256 *file = self->asked->what->file;
    const tp_sha256 root_digest = tp_sha256_of(file->bytes, sizeof(file->bytes));
    yyjson_val *subjects = yyjson_obj_get(root, "subject");
    yyjson_val *subject = yyjson_arr_get_first(subjects);
    yyjson_val *predicate = yyjson_obj_get(root, "predicate");
    yyjson_val *resources = yyjson_obj_get(predicate, "resources");
    yyjson_val *serialization = yyjson_obj_get(predicate, "serialization");
    if (!tp_str_equal(tp_json_get_str(root, "_type"), tp_str_from(statement_type)) ||
        !tp_str_equal(tp_json_get_str(root, "predicateType"), tp_str_from(predicate_type))) {
        return "its statement is not one of Model Signing v1.0";
    }
    if (!tp_str_equal(tp_json_get_str(serialization, "method"), TP_STR("files")) ||
        !tp_str_equal(tp_json_get_str(serialization, "hash_type"), TP_STR("sha256"))) {
        return "it hashes otherwise than file by file with SHA-256, which tapeout does not read";
    }
    if (yyjson_arr_size(resources) != 1 || yyjson_arr_size(subjects) != 1) {
        return "it lists other files too; a bundle is one file";
    }
    if (!is_the_file(self, yyjson_arr_get_first(resources)) ||
        !tp_key_id_parse(tp_json_get_str(yyjson_obj_get(subject, "digest"), "sha256"), &digest) ||
        !tp_key_id_equal(&digest, &root_digest)) {
        return "it signs another file, or other bytes";
    }
    return NULL;
}

static void check_payload(const oms_reader *self, tp_str payload)
{
    yyjson_doc *doc = NULL;
    if (tp_json_parse(self->arena->alloc, payload, "statement", &doc, NULL) != TAPEOUT_OK) {
        broken(self, "its statement is not JSON");
        return;
    }
    const char *why = read_statement(self, yyjson_doc_get_root(doc));
    if (why != NULL) {
        broken(self, why);
    } else {
        tp_trust_judge(self->check, self->asked->now_s);
    }
    yyjson_doc_free(doc);
}

static void check_bundle(const oms_reader *self, yyjson_val *root)
{
    tp_envelope envelope;
    yyjson_val *material = yyjson_obj_get(root, "verificationMaterial");
    if (!tp_str_has_prefix(tp_json_get_str(root, "mediaType"), tp_str_from(media_type_start)) ||
        yyjson_obj_size(root) != 3) {
        broken(self, "not a Sigstore bundle");
        return;
    }
    if (yyjson_obj_get(material, "publicKey") == NULL) {
        broken(self, "it is by a certificate or by Sigstore; tapeout reads the method \"key\"");
        return;
    }
    if (tp_dsse_read(self->arena, yyjson_obj_get(root, "dsseEnvelope"), &envelope, NULL) !=
        TAPEOUT_OK) {
        broken(self, "its envelope is malformed");
        return;
    }
    self->check->key = find_key(self, material, &envelope);
    if (self->check->key == NULL) {
        self->check->state = TP_SIGNATURE_UNKNOWN;
        self->check->why = "nobody here trusts its key";
        return;
    }
    self->check->has_key_id = true;
    self->check->key_id = self->check->key->key.id;
    if (!tp_str_equal(envelope.type, TP_STR(TP_DSSE_IN_TOTO)) ||
        !tp_dsse_verify(self->arena->alloc, &envelope, &self->check->key->key)) {
        broken(self, "it is not the key's: forged or damaged");
        return;
    }
    check_payload(self, envelope.payload);
}

tapeout_status tp_oms_check(tp_arena *arena, tp_str text, tp_str file_name,
                            const tp_inquiry *inquiry, tp_verdict *ret_verdict, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    tp_signature_check *check = tp_arena_alloc(arena, sizeof(*check));
    const oms_reader self = {arena, file_name, inquiry, check};
    if (check == NULL) {
        return tp_arena_check(arena, "signature", err);
    }
    const tapeout_status status = tp_json_parse(arena->alloc, text, "signature", &doc, err);
    if (status == TAPEOUT_E_NOMEM) {
        return status;
    }
    if (status == TAPEOUT_OK) {
        check_bundle(&self, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    } else {
        broken(&self, "not JSON");
    }
    TP_TRY(tp_arena_check(arena, "signature", err));
    const bool is_good = check->state == TP_SIGNATURE_GOOD;
    *ret_verdict = (tp_verdict){
        .is_trusted = is_good, .count = 1, .good_count = is_good ? 1 : 0, .checks = check};
    return TAPEOUT_OK;
}
