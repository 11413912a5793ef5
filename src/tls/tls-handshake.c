/* SPDX-License-Identifier: MIT */
/*
 * The handshake, which is OpenSSL's, until the records are ours: a BIO gives it what feed() was
 * lent, and adds what it writes to the output. When it is over, the keys are taken and all of it is
 * freed, the SSL object first.
 *
 * The keys come by what OpenSSL has for it: TLS 1.3's secrets by its callback for key logs, TLS
 * 1.2's by the master secret. Where OpenSSL has stopped must be known exactly, too. It reads just
 * the bytes of a record when it does not read ahead, so what is left of the lent bytes is ours. Its
 * records pass the BIO, where those that count are counted: in TLS 1.3 those that follow the
 * server's secret, which are session tickets; in TLS 1.2 one, Finished, whose nonce ours must
 * follow, since no nonce may come twice.
 */
#include "tls/tls-internal.h"

#include "base/clock.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

/* A client hello, a chain of certificates and what goes with them; records of one byte included. */
enum { TAKEN_BYTES_MAX = 256 * 1024 };

/* So many at once, 25 KiB each, are worth the milliseconds; a guess. */
enum { CROWD = 256 };
#define TRIM_AFTER_USEC (5 * USEC_PER_SEC)

static BIO_METHOD *bio_method;

/* ---- what OpenSSL writes ---- */

/* A record has passed. */
static void handshake_note(struct tls_handshake *h) {
        if (h->head[0] == TLS_APPLICATION_DATA && h->has_write_secret)
                h->protected_records++;
        memcpy(h->explicit_nonce, h->head + TLS_HEADER_BYTES, TLS_EXPLICIT_BYTES);
}

/* Follow the records through writes that may end anywhere. */
static void handshake_walk(struct tls_handshake *h, const unsigned char *data, size_t size) {
        while (size) {
                bool in_header = h->passed < TLS_HEADER_BYTES;
                size_t n = MIN(size, (in_header ? TLS_HEADER_BYTES : h->record_bytes) - h->passed);

                if (h->passed < sizeof(h->head))
                        memcpy(h->head + h->passed, data, MIN(n, sizeof(h->head) - h->passed));
                h->passed += n;
                data += n;
                size -= n;
                if (in_header && h->passed == TLS_HEADER_BYTES)
                        h->record_bytes = TLS_HEADER_BYTES + (size_t)(h->head[3] << 8 | h->head[4]);
                if (h->passed >= TLS_HEADER_BYTES && h->passed == h->record_bytes) {
                        handshake_note(h);
                        h->passed = 0;
                }
        }
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret) {
        struct tls_stream_full *s = BIO_get_data(bio);

        BIO_clear_retry_flags(bio);
        if (output_append(s, data, size) < 0)
                return 0;
        handshake_walk(s->handshake, (const unsigned char *)data, size);
        *ret = size;
        return 1;
}

static int bio_read(BIO *bio, char *to, size_t size, size_t *ret) {
        struct tls_stream_full *s = BIO_get_data(bio);
        size_t n = MIN(size, s->in_bytes);

        BIO_clear_retry_flags(bio);
        if (!n) {
                BIO_set_retry_read(bio);
                return 0;
        }
        memcpy(to, s->in, n);
        s->in += n;
        s->in_bytes -= n;
        s->handshake->taken_bytes += n;
        *ret = n;
        return 1;
}

/* OpenSSL asks for kernel TLS and much else that there is not. */
static long bio_control(BIO *bio, int command, long number, void *pointer) {
        return command == BIO_CTRL_FLUSH;
}

static void bio_make_method(void) {
        BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "emberd");

        if (m && BIO_meth_set_write_ex(m, bio_write) == 1 &&
            BIO_meth_set_read_ex(m, bio_read) == 1 && BIO_meth_set_ctrl(m, bio_control) == 1)
                bio_method = m;
        else
                BIO_meth_free(m);
}

/* ---- its life ---- */

int handshake_new(struct tls_server *server, struct tls_stream_full *s) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        struct tls_handshake *h = calloc(1, sizeof(*h));
        BIO *bio = NULL;

        pthread_once(&once, bio_make_method);
        if (!h)
                return -ENOMEM;
        s->handshake = h;
        h->server = server;
        server->references++;
        s->worker->handshakes++;
        s->worker->handshakes_most = MAX(s->worker->handshakes_most, s->worker->handshakes);
        h->ssl = SSL_new(server->context);
        if (h->ssl && bio_method)
                bio = BIO_new(bio_method);
        if (!bio || SSL_set_app_data(h->ssl, s) != 1) {
                BIO_free(bio);
                handshake_free(s);
                ERR_clear_error();
                return -ENOMEM;
        }
        BIO_set_data(bio, s);
        BIO_set_init(bio, 1);
        SSL_set_bio(h->ssl, bio, bio);
        SSL_set_accept_state(h->ssl);
        if (!s->worker->ticket_keys.count) {
                SSL_set_options(h->ssl, SSL_OP_NO_TICKET);
                SSL_set_num_tickets(h->ssl, 0);
        }
        return 0;
}

