// SPDX-License-Identifier: Apache-2.0
//
// Every maximum of the project, by name, unit and reason. What comes from a file or a socket is
// counted against one of these before memory is asked for. A module adds its own section.
#ifndef TP_LIMITS_H
#define TP_LIMITS_H

// -- base ----------------------------------------------------------------------------------------
#define TP_MAX_THREADS 256u
#define TP_MAX_PATH_BYTES 4096u
#define TP_MAX_SANDBOX_REPLY_BYTES (16u << 20) // what a locked-up child has to say at its end

// -- base: requests to others --------------------------------------------------------------------
#define TP_MAX_URL_BYTES 8192u
#define TP_MAX_CURL_HEAD_BYTES 32768u // headers of an answer
#define TP_CURL_CONNECT_MS 10000u     // until a connection stands
#define TP_CURL_STALL_S 60u           // without a byte either way

// -- table ---------------------------------------------------------------------------------------
#define TP_MAX_TABLE_ROWS UINT32_MAX // row indexes are 32 bits wide

// -- table: SQL ----------------------------------------------------------------------------------
#define TP_MAX_SQL_BYTES (1u << 20)          // of a query; people write a few thousand
#define TP_MAX_SQL_FILES 64u                 // that one query names
#define TP_MAX_SQL_COLUMNS_BYTES (64u << 20) // of our SELECT: the columns expected of a file

// -- table: Parquet ------------------------------------------------------------------------------
#define TP_MAX_PARQUET_FOOTER_BYTES (256u << 20)
#define TP_MAX_PARQUET_ELEMENTS 200000u // of a schema: columns and what they lie in
#define TP_MAX_PARQUET_DEPTH 64u        // of the schema, and of Thrift values in each other

// -- json ----------------------------------------------------------------------------------------
#define TP_MAX_JSON_DEPTH 512

// -- feature -------------------------------------------------------------------------------------
#define TP_MAX_FEATURE_TEXT_BYTES (1u << 20)  // a program
#define TP_MAX_FEATURE_LINES 16384u           // features and intermediates
#define TP_MAX_FEATURE_DEPTH 100u             // parentheses within parentheses
#define TP_MAX_FEATURE_HEIGHT 1000u           // of an expression's tree: a + b + c + ...
#define TP_MAX_FEATURE_ARGUMENTS 64u          // of one call
#define TP_MAX_FEATURE_INSTRUCTIONS 65536u    // after sharing
#define TP_MAX_FEATURE_REGISTERS 4096u        // values alive at once: 8 KiB each and worker
#define TP_MAX_FEATURE_OUTPUTS 16384u         // after onehot
#define TP_MAX_FEATURE_STEPS (1u << 22)       // over the lists of all outputs
#define TP_MAX_FEATURE_ONEHOT 1024u           // columns of one onehot
#define TP_MAX_FEATURE_BINS 65535u            // of bin()
#define TP_MAX_FEATURE_BUCKETS (1u << 24)     // of hash()
#define TP_MAX_FEATURE_LEVELS (1u << 24)      // distinct texts that one fitted function remembers
#define TP_MAX_FEATURE_RARE_LEVELS 65536u     // levels below min_count that category remembers
#define TP_MAX_FEATURE_TEXT_VALUE (1u << 20)  // bytes of one computed text
#define TP_MAX_FEATURE_MEMO (1u << 16)        // texts that one instruction keeps between blocks
#define TP_MAX_FEATURE_ARENA (256u << 20)     // bytes of a program in memory, states aside
#define TP_MAX_FEATURE_STATE_BYTES (1u << 30) // a fitted state
#define TP_MAX_FEATURE_ZONES 64u              // time zones of one program
#define TP_MAX_FEATURE_TRANSITIONS 4096u      // of one time zone
#define TP_MAX_FEATURE_ZONE_BYTES (1u << 20)  // a TZif file

