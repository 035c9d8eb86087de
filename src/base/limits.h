// SPDX-License-Identifier: Apache-2.0
//
// Every maximum of the project, by name, unit and reason. What comes from a file or a socket is
// counted against one of these before memory is asked for. A module adds its own section.
#ifndef TP_LIMITS_H
#define TP_LIMITS_H

// -- base ----------------------------------------------------------------------------------------
#define TP_MAX_THREADS 256u
#define TP_MAX_PATH_BYTES 4096u

// -- table ---------------------------------------------------------------------------------------
#define TP_MAX_TABLE_ROWS UINT32_MAX // row indexes are 32 bits wide
// -- json ----------------------------------------------------------------------------------------
#define TP_MAX_JSON_DEPTH 512

// -- bundle --------------------------------------------------------------------------------------
#define TP_MAX_BUNDLE_SECTIONS 4096u
#define TP_MAX_BUNDLE_MANIFEST_BYTES (64u << 20) // 40 GB of weights have 2.7 MB of chunk hashes
#define TP_MAX_BUNDLE_SCHEMA_BYTES (64u << 20)
#define TP_MAX_BUNDLE_STATE_BYTES (1u << 30)
#define TP_MAX_BUNDLE_MODEL_BYTES (2u << 30)
#define TP_MAX_MODEL_NAME_BYTES 128u
#define TP_MAX_CLASSES 1000u
#define TP_MAX_RAW_COLUMNS 100000u

// -- pipeline ------------------------------------------------------------------------------------
#define TP_MAX_SPEC_BYTES (1u << 20)

// -- table: SQL ----------------------------------------------------------------------------------
#define TP_MAX_SQL_BYTES (1u << 20)         // of a query; people write a few thousand
#define TP_MAX_SQL_FILES 64u                // that one query names
#define TP_MAX_SQL_SCHEMA_BYTES (64u << 20) // of our CREATE TABLE: names and types of all columns

#endif
