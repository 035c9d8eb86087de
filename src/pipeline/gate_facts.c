// SPDX-License-Identifier: Apache-2.0
//
// What the gate wants to know of a version: its bundle's report, licence, size and speed, and the
// people whose signatures hold. Everything comes from one open bundle, whose bytes were checked.
#include "pipeline/gate_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "registry/tp_signature_store.h"
#include "table/tp_json.h"
#include "trust/tp_trust.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static tapeout_status keep(gate_dossier *dossier, tp_str text, tp_str *ret_kept, tapeout_error *err)
{
    *ret_kept = tp_arena_str(&dossier->arena, text);
    return tp_arena_check(&dossier->arena, "gate", err);
}

// -- people --------------------------------------------------------------------------------------
static tapeout_status add_people(gate_dossier *dossier, const tp_verdict *verdict,
                                 tapeout_error *err)
{
    tp_str *people = tp_arena_array(&dossier->arena, verdict->count + 1, sizeof(*people));
    size_t count = 0;
    if (people == NULL) {
        return tp_arena_check(&dossier->arena, "gate", err);
    }
    for (size_t i = 0; verdict->is_trusted && i < verdict->count; i++) {
        const tp_signature_check *check = &verdict->checks[i];
        // A home's own key, under whatever name it is trusted here, is nobody's: it says where a
        // bundle was registered.
        if (check->state == TP_SIGNATURE_GOOD && check->key->person[0] != '\0' &&
            strcmp(check->key->name, TP_KEY_OWN) != 0 &&
            strcmp(check->key->person, TP_KEY_OWN_PERSON) != 0) {
            TP_TRY(keep(dossier, tp_str_from(check->key->person), &people[count++], err));
        }
    }
    dossier->facts.signers = (tp_yaml_strings){people, count};
    return TAPEOUT_OK;
}

static tapeout_status check_signatures(const gate_subject *subject, const tp_bundle *bundle,
                                       gate_dossier *dossier, tapeout_error *err)
{
    const tp_signed what = tp_signed_of(bundle);
    const tp_admission asked = {.home = subject->home,
                                .path = subject->ref->path,
                                .sha256 = tp_str_from(subject->ref->sha256),
                                .look = tp_signatures_look_in,
                                .look_user = subject->registry};
    tp_trust_list list;
    tp_verdict verdict;
    TP_TRY(tp_trust_check(&dossier->arena, &what, &asked, &list, &verdict, err));
    const tapeout_status status = add_people(dossier, &verdict, err);
    dossier->facts.is_signed = verdict.is_trusted;
    tp_trust_list_free(&list);
    return status;
}

// -- the bundle ----------------------------------------------------------------------------------
static tapeout_status read_licence(const tp_env *env, const tp_bundle *bundle,
                                   gate_dossier *dossier, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    const tp_str lineage = tp_bundle_section_find(bundle, TP_STR("lineage.json"));
    if (lineage.data == NULL) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_json_parse(env->alloc, lineage, "lineage of the bundle", &doc, err));
    const tp_str licence = tp_json_get_str(yyjson_doc_get_root(doc), "licence");
    const tapeout_status status =
        licence.data == NULL ? TAPEOUT_OK : keep(dossier, licence, &dossier->facts.licence, err);
    yyjson_doc_free(doc);
    return status;
}

static tapeout_status read_llm_licence(const tp_env *env, const char *path, gate_dossier *dossier,
                                       tapeout_error *err)
{
    tp_llm *llm = NULL;
    TP_TRY(tp_llm_bundle_outline(env, path, &llm, err));
    const tp_gguf_kv *kv = tp_gguf_kv_find(tp_llm_metadata(llm), TP_STR("general.license"));
    const tapeout_status status =
        kv == NULL || kv->value.kind != TP_GGUF_STRING
            ? TAPEOUT_OK
            : keep(dossier, kv->value.string, &dossier->facts.licence, err);
    tp_llm_free(llm);
    return status;
}

// Timing its rows takes the bundle.
static tapeout_status read_bundle(const gate_subject *subject, tp_bundle **taken,
                                  gate_dossier *dossier, tapeout_error *err)
{
    const tp_bundle *bundle = *taken;
    const char *path = subject->ref->path;
    const bool is_llm = tp_str_equal(tp_bundle_kind(bundle), TP_STR("llm"));
    struct stat file;
    if (stat(path, &file) != 0) {
        return tp_fail(err, TAPEOUT_E_IO, "gate: %s cannot be looked at", path);
    }
    dossier->facts.size_bytes = (uint64_t)file.st_size;
    TP_TRY(keep(dossier, tp_bundle_section_find(bundle, TP_STR("report.json")),
                &dossier->facts.report_json, err));
    TP_TRY(check_signatures(subject, bundle, dossier, err));
    if (is_llm) {
        return read_llm_licence(subject->env, path, dossier, err);
    }
    TP_TRY(read_licence(subject->env, bundle, dossier, err));
    return subject->policy->latency_us > 0
               ? tp_gate_time_row(subject->env, taken, &dossier->facts.row_us, err)
               : TAPEOUT_OK;
}

tapeout_status tp_gate_look(const gate_subject *subject, gate_dossier *dossier, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    memset(dossier, 0, sizeof(*dossier));
    tp_arena_init(&dossier->arena, subject->env->alloc, TP_MAX_GATE_BYTES);
    dossier->facts.row_us = (double)NAN;
    TP_TRY(tp_bundle_open(subject->env, subject->ref->path, &bundle, err));
    const tapeout_status status = read_bundle(subject, &bundle, dossier, err);
    tp_bundle_close(&bundle);
    return status;
}