// -- learn ---------------------------------------------------------------------------------------
#define TP_MAX_CALIBRATION_POINTS 1048576u // steps of an isotonic calibration
#define TP_MAX_LINEAR_COEFFICIENTS 2048u   // of all outputs: their second derivatives are 32 MiB
#define TP_MAX_EXPLAIN_SHARED 12u   // columns that features of one path share: 2^12 cases a path
#define TP_MAX_EXPLAIN_COLUMNS 512u // distinct columns on a path from root to leaf
#define TP_MAX_EXPLAIN_DEPTH 512u   // levels of a tree: the walk is a recursion
#define TP_MAX_EXPLAIN_PLAN_BYTES ((size_t)1 << 30)
#define TP_MAX_BOOTSTRAP_REPLICATES 10000u
#define TP_MAX_FOLDS 100u
#define TP_MAX_IMPORTANCE_REPEATS 1000u
#define TP_MAX_CSV_COLUMNS 100000u // beyond it a file is not a table but a matrix, or broken
#define TP_MAX_CSV_FIELD_BYTES (16u << 20)
#define TP_MAX_CSV_NAME_BYTES 4096u
#define TP_MAX_CSV_MARKERS 1000u        // texts that stand for a missing value
#define TP_MAX_CSV_ROW_BYTES (1u << 30) // offsets within a row are 32 bits wide
#define TP_MAX_CSV_STREAM_BYTES (UINT64_C(64) << 30)

// -- learn/gbt -----------------------------------------------------------------------------------
#define TP_MAX_GBT_ROWS 2147483648u          // a row's number has 32 bits in an entry
#define TP_MAX_GBT_FEATURES 65535u           // features of a forest
#define TP_MAX_GBT_TREES 1000000u            // trees of a forest
#define TP_MAX_GBT_LEAVES 65536u             // leaves of a tree
#define TP_MAX_GBT_CLASSES 10000u            // outputs of a forest
#define TP_MAX_GBT_INTERACTIONS 64u          // groups, a bit each
#define TP_MAX_GBT_HIST_BYTES (48u << 20)    // histograms of a growing tree
#define TP_MAX_GBT_CATEGORY_WORDS (1u << 20) // of a split: 32 codes a word

// -- llm: chat templates -------------------------------------------------------------------------
#define TP_MAX_TEMPLATE_BYTES (256u << 10)        // of a source; real ones stay below 30 KB
#define TP_MAX_TEMPLATE_TREE_BYTES (64u << 20)    // parsed
#define TP_MAX_TEMPLATE_DEPTH 100u                // blocks and brackets within each other
#define TP_MAX_TEMPLATE_RUN_DEPTH 600u            // of a walk: calls, expressions, JSON
#define TP_MAX_TEMPLATE_STEPS 20000000u           // of one render, under a second
#define TP_MAX_TEMPLATE_RENDER_BYTES (256u << 20) // of memory
#define TP_MAX_TEMPLATE_OUTPUT_BYTES (32u << 20)  // of any text that is built
#define TP_MAX_TEMPLATE_RANGE 100000u             // numbers of one range(), as in Jinja's sandbox
#define TP_MAX_TEMPLATE_INDENT 4096u              // blanks
#define TP_MAX_TOOLS 1024u                        // of one request
#define TP_MAX_TOOL_NAME_BYTES 256u
#define TP_MAX_TOOL_FORCE_BYTES (16u << 20) // of the schema that forces a call
#define TP_MAX_TOOL_HELD_BYTES (1u << 20)   // of output held back in front of a call

// -- llm: gguf -----------------------------------------------------------------------------------
#define TP_MAX_GGUF_KEYS 65536u
#define TP_MAX_GGUF_TENSORS 65536u                   // over all parts of a split model
#define TP_MAX_GGUF_KEY_BYTES 65535u                 // the format's own
#define TP_MAX_GGUF_NAME_BYTES 63u                   // llama.cpp's, without its NUL
#define TP_MAX_GGUF_STRING_BYTES (256u << 20)        // a whole tokenizer.json stands in some files
#define TP_MAX_GGUF_METADATA_BYTES ((size_t)1 << 30) // of what we write
#define TP_MAX_GGUF_ARRAY_ITEMS (1u << 26)           // vocabularies have a million at most
#define TP_MAX_GGUF_WEIGHTS (UINT64_C(1) << 48)      // of one tensor
#define TP_MAX_GGUF_ALIGNMENT 65536u
#define TP_MAX_GGUF_SPLITS 1024u // files of one model, each open

