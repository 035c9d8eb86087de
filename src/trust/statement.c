// SPDX-License-Identifier: Apache-2.0
//
// The in-toto statement v1 that a signature covers: which bytes, and what they were made of. The
// first part is what a verifier compares; the rest is for people and policies and is taken from the
// bundle itself, so that it can say nothing that the bundle does not.
#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_trust.h"

#include <string.h>

static const char statement_type[] = "https://in-toto.io/Statement/v1";
static const char predicate_type[] = "urn:tapeout:bundle:v1";

tp_signed tp_signed_of(const tp_bundle *bundle)
{
    const tp_str manifest = tp_bundle_manifest(bundle);
    return (tp_signed){.name = tp_bundle_name(bundle),
                       .manifest = tp_sha256_of(manifest.data, manifest.size)};
}

// -- writing -------------------------------------------------------------------------------------
// A section that is JSON, as it parses; `key` of it where one is named. Null where there is none.
static tapeout_status append_json(const tp_bundle *bundle, const char *section, const char *key,
                                  tp_buffer *text, tapeout_error *err)
{
    const tp_str json = tp_bundle_section_find(bundle, tp_str_from(section));
    yyjson_doc *doc = NULL;
    if (json.size == 0) {
        tp_buffer_append_text(text, "null");
        return TAPEOUT_OK;
    }
    TP_TRY(tp_json_parse(text->alloc, json, section, &doc, err));
    yyjson_val *value = yyjson_doc_get_root(doc);
    value = key == NULL ? value : yyjson_obj_get(value, key);
    if (value == NULL) {
        tp_buffer_append_text(text, "null");
    } else {
        tp_json_append_value(text, value);
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static void append_text_section(const tp_bundle *bundle, const char *section, tp_buffer *text)
{
    const tp_str data = tp_bundle_section_find(bundle, tp_str_from(section));
    if (data.data == NULL || data.size > TP_MAX_STATEMENT_SPEC_BYTES ||
        !tp_utf8_check(data, NULL)) {
        tp_buffer_append_text(text, "null");
    } else {
        tp_json_append_str(text, data);
    }
}

static tapeout_status append_predicate(const tp_bundle *bundle, int64_t now_s, tp_buffer *text,
                                       tapeout_error *err)
{
    const tp_signed what = tp_signed_of(bundle);
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "kind");
    tp_json_append_str(text, tp_bundle_kind(bundle));
    tp_json_append_key(text, "licence");
    append_text_section(bundle, "licence.txt", text);
    tp_json_append_key(text, "lineage"); // hashes of data, spec and code, the seed
    TP_TRY(append_json(bundle, "lineage.json", NULL, text, err));
    tp_json_append_key(text, "manifest_sha256");
    tp_key_id_append(text, &what.manifest);
    tp_json_append_key(text, "metrics");
    TP_TRY(append_json(bundle, "report.json", "metrics", text, err));
    tp_json_append_key(text, "parameters"); // the spec as written
    append_text_section(bundle, "spec.yaml", text);
    tp_json_append_key(text, "signed");
    tp_time_append(text, now_s);
    tp_buffer_append_char(text, '}');
    return TAPEOUT_OK;
}

tapeout_status tp_statement_write(const tp_bundle *bundle, int64_t now_s, tp_buffer *text,
                                  tapeout_error *err)
{
    const tp_sha256 hash = tp_bundle_hash(bundle);
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "_type");
    tp_json_append_str(text, tp_str_from(statement_type));
    tp_json_append_key(text, "predicate");
    TP_TRY(append_predicate(bundle, now_s, text, err));
    tp_json_append_key(text, "predicateType");
    tp_json_append_str(text, tp_str_from(predicate_type));
    tp_json_append_key(text, "subject");
    tp_buffer_append_text(text, "[{\"digest\":{\"sha256\":");
    tp_key_id_append(text, &hash);
    tp_buffer_append_char(text, '}');
    tp_json_append_key(text, "name");
    tp_json_append_str(text, tp_bundle_name(bundle));
    tp_buffer_append_text(text, "}]}");
    return tp_buffer_check(text, "signature: the statement", err);
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status malformed(tapeout_error *err, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "statement: %s", what);
}

static tapeout_status read_statement(yyjson_val *root, tp_statement *ret_statement,
                                     tapeout_error *err)
{
    tp_statement statement = {.signed_s = 0};
    yyjson_val *subjects = yyjson_obj_get(root, "subject");
    yyjson_val *subject = yyjson_arr_get_first(subjects);
    yyjson_val *digest = yyjson_obj_get(subject, "digest");
    yyjson_val *predicate = yyjson_obj_get(root, "predicate");
    if (!tp_str_equal(tp_json_get_str(root, "_type"), tp_str_from(statement_type)) ||
        !tp_str_equal(tp_json_get_str(root, "predicateType"), tp_str_from(predicate_type))) {
        return malformed(err, "not one about a bundle of tapeout");
    }
    if (yyjson_obj_size(root) != 4 || yyjson_arr_size(subjects) != 1 ||
        yyjson_obj_size(subject) != 2 || yyjson_obj_size(digest) != 1) {
        return malformed(err, "it must name one subject by its SHA-256 and nothing else");
    }
    TP_TRY(tp_key_text(subject, "name", statement.name, sizeof(statement.name), err));
    if (!tp_key_id_parse(tp_json_get_str(digest, "sha256"), &statement.file) ||
        !tp_key_id_parse(tp_json_get_str(predicate, "manifest_sha256"), &statement.manifest)) {
        return malformed(err, "a hash is not 64 digits of 0-9 and a-f");
    }
    if (!tp_time_parse(tp_json_get_str(predicate, "signed"), false, &statement.signed_s)) {
        return malformed(err, "\"signed\" is no time such as 2026-11-25T16:00:00Z");
    }
    *ret_statement = statement;
    return TAPEOUT_OK;
}

tapeout_status tp_statement_parse(const tapeout_allocator *alloc, tp_str text,
                                  tp_statement *ret_statement, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(alloc, text, "statement", &doc, err));
    const tapeout_status status = read_statement(yyjson_doc_get_root(doc), ret_statement, err);
    yyjson_doc_free(doc);
    return status;
}
