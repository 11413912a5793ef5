/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* ---- certificates ---- */

static struct made all_made[64];
static size_t made_count;
static void *all_kept[512];
static size_t kept_count, kept_of_made;
static SSL_SESSION *all_sessions[64];
static size_t session_count;

const char *keep(const void *data, size_t size) {
        char *copy = malloc(size + 1);

        assert_non_null(copy);
        assert_true(kept_count < ELEMENTS(all_kept));
        memcpy(copy, data, size);
        copy[size] = '\0';
        all_kept[kept_count++] = copy;
        return copy;
}

void fixture_forget(void) {
        while (kept_count > kept_of_made)
                free(all_kept[--kept_count]);
}

void fixture_finish(void) {
        kept_of_made = 0;
        fixture_forget();
        while (made_count) {
                X509_free(all_made[--made_count].certificate);
                EVP_PKEY_free(all_made[made_count].key);
        }
        while (session_count)
                SSL_SESSION_free(all_sessions[--session_count]);
}

static const char *keep_bio(BIO *bio) {
        char *data;
        long n = BIO_get_mem_data(bio, &data);
        const char *kept = keep(data, (size_t)n);

        BIO_free(bio);
        return kept;
}

const char *pem_of(X509 *x) {
        BIO *bio = BIO_new(BIO_s_mem());

        assert_int_equal(PEM_write_bio_X509(bio, x), 1);
        return keep_bio(bio);
}

static EVP_PKEY *make_key(const char *kind) {
        if (strcmp(kind, "EC") == 0)
                return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        if (strcmp(kind, "RSA") == 0)
                return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        return EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value) {
        X509V3_CTX context;
        X509_EXTENSION *e;

        X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
        e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        assert_non_null(e);
        assert_int_equal(X509_add_ext(x, e, -1), 1);
        X509_EXTENSION_free(e);
}

struct made make(struct made_of of) {
        static long serial = 1000;
        X509 *x = X509_new(), *issuer = of.issuer ? of.issuer->certificate : x;
        EVP_PKEY *key = make_key(of.kind), *signer = of.issuer ? of.issuer->key : key;
        const char *subject = of.subject ? of.subject : "test";
        BIO *bio = BIO_new(BIO_s_mem());
        struct made m = { x, key, NULL, NULL };

        assert_non_null(key);
        X509_set_version(x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(x), of.from_sec ? of.from_sec : -3600);
        X509_gmtime_adj(X509_getm_notAfter(x), of.until_sec ? of.until_sec : 86400);
        X509_set_pubkey(x, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)subject, -1, -1, 0);
        X509_set_issuer_name(x, X509_get_subject_name(issuer));
        if (of.is_authority)
                add_extension(x, issuer, NID_basic_constraints, "critical,CA:TRUE");
        if (of.names)
                add_extension(x, issuer, NID_subject_alt_name, of.names);
        assert_true(X509_sign(x, signer,
                              EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL
                                                                               : EVP_sha256()) > 0);
        m.chain_pem = pem_of(x);
        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        m.key_pem = keep_bio(bio);
        assert_true(made_count < ELEMENTS(all_made));
        all_made[made_count++] = m;
        kept_of_made = kept_count;
        return m;
}

struct tls_certificate as_certificate(const struct made *m) {
        return (struct tls_certificate){
                .chain = text_of(m->chain_pem),
                .key = text_of(m->key_pem),
                .place = "emberd.conf:1",
                .path = "test.pem",
        };
}

/* ---- a server side ---- */

struct side side_new(const struct tls_settings *settings) {
        struct tls_settings all = *settings;
        struct buffer faults = {};
        struct side s = {};

        if (!all.min_protocol)
                all.min_protocol = TLS_1_2;
        assert_int_equal(tls->worker_new(&s.worker), 0);
        if (tls->server_new(s.worker, &all, &faults, &s.server) < 0)
                fail_msg("%.*s", TEXT_ARGS(buffer_text(&faults)));
        buffer_finish(&faults);
        return s;
}

void side_free(struct side *s) {
        tls->server_free(s->server);
        tls->worker_free(s->worker);
}

struct tls_ticket_keys ticket_keys(unsigned char first, unsigned count) {
        struct tls_ticket_keys keys = { .count = count };

        for (unsigned i = 0; i < count; i++)
                memset(keys.keys[i], first - (int)i, sizeof(keys.keys[i]));
        return keys;
}

void side_take_keys(struct side *s, const struct tls_ticket_keys *keys) {
        tls->worker_take_keys(s->worker, keys);
}

struct side side_simple(void) {
        struct made m = make((struct made_of){ .kind = "EC", .names = "DNS:example.org" });
        struct tls_certificate c = as_certificate(&m);
        char *names[] = { "example.org", NULL };
        struct tls_site site = {
                .certificates = &c,
                .certificate_count = 1,
                .names = names,
                .owner = "example.org",
        };

        return side_new(&(struct tls_settings){
                .sites = &site, .site_count = 1, .fallback = &site, .http2 = true });
}

/* ---- a client ---- */