// -- llm: tokenizer ------------------------------------------------------------------------------
#define TP_MAX_TOKENS (1u << 22) // of a vocabulary; the largest known have 262,144
#define TP_MAX_MERGES (1u << 23)
#define TP_MAX_TOKEN_BYTES 4096u               // of one token
#define TP_MAX_SPECIAL_TOKEN_BYTES 512u        // of one that is matched as a whole
#define TP_MAX_VOCAB_BYTES (256u << 20)        // of all tokens
#define TP_MAX_TOKEN_PROBES 1024u              // full slots in a row of a table of tokens or merges
#define TP_MAX_TOKENIZE_BYTES (256u << 20)     // of one text
#define TP_MAX_TOKENIZE_WORD_BYTES (16u << 20) // without a place to cut: 70 bytes of work for each
#define TP_MAX_TOKEN_IDS (1u << 28)            // of one text
#define TP_MAX_TOKENIZE_JSON_BYTES UINT32_MAX  // of the list of ids of one text

// -- llm: model ----------------------------------------------------------------------------------
#define TP_MAX_LLM_CONTEXT (1u << 24) // positions: angles of rotary embeddings are exact so far
#define TP_MAX_LLM_WIDTH 65536u
#define TP_MAX_LLM_LAYERS 1024u
#define TP_MAX_LLM_HEADS 1024u
#define TP_MAX_LLM_HEAD_SIZE 1024u
#define TP_MAX_LLM_FFN_WIDTH (1u << 20)
#define TP_MAX_LLM_EXPERTS 1024u
#define TP_MAX_LLM_ROWS (1u << 24)          // of a matrix: a vocabulary
#define TP_MAX_LLM_COLS (1u << 21)          // of a matrix
#define TP_MAX_LLM_ARENA_BYTES (256u << 20) // layers and vectors of a model, matrices aside
#define TP_MAX_LLM_STEP_TOKENS 65536u       // of one forward pass
#define TP_MAX_LLM_PAGES (1u << 24)         // of a cache

// -- llm: constrained output ---------------------------------------------------------------------
#define TP_MAX_GRAMMAR_TEXT_BYTES (1u << 20)  // a schema, a grammar, a pattern, a prefix
#define TP_MAX_GRAMMAR_ARENA (256u << 20)     // bytes while one is compiled
#define TP_MAX_GRAMMAR_NODES (1u << 19)       // of its automaton
#define TP_MAX_GRAMMAR_EDGES (1u << 20)       // between them
#define TP_MAX_GRAMMAR_RULES 65536u           // and distinct schemas
#define TP_MAX_GRAMMAR_NESTING 100u           // groups within groups
#define TP_MAX_GRAMMAR_RULE_CHAIN 32u         // rules asked in turn whether they may be empty
#define TP_MAX_GRAMMAR_REPEAT 100000000u      // {m,n}, maxLength, maxItems: a counter
#define TP_MAX_GRAMMAR_DEPTH 512u             // frames of a stack: rules and counters open at once
#define TP_MAX_GRAMMAR_PAIRS 8192u            // ways to read the text so far
#define TP_MAX_GRAMMAR_STATES 65536u          // sets of these that one generation remembers
#define TP_MAX_GRAMMAR_STATE_PAIRS (1u << 22) // in all of them
#define TP_MAX_GRAMMAR_FRAMES (1u << 20)      // distinct ones, of all stacks
#define TP_MAX_GRAMMAR_KEY_BYTES (64u << 10)  // of a place by which a mask is kept
#define TP_MAX_GRAMMAR_MASK_BYTES (32u << 20) // of masks that one grammar keeps
#define TP_MAX_SCHEMA_REFERENCES 64u          // $ref and allOf in a row
#define TP_MAX_SCHEMA_VISITS 4096u            // schemas that make up one
#define TP_MAX_SCHEMA_PROPERTIES 4096u        // of an object; items with a place of their own
#define TP_MAX_SCHEMA_NAME_BYTES 512u         // of a property, where others are allowed beside
#define TP_MAX_VOCAB_INDEX_TOKENS (1u << 21)
#define TP_MAX_VOCAB_INDEX_PIECE_BYTES 4096u
#define TP_MAX_VOCAB_INDEX_BYTES (64u << 20)

