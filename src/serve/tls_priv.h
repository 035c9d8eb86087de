// SPDX-License-Identifier: Apache-2.0
//
// What the files of TLS share: how a session gets what it stands on, and OpenSSL's words.
#ifndef TLS_PRIV_H
#define TLS_PRIV_H

#include "serve/tp_tls.h"

#include <openssl/ssl.h>

// A connection's object on the certificate of this moment, over a BIO of tp_tls_wire_new's, which
// belongs to it. NULL without memory.
SSL *tp_tls_ssl_new(tp_tls *tls, BIO **ret_bio);

// The wire of a session: BIO_set_data names it. NULL without memory. Freed with BIO_meth_free.
BIO_METHOD *tp_tls_wire_new(void);

// The words of OpenSSL's last error of this thread, and forgets them all.
const char *tp_tls_words(void);

// A file of PEM as a source for OpenSSL, read within its limit. `what` stands in messages. The BIO
// is freed with BIO_free, and then the text with tp_free(alloc, data, size + 1).
tapeout_status tp_tls_file_open(const tapeout_allocator *alloc, const char *what, const char *path,
                                tp_str *ret_text, BIO **ret_bio, tapeout_error *err);

#endif