/*
 * Many handshakes at once leave the heap full of holes, with an idle stream here and there between
 * them: when the last is over, the holes go back to the kernel.
 */
static void handshake_count_down(struct tls_worker *w) {
        uint64_t now;

        if (--w->handshakes || w->handshakes_most < CROWD)
                return;
        now = clock_monotonic_usec();
        if (now - w->trimmed_usec < TRIM_AFTER_USEC)
                return;
        w->trimmed_usec = now;
        w->handshakes_most = 0;
        malloc_trim(0);
}

void handshake_free(struct tls_stream_full *s) {
        struct tls_handshake *h = take_ptr(s->handshake);

        if (!h)
                return;
        SSL_free(h->ssl);
        server_free(h->server);
        OPENSSL_cleanse(h, sizeof(*h));
        free(h);
        handshake_count_down(s->worker);
}

/* ---- its keys ---- */

static bool take_secret(const char *hex, unsigned char to[static TLS_SECRET_BYTES_MAX]) {
        for (size_t i = 0; hex[2 * i] && i < TLS_SECRET_BYTES_MAX; i++) {
                int high = OPENSSL_hexchar2int((unsigned char)hex[2 * i]);
                int low = OPENSSL_hexchar2int((unsigned char)hex[2 * i + 1]);

                if (high < 0 || low < 0)
                        return false;
                to[i] = (unsigned char)(high << 4 | low);
        }
        return true;
}

/* OpenSSL's callback: "LABEL CLIENT-RANDOM SECRET". */
static void take_key_line(const SSL *ssl, const char *line) {
        struct tls_stream_full *s = SSL_get_app_data(ssl);
        struct tls_handshake *h = s->handshake;
        const char *secret = strrchr(line, ' ');

        if (!secret)
                return;
        if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
                h->has_read_secret = take_secret(secret + 1, h->read_secret);
        else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
                h->has_write_secret = take_secret(secret + 1, h->write_secret);
}

/*
 * OpenSSL's callback for each message. The secrets that we need follow the server's Finished; to
 * have a line made of those before costs as much as a twentieth of the handshake, so nobody listens
 * until then. handshake_step() ends it: the context is that of others, too.
 */
void handshake_message(int writes, int version, int type, const void *data, size_t size, SSL *ssl,
                       void *unused) {
        if (writes && type == SSL3_RT_HANDSHAKE && size &&
            *(const unsigned char *)data == SSL3_MT_FINISHED && SSL_version(ssl) == TLS_1_3)
                SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(ssl), take_key_line);
}

static int suite_of(const SSL_CIPHER *cipher) {
        switch (SSL_CIPHER_get_cipher_nid(cipher)) {
        case NID_aes_128_gcm: return TLS_AES_128;
        case NID_aes_256_gcm: return TLS_AES_256;
        case NID_chacha20_poly1305: return TLS_CHACHA20;
        default: return -EPROTO;
        }
}

static int take_keys_1_3(struct tls_stream_full *s, const struct tls_handshake *h) {
        int r;

        if (!h->has_read_secret || !h->has_write_secret)
                return -EIO;
        memcpy(s->reads.secret, h->read_secret, sizeof(s->reads.secret));
        memcpy(s->writes.secret, h->write_secret, sizeof(s->writes.secret));
        s->writes.sequence = h->protected_records;
        r = keys_expand(s->worker, s->suite, &s->reads);
        return r < 0 ? r : keys_expand(s->worker, s->suite, &s->writes);
}

static int take_keys_1_2(struct tls_stream_full *s, const struct tls_handshake *h,
                         const SSL_CIPHER *cipher) {
        bool sha384 = EVP_MD_get_size(SSL_CIPHER_get_handshake_digest(cipher)) == 48;

        s->reads.sequence = s->writes.sequence = 1; /* Finished was 0 */
        for (unsigned i = 0; i < TLS_EXPLICIT_BYTES; i++)
                s->explicit_nonce = s->explicit_nonce << 8 | h->explicit_nonce[i];
        s->explicit_nonce++;
        return keys_from_master(s->worker, s->suite, sha384, h->ssl, &s->reads, &s->writes);
}