// -- llm: schedule -------------------------------------------------------------------------------
#define TP_DEFAULT_LLM_CONTEXT 8192u         // tokens, where the model allows more
#define TP_MAX_LLM_RUNNING 256u              // sequences of one forward pass
#define TP_MAX_LLM_QUEUE 65536u              // requests that wait for one model
#define TP_MAX_LLM_CHOICES 128u              // answers to one prompt
#define TP_MAX_LLM_TOP_LOGPROBS 1000u        // beside a token
#define TP_MAX_LLM_TRIGGER_BYTES 64u         // of the text that a grammar waits for
#define TP_MAX_LLM_STOPS 64u                 // stop strings
#define TP_MAX_LLM_STOP_BYTES 1024u          // of one
#define TP_MAX_LLM_HELD_BYTES (1u << 20)     // of an answer, until no stop string can begin
#define TP_MAX_LLM_REQUEST_BYTES (64u << 20) // a request's ids, biases and stop strings
#define TP_MAX_LLM_SCORE_BYTES (1u << 30)    // of the lines that one call of score writes
#define TP_MAX_LLM_EMBED_TEXTS 4096u         // of one call
#define TP_LLM_PROCESS_BYTES (24u << 20)     // of a process beside its models, in plans

// -- serve: language models ----------------------------------------------------------------------
#define TP_MAX_LLM_BIASES 1024u    // of one request
#define TP_MAX_LLM_MESSAGES 16384u // of one conversation
#define TP_MAX_LLM_TOOLS 512u      // that one request offers
#define TP_MAX_LLM_TOOL_CALLS 64u  // of one answer

// -- bundle --------------------------------------------------------------------------------------
#define TP_MAX_BUNDLE_SECTIONS 4096u
#define TP_MAX_BUNDLE_TAKEN_BYTES (64u << 20)    // read into memory when opened; larger: mapped
#define TP_MAX_BUNDLE_MANIFEST_BYTES (64u << 20) // 40 GB of weights have 2.7 MB of chunk hashes
#define TP_MAX_BUNDLE_SCHEMA_BYTES (64u << 20)
#define TP_MAX_BUNDLE_STATE_BYTES (1u << 30)
#define TP_MAX_BUNDLE_MODEL_BYTES (2u << 30)
#define TP_MAX_MODEL_NAME_BYTES 128u
#define TP_MAX_CLASSES 1000u
#define TP_MAX_RAW_COLUMNS 100000u

// -- import --------------------------------------------------------------------------------------
#define TP_MAX_SAFETENSORS 65536u
#define TP_MAX_SAFETENSORS_HEADER_BYTES 100000000u // the format's own
#define TP_MAX_HF_JSON_BYTES (64u << 20)           // a tokenizer.json has 20 MB at most
#define TP_MAX_HF_TOKENS (1u << 22)
#define TP_MAX_HF_LAYERS 1024u
#define TP_MAX_HF_WIDENED_BYTES ((size_t)1 << 30) // vectors and small tables as float32

#define TP_MAX_IMPORT_BYTES ((size_t)2 << 30) // of a model file of trees
#define TP_MAX_DOCUMENT_DEPTH 64u             // lists and objects within each other
#define TP_MAX_IMPORT_NODES 16777216u         // of one tree, leaves with it
#define TP_MAX_IMPORT_NAME_BYTES 4096u        // of a column or class
#define TP_MAX_ONNX_NODES 4096u               // of a graph
#define TP_MAX_ONNX_ATTRIBUTES 64u            // of a node
#define TP_MAX_ONNX_RANK 16u                  // dimensions of an input
// Lists of an ONNX file in memory: a number takes 8 bytes, and one byte in the file at least.
#define TP_ONNX_ARENA_BYTES(size) (((size_t)16 << 20) + 24 * (size))
// A document may take this much beyond the bytes that it was read from.
#define TP_DOCUMENT_ARENA_BYTES(size) (((size_t)16 << 20) + 4 * (size))

// -- trust: keys and signatures ------------------------------------------------------------------
#define TP_MAX_KEY_FILE_BYTES 16384u
#define TP_MAX_PASSPHRASE_BYTES 1024u
#define TP_MAX_KEY_MEMORY_BYTES (1u << 30) // that opening a key file may ask for
#define TP_MAX_KEY_PASSES 16u              // over that memory
#define TP_MAX_KEYS 4096u                  // of a home, and of a trust list
#define TP_MAX_TRUST_LIST_BYTES (8u << 20)
#define TP_MAX_ENVELOPE_BYTES (1u << 20) // of one signature with what it says
#define TP_MAX_SIGNATURES 64u            // of one bundle
#define TP_MAX_SIGNATURE_FILE_BYTES (16u << 20)
#define TP_MAX_STATEMENT_SPEC_BYTES (64u << 10) // a longer spec is named by its hash alone