static SSL *client_new(struct client_of of) {
        SSL_CTX *c = SSL_CTX_new(TLS_client_method());
        SSL *ssl;

        assert_non_null(c);
        if (of.version)
                assert_true(SSL_CTX_set_min_proto_version(c, of.version) &&
                            SSL_CTX_set_max_proto_version(c, of.version));
        if (of.ciphers)
                assert_int_equal(SSL_CTX_set_cipher_list(c, of.ciphers), 1);
        if (of.suites)
                assert_int_equal(SSL_CTX_set_ciphersuites(c, of.suites), 1);
        if (of.signatures)
                assert_int_equal(SSL_CTX_set1_sigalgs_list(c, of.signatures), 1);
        if (of.groups)
                assert_int_equal(SSL_CTX_set1_groups_list(c, of.groups), 1);
        if (of.certificate) {
                assert_int_equal(SSL_CTX_use_certificate(c, of.certificate->certificate), 1);
                assert_int_equal(SSL_CTX_use_PrivateKey(c, of.certificate->key), 1);
        }
        /* with a cache it would forget a session when it is used, and tests use some twice */
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
        if (of.fragment)
                SSL_CTX_set_tlsext_max_fragment_length(c, (uint8_t)of.fragment);
        ssl = SSL_new(c);
        SSL_CTX_free(c);
        assert_non_null(ssl);
        if (of.name)
                SSL_set_tlsext_host_name(ssl, of.name);
        if (of.alpn)
                SSL_set_alpn_protos(ssl, (const unsigned char *)of.alpn, (unsigned)strlen(of.alpn));
        if (of.wants_staple)
                SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
        if (of.session)
                assert_int_equal(SSL_set_session(ssl, of.session), 1);
        return ssl;
}

static void note_alert(const SSL *ssl, int where, int value) {
        struct pair *p = SSL_get_app_data(ssl);

        if (where == SSL_CB_READ_ALERT && (value & 0xff))
                p->alert = (unsigned)value & 0xff;
}

struct pair pair_new(struct side *s, struct client_of of) {
        struct pair p = { .client = client_new(of) };

        p.to_client = BIO_new(BIO_s_mem());
        p.from_client = BIO_new(BIO_s_mem());
        SSL_set_bio(p.client, p.to_client, p.from_client);
        SSL_set_connect_state(p.client);
        SSL_set_info_callback(p.client, note_alert);
        assert_int_equal(tls->stream_new(s->server, &p.stream), 0);
        return p;
}

void pair_free(struct pair *p) {
        /* OpenSSL forgets sessions of connections that broke */
        SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN);
        SSL_free(p->client);
        tls->stream_free(p->stream);
        buffer_finish(&p->got);
}

static bool send_output(struct pair *p) {
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        unsigned n;
        bool some = false;

        while (p->stream->has_output) {
                n = tls->output(p->stream, parts);
                assert_true(n > 0);
                for (unsigned i = 0; i < n; i++) {
                        assert_true(parts[i].iov_len > 0);
                        BIO_write(p->to_client, parts[i].iov_base, (int)parts[i].iov_len);
                        p->sent_bytes += parts[i].iov_len;
                }
                tls->sent(p->stream);
                some = true;
        }
        return some;
}

static int feed_piece(struct pair *p, const char *data, size_t size) {
        /* memory of just its size, gone afterwards, so that nothing can be kept by reference */
        char *copy = malloc(size);
        struct text got;
        int r;

        memcpy(copy, data, size);
        r = tls->feed(p->stream, copy, size);
        while (r == 0 && (r = tls->read(p->stream, &got)) == 0 && got.size)
                buffer_append_text(&p->got, got);
        free(copy);
        return r;
}

int pair_feed(struct pair *p, const void *data, size_t size) {
        size_t piece = p->piece_bytes ? p->piece_bytes : size;

        for (size_t i = 0; i < size && p->error == 0; i += piece)
                p->error = feed_piece(p, (const char *)data + i, MIN(piece, size - i));
        return p->error;
}

struct text pair_take(struct pair *p) {
        char *data;
        long n = BIO_get_mem_data(p->from_client, &data);
        struct text t = { keep(data, (size_t)n), (size_t)n };

        (void)BIO_reset(p->from_client);
        return t;
}

void pair_carry(struct pair *p) {
        char data[20000];

        SSL_set_app_data(p->client, p);
        for (int turn = 0; turn < 1000; turn++) {
                int n;
                bool some = send_output(p);

                if (!SSL_is_init_finished(p->client))
                        SSL_do_handshake(p->client);
                while ((n = BIO_read(p->from_client, data, sizeof(data))) > 0 && p->error == 0) {
                        some = true;
                        (void)pair_feed(p, data, (size_t)n);
                }
                if (!some)
                        return;
        }
        fail();
}

bool pair_shake(struct pair *p) {
        char c;

        pair_carry(p);
        /* tickets of TLS 1.3, and an alert that came after the client was done */
        (void)!SSL_read(p->client, &c, 0);
        (void)!SSL_peek(p->client, &c, 1);
        return SSL_is_init_finished(p->client) && p->error == 0 && p->stream->state == TLS_OPEN;
}

void pair_to_server(struct pair *p, const void *data, size_t size) {
        size_t before = p->got.used;

        assert_int_equal(SSL_write(p->client, data, (int)size), (int)size);
        pair_carry(p);
        assert_int_equal(p->error, 0);
        assert_int_equal(p->got.used, before + size);
        assert_memory_equal(p->got.data + before, data, size);
}

void pair_to_client(struct pair *p, const void *data, size_t size) {
        char *got = malloc(size);
        size_t written = 0, read = 0;

        while (written < size) {
                struct iovec iov = { (char *)data + written, size - written };
                ssize_t n = tls->write(p->stream, &iov, 1);
                int m;

                assert_true(n > 0);
                written += (size_t)n;
                send_output(p);
                while (read < size && (m = SSL_read(p->client, got + read, (int)(size - read))) > 0)
                        read += (size_t)m;
        }
        assert_int_equal(read, size);
        assert_memory_equal(got, data, size);
        free(got);
}

SSL_SESSION *pair_session(struct pair *p) {
        SSL_SESSION *s = SSL_get1_session(p->client);

        assert_non_null(s);
        assert_true(session_count < ELEMENTS(all_sessions));
        all_sessions[session_count++] = s;
        return s;
}