static int take_keys(struct tls_stream_full *s) {
        const struct tls_handshake *h = s->handshake;
        const SSL_CIPHER *cipher = SSL_get_current_cipher(h->ssl);
        int suite = suite_of(cipher);

        if (suite < 0 || SSL_has_pending(h->ssl))
                return -EPROTO;
        s->suite = (uint8_t)suite;
        s->stream.protocol = (uint16_t)SSL_version(h->ssl);
        if (s->stream.protocol == TLS_1_3)
                return take_keys_1_3(s, h);
        return s->stream.protocol == TLS_1_2 ? take_keys_1_2(s, h, cipher) : -EPROTO;
}

/* ---- when it is over ---- */

/* A subject that is cut would be that of somebody else: one too long is refused. */
static int take_subject(struct tls_stream_full *s, X509 *certificate) {
        BIO *text = BIO_new(BIO_s_mem());
        char *data, *copy = NULL;
        long bytes = -1;
        int r = -ENOMEM;

        if (text &&
            X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
                bytes = BIO_get_mem_data(text, &data);
        if (bytes > TLS_SUBJECT_BYTES_MAX)
                r = -EPROTO;
        else if (bytes >= 0)
                copy = text_dup((struct text){ data, (size_t)bytes });
        if (copy) {
                s->stream.client_subject = (struct text){ copy, (size_t)bytes };
                r = 0;
        }
        BIO_free(text);
        return r;
}

static int take_results(struct tls_stream_full *s) {
        const struct tls_handshake *h = s->handshake;
        X509 *peer = SSL_get0_peer_certificate(h->ssl);
        uint8_t fragment = SSL_SESSION_get_max_fragment_length(SSL_get0_session(h->ssl));
        const unsigned char *protocol;
        unsigned protocol_bytes;

        SSL_get0_alpn_selected(h->ssl, &protocol, &protocol_bytes);
        s->stream.http2 = protocol_bytes == 2 && memcmp(protocol, "h2", 2) == 0;
        s->stream.resumed = SSL_session_reused(h->ssl);
        s->stream.site = h->site->owner;
        if (fragment >= 1 && fragment <= 4) /* RFC 6066, 4: 2^9 to 2^12 */
                s->record_bytes = (uint16_t)(256 << fragment);
        if (!peer)
                return 0;
        if (SSL_get_verify_result(h->ssl) != X509_V_OK)
                return -EPROTO;
        return take_subject(s, peer);
}

static int handshake_over(struct tls_stream_full *s) {
        int r = take_keys(s);

        if (r < 0)
                return stream_fail(s, r, "the keys of the handshake cannot be used");
        r = take_results(s);
        if (r < 0)
                return stream_fail(s, r, "the client's certificate cannot be used");
        handshake_free(s);
        s->stream.state = TLS_OPEN;
        return 0;
}

static int handshake_failed(struct tls_stream_full *s) {
        unsigned long error = ERR_peek_error();
        const char *why = ERR_reason_error_string(error);
        int r = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EPROTO;

        ERR_clear_error();
        return stream_fail(s, r, why ? why : "the handshake failed");
}

/* Said before OpenSSL looks at it, which would answer with an alert that no browser shows. */
static int check_first(struct tls_stream_full *s) {
        unsigned char c = (unsigned char)s->in[0];

        if (c == TLS_HANDSHAKE_MESSAGE)
                return 0;
        if (c >= 'A' && c <= 'Z') {
                s->stream.plain_http = true;
                return stream_fail(s, -EPROTO, "plain HTTP where TLS is spoken");
        }
        return stream_fail(s, -EPROTO, "no TLS");
}

int handshake_step(struct tls_stream_full *s) {
        struct tls_handshake *h = s->handshake;
        int r;

        if (s->in_bytes && !h->taken_bytes && check_first(s) < 0)
                return s->failed;
        if (h->taken_bytes + s->in_bytes > TAKEN_BYTES_MAX)
                return stream_fail(s, -EPROTO, "the handshake is too long");
        ERR_clear_error();
        if (h->has_write_secret)
                SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(h->ssl), take_key_line);
        r = SSL_do_handshake(h->ssl);
        SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(h->ssl), NULL);
        if (r == 1)
                return handshake_over(s);
        return SSL_get_error(h->ssl, r) == SSL_ERROR_WANT_READ ? 0 : handshake_failed(s);
}