// -- trust: identities ---------------------------------------------------------------------------
#define TP_MAX_IDENTITIES 100000u           // keys and users of one home
#define TP_MAX_IDENTITY_NAME_BYTES 128u     // of a key, a user, a tenant
#define TP_MAX_PRINCIPAL_ID_BYTES 512u      // with the issuer and subject of a token
#define TP_MAX_IDENTITY_SECONDS 3155760000u // that one may hold: a century
#define TP_MAX_GRANTS 32u                   // of one identity
#define TP_MAX_GRANTS_BYTES 4096u           // as text
#define TP_MAX_RATES 6u                     // limits of one identity
#define TP_MAX_RATE_COUNT 1000000000000u    // in one interval
#define TP_MAX_RATE_SECONDS 31622400u       // of one interval: a year
#define TP_MAX_JWT_BYTES 16384u
#define TP_MAX_JWT_KID_BYTES 256u
#define TP_MAX_JWT_SUBJECT_BYTES 255u    // OpenID Connect's own
#define TP_MAX_JWT_SIGNATURE_BYTES 1024u // of an RSA key of 8192 bits
#define TP_MAX_JWT_LEEWAY_S 60u
#define TP_MAX_JWT_TIME_S 253402300799.0 // the end of the year 9999
#define TP_MAX_JWKS_BYTES (256u << 10)
#define TP_MAX_JWKS_KEYS 64u
#define TP_MAX_ISSUERS 8u
#define TP_MAX_ISSUER_ROLES 64u
#define TP_MAX_CERTIFICATE_NAMES 64u
#define TP_MIN_PASSWORD_BYTES 8u
#define TP_MAX_PASSWORD_BYTES 1024u

// -- trust: audit log ----------------------------------------------------------------------------
#define TP_AUDIT_SEGMENT_BYTES (16u << 20)     // of a file, before the next begins
#define TP_MAX_AUDIT_SEGMENT_BYTES (32u << 20) // with what a last batch adds
#define TP_MAX_AUDIT_KIND_BYTES 64u
#define TP_MAX_AUDIT_WHO_BYTES 1024u
#define TP_MAX_AUDIT_WHAT_BYTES (256u << 10)
#define TP_AUDIT_LINE_MORE_BYTES 256u       // of a line, beside what its event has
#define TP_MAX_AUDIT_LINE_BYTES (1u << 20)  // names may grow sixfold by escapes
#define TP_MAX_AUDIT_BATCH_BYTES (4u << 20) // written with one sync
#define TP_MAX_AUDIT_BATCH_ENTRIES 4096u    // of one append
#define TP_MAX_AUDIT_LANE_BYTES (8u << 20)  // that wait in memory to be written
#define TP_AUDIT_LANE_MS 100u               // between two writes of the lane
#define TP_AUDIT_POST_WAIT_MS 1000u         // for room in the lane
#define TP_MAX_AUDIT_REFUSALS 64u           // kinds of refused logins told apart at a time
#define TP_MAX_AUDIT_REFUSAL_TEXT 128u      // bytes of each of a refusal's texts
#define TP_MAX_AUDIT_REFUSAL_BYTES 2560u    // of these as JSON
#define TP_MAX_CHECKPOINT_BYTES 16384u      // with the signatures of witnesses
#define TP_MAX_NOTE_SIGNATURES 100u
#define TP_MAX_AUDIT_PROOF_BYTES (2u << 20)
#define TP_MAX_RECEIPT_TEXT_BYTES (64u << 10) // of rows or scores; of longer ones the hash alone
#define TP_MAX_RECEIPT_INPUT_FILE_BYTES (256u << 20)
#define TP_AUDIT_REFUSED_MS 60000u // in which the same refusals are one entry

// -- registry ------------------------------------------------------------------------------------
#define TP_MAX_REGISTRY_FACT_BYTES (1u << 20) // of gates, timings and facts each
#define TP_MAX_REGISTRY_LIST_BYTES (1u << 30) // of the JSON that lists everything
#define TP_MAX_REGISTRY_NEAREST 10000u        // names compared for "did you mean"
#define TP_REGISTRY_BUSY_MS 30000             // how long a writer waits for another
#define TP_MAX_STORE_TRIES 12u                // of a transaction that PostgreSQL wants done again
#define TP_MAX_STORE_ASKS 3                   // after a transaction whose answer was lost
#define TP_ANSWERS_KEPT_S 604800              // answers to requests that may come again: a week
#define TP_COLLECT_GRACE_S 3600u              // blobs that nobody names yet, unless said otherwise
#define TP_MAX_STORE_VALUES 256u              // of one statement
#define TP_MAX_STORE_VALUE_BYTES (1u << 30)   // PostgreSQL's own
#define TP_MAX_DESCRIPTION_BYTES (1u << 20)   // of a model or version
#define TP_MAX_TAG_KEY_BYTES 250u             // MLflow's
#define TP_MAX_TAG_VALUE_BYTES (100u << 10)
#define TP_MAX_ANSWER_KEY_BYTES 256u      // of a request that may be sent twice
#define TP_MAX_STORE_SQL_BYTES (1u << 20) // of one step of a schema

