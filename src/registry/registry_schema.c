// SPDX-License-Identifier: Apache-2.0
//
// The registry's tables, step by step. What was released is never edited.
// docs/internals/registry.md says what a row of each is.
#include "registry/registry_priv.h"

// As tapeout 0.1 made them.
static const char first_tables[] =
    "CREATE TABLE models("
    "  id {id},"
    "  name {text} NOT NULL UNIQUE,"
    "  created_us {int} NOT NULL,"
    "  last_version {int} NOT NULL DEFAULT 0){table};"
    "CREATE TABLE versions("
    "  model_id {int} NOT NULL REFERENCES models(id),"
    "  version {int} NOT NULL CHECK(version > 0),"
    "  sha256 {text} NOT NULL CHECK(length(sha256) = 64),"
    "  size {int} NOT NULL,"
    "  created_us {int} NOT NULL,"
    "  refused {int} NOT NULL CHECK(refused IN (0, 1)),"
    "  reason {text} NOT NULL,"
    "  gates {text} NOT NULL,"
    "  timings {text} NOT NULL,"
    "  facts {text} NOT NULL,"
    "  PRIMARY KEY(model_id, version)){keyed};"
    "CREATE INDEX versions_by_hash ON versions(sha256);"
    "CREATE TABLE aliases("
    "  model_id {int} NOT NULL,"
    "  alias {text} NOT NULL,"
    "  version {int} NOT NULL,"
    "  PRIMARY KEY(model_id, alias),"
    "  FOREIGN KEY(model_id, version) REFERENCES versions(model_id, version)){keyed};"
    "CREATE INDEX aliases_by_version ON aliases(model_id, version);";

// A version may do without a bundle, so that its table is made anew; with it the one that refers to
// it. Then what people and MLflow say about models and versions, what a version comes from, who
// moved an alias when and why, and answers that are given again.
static const char rebuilt_tables[] =
    "CREATE TABLE new_versions("
    "  model_id {int} NOT NULL REFERENCES models(id),"
    "  version {int} NOT NULL CHECK(version > 0),"
    "  sha256 {text} NOT NULL CHECK(length(sha256) IN (0, 64)),"
    "  size {int} NOT NULL,"
    "  created_us {int} NOT NULL,"
    "  updated_us {int} NOT NULL,"
    "  refused {int} NOT NULL CHECK(refused IN (0, 1)),"
    "  reason {text} NOT NULL,"
    "  gates {text} NOT NULL,"
    "  timings {text} NOT NULL,"
    "  facts {text} NOT NULL,"
    "  description {text} NOT NULL DEFAULT '',"
    "  owner {text} NOT NULL DEFAULT '',"
    "  stage {text} NOT NULL DEFAULT 'None',"
    "  source {text} NOT NULL DEFAULT '',"
    "  run_id {text} NOT NULL DEFAULT '',"
    "  logged_model_id {text} NOT NULL DEFAULT '',"
    "  PRIMARY KEY(model_id, version)){keyed};"
    "INSERT INTO new_versions(model_id, version, sha256, size, created_us, updated_us, refused,"
    "  reason, gates, timings, facts) SELECT model_id, version, sha256, size, created_us,"
    "  created_us, refused, reason, gates, timings, facts FROM versions;"
    "CREATE TABLE new_aliases("
    "  model_id {int} NOT NULL,"
    "  alias {text} NOT NULL,"
    "  version {int} NOT NULL,"
    "  PRIMARY KEY(model_id, alias),"
    "  FOREIGN KEY(model_id, version) REFERENCES new_versions(model_id, version)){keyed};"
    "INSERT INTO new_aliases SELECT model_id, alias, version FROM aliases;"
    "DROP TABLE aliases;"
    "DROP TABLE versions;"
    "ALTER TABLE new_versions RENAME TO versions;"
    "ALTER TABLE new_aliases RENAME TO aliases;"
    "CREATE INDEX versions_by_hash ON versions(sha256);"
    "CREATE INDEX versions_by_run ON versions(run_id);"
    "CREATE INDEX aliases_by_version ON aliases(model_id, version);"

    "ALTER TABLE models ADD COLUMN updated_us {int} NOT NULL DEFAULT 0;"
    "ALTER TABLE models ADD COLUMN description {text} NOT NULL DEFAULT '';"
    "ALTER TABLE models ADD COLUMN owner {text} NOT NULL DEFAULT '';"
    // Made by itself, not by its first version: it is there without versions too.
    "ALTER TABLE models ADD COLUMN is_kept {int} NOT NULL DEFAULT 0 CHECK(is_kept IN (0, 1));"
    "UPDATE models SET updated_us = created_us;"

    "CREATE TABLE model_tags("
    "  model_id {int} NOT NULL REFERENCES models(id),"
    "  key {text} NOT NULL,"
    "  value {text} NOT NULL,"
    "  PRIMARY KEY(model_id, key)){keyed};"
    "CREATE TABLE version_tags("
    "  model_id {int} NOT NULL,"
    "  version {int} NOT NULL,"
    "  key {text} NOT NULL,"
    "  value {text} NOT NULL,"
    "  PRIMARY KEY(model_id, version, key),"
    "  FOREIGN KEY(model_id, version) REFERENCES versions(model_id, version)){keyed};"
    "CREATE TABLE version_origins("
    "  model_id {int} NOT NULL,"
    "  version {int} NOT NULL,"
    "  kind {text} NOT NULL,"
    "  ref {text} NOT NULL,"
    "  PRIMARY KEY(model_id, version, kind, ref),"
    "  FOREIGN KEY(model_id, version) REFERENCES versions(model_id, version)){keyed};"
    "CREATE INDEX version_origins_by_ref ON version_origins(kind, ref);"
    // Refers to nothing, so that it outlives what it tells of.
    "CREATE TABLE alias_moves("
    "  id {id},"
    "  model {text} NOT NULL,"
    "  alias {text} NOT NULL,"
    "  kind {text} NOT NULL CHECK(kind IN ('set', 'remove', 'promote', 'rollback')),"
    "  from_version {int} NOT NULL," // 0: it pointed nowhere
    "  to_version {int} NOT NULL,"
    "  who {text} NOT NULL,"
    "  moved_us {int} NOT NULL,"
    "  evidence {text} NOT NULL){table};"
    "CREATE INDEX alias_moves_by_alias ON alias_moves(model, alias, id);"
    "CREATE TABLE answers("
    "  scope {text} NOT NULL,"
    "  key {text} NOT NULL,"
    "  request {text} NOT NULL,"
    "  answer {text} NOT NULL,"
    "  given_us {int} NOT NULL,"
    "  PRIMARY KEY(scope, key)){keyed};"
    "CREATE INDEX answers_by_time ON answers(given_us);";

