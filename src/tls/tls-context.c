/* SPDX-License-Identifier: MIT */
/*
 * What every handshake of a server has alike. The choices are those of Mozilla's "intermediate"
 * without DHE, the server's order, AES-128 first since it costs least; a client that prefers
 * ChaCha20, for want of AES in its processor, gets that. All are AEADs, because our record layer
 * has no others: CBC has been a source of faults for twenty years (RFC 9325, 4.2).
 */
#include "tls/tls-internal.h"

#include "base/buffer.h"

#include <errno.h>
#include <openssl/err.h>

/* A client's certificates count: a chain of a few, with the large keys of post-quantum ones. */
enum { CERTIFICATES_BYTES_MAX = 32 * 1024 };

static const char suites_1_3[] =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char ciphers_1_2[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* The first that the library knows: the hybrid came with OpenSSL 3.5. */
static bool set_groups(SSL_CTX *context) {
        static const char *const lists[] = { "X25519MLKEM768:X25519:P-256:P-384",
                                             "X25519:P-256:P-384" };

        for (size_t i = 0; i < ELEMENTS(lists); i++)
                if (SSL_CTX_set1_groups_list(context, lists[i]) == 1)
                        return true;
        return false;
}

static bool is_usable(const SSL_CIPHER *cipher) {
        switch (SSL_CIPHER_get_cipher_nid(cipher)) {
        case NID_aes_128_gcm:
        case NID_aes_256_gcm:
        case NID_chacha20_poly1305: break;
        default: return false;
        }
        /* a key that every connection has in common gives away all that was ever recorded */
        return SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe &&
               SSL_CIPHER_get_auth_nid(cipher) != NID_auth_null;
}

static int fault(const struct tls_settings *settings, struct buffer *faults, const char *what) {
        ERR_clear_error();
        (void)buffer_printf(faults, "%s: %s\n",
                            settings->ciphers_place ? settings->ciphers_place : "Ciphers=", what);
        return faults->failed ? -ENOMEM : -EBADMSG;
}

/* Of what the settings list, that which we have a record layer for, in their order. */
static int set_ciphers(SSL_CTX *context, const struct tls_settings *settings,
                       struct buffer *faults) {
        _cleanup_(buffer_finish)
        struct buffer usable = {};
        STACK_OF(SSL_CIPHER) * all;

        if (!settings->ciphers)
                return SSL_CTX_set_cipher_list(context, ciphers_1_2) == 1 ? 0 : -EIO;
        if (SSL_CTX_set_cipher_list(context, settings->ciphers) != 1)
                return fault(settings, faults,
                             "OpenSSL knows none of these ciphers; see ciphers(1) for their names");
        all = SSL_CTX_get_ciphers(context);
        for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
                const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(all, i);

                if (SSL_CIPHER_get_protocol_id(cipher) >> 8 == 0x13 || !is_usable(cipher))
                        continue; /* those of TLS 1.3 are in the list, too */
                (void)buffer_printf(&usable, "%s%s", usable.used ? ":" : "",
                                    SSL_CIPHER_get_name(cipher));
        }
        if (buffer_append(&usable, "", usable.used > 0) < 0)
                return -ENOMEM;
        if (!usable.used)
                return fault(settings, faults,
                             "none of these ciphers can be used: they must be ECDHE with AES-GCM "
                             "or ChaCha20-Poly1305, such as ECDHE-RSA-AES128-GCM-SHA256");
        return SSL_CTX_set_cipher_list(context, usable.data) == 1 ? 0 : -EIO;
}

static int configure(SSL_CTX *c, const struct tls_settings *settings, struct buffer *faults) {
        SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS); /* while a client takes its time */
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_timeout(c, TLS_TICKET_LIFETIME_SEC);
        SSL_CTX_set_max_early_data(c, 0);
        SSL_CTX_set_read_ahead(c, 0); /* what follows the handshake is not for OpenSSL to read */
        SSL_CTX_set_max_cert_list(c, CERTIFICATES_BYTES_MAX);
        SSL_CTX_set_security_level(c, 2);
        SSL_CTX_set_client_hello_cb(c, server_choose, NULL);
        SSL_CTX_set_alpn_select_cb(c, server_choose_protocol, NULL);
        SSL_CTX_set_msg_callback(c, handshake_message);
        SSL_CTX_set_tlsext_status_cb(c, staple_answer);
        /* a second ticket is of use to who opens connections side by side before the first ends */
        if (SSL_CTX_set_num_tickets(c, 1) != 1 ||
            SSL_CTX_set_min_proto_version(c, (int)settings->min_protocol) != 1 ||
            SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) != 1 ||
            SSL_CTX_set_ciphersuites(c, suites_1_3) != 1 || !set_groups(c) ||
            SSL_CTX_set_tlsext_ticket_key_evp_cb(c, worker_ticket_key) != 1)
                return -EIO;
        return set_ciphers(c, settings, faults);
}

int context_new(struct tls_worker *w, const struct tls_settings *settings, struct buffer *faults,
                SSL_CTX **ret) {
        SSL_CTX *c = SSL_CTX_new_ex(w->library, NULL, TLS_server_method());
        int r;

        if (!c)
                return -ENOMEM;
        r = configure(c, settings, faults);
        ERR_clear_error();
        if (r < 0)
                SSL_CTX_free(c);
        else
                *ret = c;
        return r;
}
