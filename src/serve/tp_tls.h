// SPDX-License-Identifier: Apache-2.0
//
// TLS without sockets, on OpenSSL: a session is fed bytes from the wire, gives plain bytes, takes
// plain bytes and collects what goes to the wire. So every case runs in a unit test, as with
// tp_http.
//
// TLS 1.2 and 1.3; for 1.2 ephemeral elliptic curves with authenticated ciphers alone. No
// renegotiation, no compression, no early data. No resumption either: a resumed session would carry
// a client's certificate past the reload that took its authority away, and the keys of tickets
// would undo forward secrecy for as long as they live. Clients of a model server keep their
// connections, so a full handshake each costs them little.
//
// OpenSSL allocates by itself; what a session grows by is bounded by its records (16 KiB each way,
// given back while idle), and `wire` has a ceiling of its own.
#ifndef TP_TLS_H
#define TP_TLS_H

#include "base/tp_buffer.h"

#include <tapeout/context.h>

// -- the server's side: certificate, key, whom it trusts -----------------------------------------
typedef enum tp_tls_version { TP_TLS_1_2, TP_TLS_1_3 } tp_tls_version;

typedef struct tp_tls_options {
    const char *cert;      // PEM: the server's certificate, then those between it and the root
    const char *key;       // PEM, without a passphrase
    const char *client_ca; // PEM: who may vouch for clients; NULL: clients show no certificate
    bool client_optional;  // a client without a certificate is let in as nobody
    tp_tls_version min_version;
} tp_tls_options;

// What is in use, for logs and metrics.
typedef struct tp_tls_facts {
    char sha256[65]; // of the certificate, hexadecimal
    int64_t expires_unix_s;
} tp_tls_facts;

// @thread synchronized
typedef struct tp_tls tp_tls;

// The texts of `options` are borrowed until tp_tls_free. E_NOT_FOUND, E_DENIED or E_CORRUPT name
// the file; E_INVALID where certificate and key do not belong together or the time is over.
tapeout_status tp_tls_new(const tapeout_allocator *alloc, const tp_tls_options *options,
                          tp_tls **ret_tls, tapeout_error *err);
void tp_tls_free(tp_tls *tls); // accepts NULL; no session may be left

// Whether a file has changed since it was last read, well or not. Looks at the files' places.
bool tp_tls_has_changed(const tp_tls *tls);
// Reads the files again. On failure the old certificate stays in use, and tp_tls_has_changed waits
// for the next change.
tapeout_status tp_tls_reload(tp_tls *tls, tapeout_error *err);
tp_tls_facts tp_tls_facts_read(tp_tls *tls);

// A key on P-256 and a certificate by itself, for localhost, 127.0.0.1, ::1 and `host` (an address
// or a name; may be NULL), good for a year: HOME/tls/self.key and self.crt. Those that are there
// are kept if they serve `host` for another month. Paths are written to `ret_cert` and `ret_key`,
// TP_MAX_PATH_BYTES each.
tapeout_status tp_tls_self_make(const tapeout_allocator *alloc, const char *home, const char *host,
                                char *ret_cert, char *ret_key, tapeout_error *err);

// -- one connection ------------------------------------------------------------------------------
// @thread confined
typedef struct tp_tls_session tp_tls_session;

typedef enum tp_tls_event {
    TP_TLS_DATA, // plain bytes were read
    TP_TLS_WAIT, // nothing more until bytes come in
    TP_TLS_END,  // the peer has said that it sends nothing more
    TP_TLS_FAILED
} tp_tls_event;

tapeout_status tp_tls_session_new(tp_tls *tls, const tapeout_allocator *alloc,
                                  tp_tls_session **ret_session, tapeout_error *err);
void tp_tls_session_free(tp_tls_session *session); // accepts NULL

// Bytes from the wire, borrowed until tp_tls_session_read has said other than TP_TLS_DATA.
void tp_tls_session_feed(tp_tls_session *session, const void *data, size_t size);
// Handshakes as far as it goes, then decrypts at most `size` bytes.
tp_tls_event tp_tls_session_read(tp_tls_session *session, void *ret_data, size_t size,
                                 size_t *ret_size);
// Encrypts all of it onto the wire. False on failure, which includes a handshake that is not done.
bool tp_tls_session_write(tp_tls_session *session, const void *data, size_t size);
// Says that nothing more will be written.
void tp_tls_session_end(tp_tls_session *session);

// What is to be sent: the owner takes it and clears it.
tp_buffer *tp_tls_session_wire(tp_tls_session *session);
bool tp_tls_session_is_ready(const tp_tls_session *session); // the handshake is done
// Who the client is by its verified certificate, or NULL: "URI:...", "DNS:..." or "email:..." by
// the first alternative name of the first such kind, else the subject as in RFC 2253.
const char *tp_tls_session_peer(const tp_tls_session *session);
// Why it failed, in a few words.
const char *tp_tls_session_why(const tp_tls_session *session);

#endif