// Policies, and the aliases that the gate alone moves: prod, until a policy says otherwise.
static const char policy_tables[] = "CREATE TABLE policies("
                                    "  id {id},"
                                    "  text {text} NOT NULL,"
                                    "  directory {text} NOT NULL,"
                                    "  sha256 {text} NOT NULL,"
                                    "  who {text} NOT NULL,"
                                    "  set_us {int} NOT NULL){table};"
                                    "CREATE TABLE gated_aliases(alias {text} PRIMARY KEY){keyed};"
                                    "INSERT INTO gated_aliases(alias) VALUES('prod');";

// Whether the alias was gated when it moved. A promotion that checked something was one to a gated
// alias; of others from before this step nobody knows, so that they count as free.
static const char gated_moves[] =
    "ALTER TABLE alias_moves ADD COLUMN is_gated {int} NOT NULL DEFAULT 0 "
    "  CHECK(is_gated IN (0, 1));"
    "UPDATE alias_moves SET is_gated = 1 WHERE kind = 'promote' AND evidence LIKE "
    "'%\"checks\":[{%';";

// How far the changes of each home are done (telling.c).
static const char told_table[] = "CREATE TABLE told("
                                 "  log {text} NOT NULL PRIMARY KEY,"
                                 "  deed {int} NOT NULL){keyed};";

// How often it was asked what became of one: asking must write (telling.c).
static const char told_asked[] = "ALTER TABLE told ADD COLUMN asked {int} NOT NULL DEFAULT 0;";

static const char *const steps[] = {first_tables, rebuilt_tables, policy_tables,
                                    gated_moves,  told_table,     told_asked};

const tp_store_schema tp_registry_schema = {
    .part = "registry", .steps = steps, .step_count = sizeof(steps) / sizeof(steps[0])};
