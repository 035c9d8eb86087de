// SPDX-License-Identifier: Apache-2.0
//
// One row a verb, each defined in its own file verb_<name>.c.
#ifndef VERBS_H
#define VERBS_H

#include "cli/cli.h"

extern const cli_verb cli_verb_access;
extern const cli_verb cli_verb_alias;
extern const cli_verb cli_verb_audit;
extern const cli_verb cli_verb_backup;
extern const cli_verb cli_verb_bench;
extern const cli_verb cli_verb_bench_part;
extern const cli_verb cli_verb_chat;
extern const cli_verb cli_verb_completion;
extern const cli_verb cli_verb_doctor;
extern const cli_verb cli_verb_embed;
extern const cli_verb cli_verb_evaluate;
extern const cli_verb cli_verb_gc;
extern const cli_verb cli_verb_generate;
extern const cli_verb cli_verb_import;
extern const cli_verb cli_verb_inspect;
extern const cli_verb cli_verb_keys;
extern const cli_verb cli_verb_list;
extern const cli_verb cli_verb_man;
extern const cli_verb cli_verb_policy;
extern const cli_verb cli_verb_predict;
extern const cli_verb cli_verb_profile;
extern const cli_verb cli_verb_promote;
extern const cli_verb cli_verb_quantize;
extern const cli_verb cli_verb_replay;
extern const cli_verb cli_verb_restore;
extern const cli_verb cli_verb_rm;
extern const cli_verb cli_verb_rollback;
extern const cli_verb cli_verb_sbom;
extern const cli_verb cli_verb_score;
extern const cli_verb cli_verb_serve;
extern const cli_verb cli_verb_sign;
extern const cli_verb cli_verb_tag;
extern const cli_verb cli_verb_tokenize;
extern const cli_verb cli_verb_train;
extern const cli_verb cli_verb_trust;
extern const cli_verb cli_verb_verify;
extern const cli_verb cli_verb_version;

#endif