// -- registry: S3 --------------------------------------------------------------------------------
#define TP_MAX_S3_ADDRESS_BYTES 2048u     // s3://bucket/prefix?…
#define TP_MAX_S3_KEY_BYTES 1024u         // of an object, S3's own
#define TP_MAX_S3_SECRET_BYTES 4096u      // of each credential; session tokens are long
#define TP_MAX_S3_ANSWER_BYTES (8u << 20) // a page of a list has 1,000 objects
#define TP_MAX_S3_DEPTH 16u               // of elements in an answer
#define TP_MAX_S3_TRIES 5u                // of one request
#define TP_S3_PAUSE_MS 100u               // before the second, then twice as long each time
#define TP_S3_ANSWER_MS 60000u            // for a request that moves no blob
#define TP_S3_PART_MIB 64u                // a larger blob goes up in parts of this size
#define TP_MIN_S3_PART_MIB 5u             // S3's own, as are the next two
#define TP_MAX_S3_PART_MIB 5120u
#define TP_MAX_S3_PARTS 10000u
#define TP_MAX_S3_PAGES 1000000u // of one list
#define TP_MAX_S3_OBJECT_BYTES ((uint64_t)1 << 43)
#define TP_MAX_UPLOADS 64u                        // into one home at once
#define TP_UPLOAD_STEP_BYTES (32u << 20)          // of one, until it is synced again
#define TP_MAX_ARTIFACT_BYTES ((uint64_t)5 << 30) // unless the configuration says otherwise
#define TP_S3_COPIES_MIB 10240u // of copies in a home, unless the address says otherwise
#define TP_MAX_S3_COPIES_MIB (1u << 30)
#define TP_MAX_S3_EVICTIONS 256u    // copies that one new copy makes go
#define TP_S3_COPY_REST_S 60        // a copy that was used so lately stays
#define TP_S3_FETCH_WAIT_MS 600000u // for another that fetches the same blob

// -- registry: MLflow ----------------------------------------------------------------------------
#define TP_MAX_MLFLOW_FILTER_BYTES 16384u
#define TP_MAX_MLFLOW_CLAUSES 64u  // of a filter
#define TP_MAX_MLFLOW_LIST 1000u   // texts in all IN (…) of a filter
#define TP_MAX_MLFLOW_VALUES 2048u // parameters of one statement
#define TP_MAX_MLFLOW_SQL_BYTES (1u << 20)
#define TP_MAX_MLFLOW_ASK_BYTES (4u << 20)   // of a request's lists
#define TP_MAX_MLFLOW_PARSE_BYTES (1u << 20) // of a filter's parts in memory
#define TP_MAX_MLFLOW_ORDER 16u              // keys that a search is ordered by
#define TP_MAX_MLFLOW_KEY_BYTES 250u         // MLflow's own, as are the next five
#define TP_MAX_MLFLOW_PARAM_BYTES 6000u      // beyond it a value is cut
#define TP_MAX_MLFLOW_TAG_BYTES 8000u        // likewise
#define TP_MAX_MLFLOW_REGISTRY_TAG_BYTES 100000u
#define TP_MAX_MLFLOW_NAME_BYTES 500u // of an experiment
#define TP_MAX_MLFLOW_BATCH 1000u // items of one log-batch, of which 100 may be params and 100 tags
#define TP_MAX_MLFLOW_PAIRS 100u
#define TP_MAX_MLFLOW_DATASET_BYTES (1u << 20) // of a data set's schema, profile and tags each
#define TP_MAX_MLFLOW_TEXT_BYTES 65536u        // descriptions, sources, schemas of data sets
#define TP_MAX_MLFLOW_RESULTS 50000u           // of a page, MLflow's own
#define TP_MAX_MLFLOW_OFFSET 1000000000        // rows before a page
#define TP_MAX_MLFLOW_QUERY 256u               // fields in a query
#define TP_MAX_MLFLOW_PATH_BYTES 1024u         // of an artifact

// -- pipeline ------------------------------------------------------------------------------------
#define TP_MAX_SPEC_BYTES (1u << 20)

// -- monitor -------------------------------------------------------------------------------------
#define TP_MAX_LABEL_BYTES 128u
#define TP_MAX_MONITOR_LABELS_BYTES (1u << 20)

// -- gate ----------------------------------------------------------------------------------------
#define TP_MAX_POLICY_BYTES (64u << 10)
#define TP_MAX_POLICY_SIGNATURES 64u
#define TP_MAX_GATE_TAGS 16u
#define TP_MAX_GATE_BYTES (64u << 20)      // what is found out about a version
#define TP_MAX_SCREENING_BYTES (64u << 20) // of one list

// -- serve ---------------------------------------------------------------------------------------
#define TP_MAX_HTTP_TARGET_BYTES 8192u
#define TP_MAX_HTTP_HEADERS 100u
#define TP_MAX_HTTP_HEAD_BYTES 32768u // request line and headers together
#define TP_MAX_HTTP_SEGMENTS 32u      // of a path
#define TP_MAX_HTTP_TRAILER_BYTES 4096u
#define TP_MAX_HTTP_CHUNKS 262144u // of one body
#define TP_MAX_HTTP_CHUNK_EXTENSION_BYTES 4096u
#define TP_MAX_HTTP_BODY_BYTES (64u << 20)     // unless the configuration says otherwise
#define TP_MAX_HTTP_PIECE_BYTES (256u << 10)   // of an upload
#define TP_MAX_HTTP_BODIES_BYTES (1u << 30)    // of all connections together, unless it says so
#define TP_MAX_HTTP_PENDING_BYTES (128u << 10) // read ahead while a request is being handled
#define TP_MAX_HTTP_OUT_BYTES (256u << 10)     // unsent replies before pipelined requests wait
#define TP_MAX_HTTP_REPLY_BYTES (1u << 30)
#define TP_MAX_HTTP_INFLATE_RATIO 200u     // beyond the first MiB
#define TP_MAX_HTTP_IDLE_BYTES 8192u       // of buffers that an idle connection keeps
#define TP_MAX_TLS_FILE_BYTES (1u << 20)   // certificates, a key
#define TP_MAX_TLS_CLIENT_CAS 1000u        // that vouch for clients
#define TP_MAX_TLS_CHAIN 8                 // certificates between a client's and a root
#define TP_MAX_TLS_CHAIN_BYTES 65536       // of those that a client sends
#define TP_MAX_TLS_PEER_BYTES 512u         // of a client's name
#define TP_MAX_TLS_WIRE_BYTES (512u << 10) // encrypted and not yet handed to the socket
#define TP_MAX_TLS_STEP_BYTES (64u << 10)  // of a reply that are encrypted at once
#define TP_MAX_SERVE_CONFIG_BYTES (1u << 20)
#define TP_MAX_SERVE_LOG_BYTES (1u << 20) // of one turn of a loop; more is dropped and counted
#define TP_MAX_SERVED_MODELS 256u
#define TP_MAX_NOTED_KEYS 64u                // ignored keys that a reply lists
#define TP_MAX_SERVED_TEXT_BYTES (16u << 20) // names of a model and its outputs
#define TP_MAX_SERVE_ROWS 1000000u           // in one request
#define TP_MAX_KEPT_KIT_ROWS 4096u           // scoring kits that held more are not kept
#define TP_MAX_SERVE_CONNECTIONS 65536u
#define TP_SERVE_LIMIT_SLOTS 65536u       // buckets of principals that are not full, 16 bytes each
#define TP_SERVE_FAILURE_SLOTS 8192u      // the same of addresses whose credentials were refused
#define TP_SERVE_FAILURES 20u             // refused credentials of an address
#define TP_SERVE_FAILURE_S 60u            // in so many seconds
#define TP_SERVE_PASSWORDS 2u             // that are checked at once
#define TP_SERVE_INLINE_BYTES 8192u       // larger bodies are handled outside the loop
#define TP_SERVE_INLINE_CODED_BYTES 2048u // the same, compressed

#endif
