/* SPDX-License-Identifier: MIT */
/*
 * The sites of one snapshot, for one worker. A handshake begins with a context of no site; when the
 * client hello has been read, before anything is made of it, the name in it chooses the site, whose
 * context takes its place: certificates, what clients must show, and the id that tickets are bound
 * to. So a ticket of one site means nothing at another, also where the other asks no certificate,
 * and none is left from when a site trusted other clients.
 */
#include "tls/tls-internal.h"

#include "base/buffer.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { CLIENT_CHAIN_MAX = 6, TLS_CERTIFICATES_MAX = 16 };

/* ---- making it ---- */

/* All that decides whether who came with a ticket may come without a look. */
static int site_make_id(struct tls_worker *w, const struct tls_site *site, unsigned char id[32]) {
        EVP_MD *sha256 = EVP_MD_fetch(w->library, "SHA256", NULL);
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        const char *name = site->names && site->names[0] ? site->names[0] : "";
        unsigned char mode = (unsigned char)site->client_certificate;
        bool done = sha256 && c && EVP_DigestInit_ex(c, sha256, NULL) == 1 &&
                    EVP_DigestUpdate(c, name, strlen(name) + 1) == 1 &&
                    EVP_DigestUpdate(c, &mode, 1) == 1 &&
                    (!site->client_ca.size ||
                     EVP_DigestUpdate(c, site->client_ca.data, site->client_ca.size) == 1) &&
                    EVP_DigestFinal_ex(c, id, NULL) == 1;

        EVP_MD_CTX_free(c);
        EVP_MD_free(sha256);
        return done ? 0 : -ENOMEM;
}

static int site_take_clients(struct tls_worker *w, const struct tls_site *site, SSL_CTX *context,
                             struct buffer *faults) {
        STACK_OF(X509) *all = NULL;
        X509_STORE *store = SSL_CTX_get_cert_store(context);
        int r;

        if (site->client_certificate == TLS_CLIENT_NO)
                return 0;
        r = certificates_read(w->library, site->client_ca, site->client_ca_place,
                              site->client_ca_path, faults, &all);
        for (int i = 0; r == 0 && i < sk_X509_num(all); i++) {
                X509 *x = sk_X509_value(all, i);

                if (X509_STORE_add_cert(store, x) != 1 || SSL_CTX_add_client_CA(context, x) != 1)
                        r = -ENOMEM;
        }
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        sk_X509_pop_free(all, X509_free);
        return r;
}

static int key_kind(const struct tls_server_certificate *c) {
        return EVP_PKEY_get_base_id(c->loaded.key);
}

/* The context has the first of each kind; it may be exchanged for another in a handshake. */
static int site_use(struct tls_server_site *site, size_t i, const struct tls_certificate *source,
                    struct buffer *faults) {
        const struct tls_loaded *l = &site->certificates[i].loaded;
        const char *why;
        int r;

        for (size_t k = 0; k < i; k++)
                if (key_kind(&site->certificates[k]) == key_kind(&site->certificates[i])) {
                        site->chooses = true;
                        return 0;
                }
        if (SSL_CTX_use_cert_and_key(site->context, l->leaf, l->key, l->rest, 1) == 1)
                return 0;
        why = ERR_reason_error_string(ERR_peek_last_error());
        r = buffer_printf(faults, "%s: %s: OpenSSL refuses it: %s\n", source->place, source->path,
                          why ? why : "for an unknown reason");
        ERR_clear_error();
        return r < 0 ? r : -EBADMSG;
}

/* Every fault is told, so that one look mends all. */
static int site_take_certificates(struct tls_worker *w, const struct tls_site *from,
                                  struct tls_server_site *site, struct buffer *faults) {
        int r = 0;

        if (from->certificate_count > TLS_CERTIFICATES_MAX) {
                r = buffer_printf(faults, "%s: %zu certificates for one site; %d at most\n",
                                  from->certificates[TLS_CERTIFICATES_MAX].place,
                                  from->certificate_count, TLS_CERTIFICATES_MAX);
                return r < 0 ? r : -EBADMSG;
        }
        site->certificates = calloc(from->certificate_count, sizeof(*site->certificates));
        if (!site->certificates)
                return -ENOMEM;
        for (size_t i = 0; i < from->certificate_count && r != -ENOMEM; i++) {
                struct tls_server_certificate *c = &site->certificates[site->certificate_count];
                int e = certificate_load(w->library, &from->certificates[i], faults, &c->loaded);

                if (e == 0) {
                        site->certificate_count++;
                        e = staple_load(&from->certificates[i], c->loaded.leaf, faults, &c->staple);
                }
                if (e == 0)
                        e = site_use(site, site->certificate_count - 1, &from->certificates[i],
                                     faults);
                if (e < 0)
                        r = e;
        }
        return r;
}

static void site_finish(struct tls_server_site *site) {
        for (size_t i = 0; i < site->certificate_count; i++) {
                loaded_finish(&site->certificates[i].loaded);
                free(site->certificates[i].staple.data);
        }
        free(site->certificates);
        SSL_CTX_free(site->context);
}

static int site_init(struct tls_server *s, const struct tls_settings *settings,
                     const struct tls_site *from, struct tls_server_site *site,
                     struct buffer *faults) {
        int r = context_new(s->worker, settings, faults, &site->context), e;

        if (r < 0)
                return r;
        site->owner = from->owner;
        site->client_certificate = from->client_certificate;
        r = site_make_id(s->worker, from, site->id);
        if (r < 0)
                return r;
        r = site_take_certificates(s->worker, from, site, faults);
        e = r == -ENOMEM ? r : site_take_clients(s->worker, from, site->context, faults);
        if (e < 0)
                r = e;
        for (char **name = from->names; r == 0 && name && *name; name++)
                r = names_add(&s->names, *name, site);
        return r;
}

static int server_init(struct tls_server *s, const struct tls_settings *settings,
                       struct buffer *faults) {
        struct tls_settings of_sites = *settings;
        size_t names = 0;
        int r = context_new(s->worker, settings, faults, &s->context);

        if (r == -EBADMSG)
                of_sites.ciphers = NULL; /* once is enough; what else is wrong is told, too */

        for (size_t i = 0; i < settings->site_count; i++)
                for (char **name = settings->sites[i].names; name && *name; name++)
                        names++;
        s->sites = calloc(settings->site_count + 1, sizeof(*s->sites));
        if (!s->sites || names_init(&s->names, names) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < settings->site_count && (r == 0 || r == -EBADMSG); i++) {
                int e;

                if (!settings->sites[i].certificate_count)
                        continue;
                e = site_init(s, &of_sites, &settings->sites[i], &s->sites[s->site_count], faults);
                if (settings->fallback == &settings->sites[i])
                        s->fallback = &s->sites[s->site_count];
                s->site_count++;
                if (e < 0)
                        r = e;
        }
        return r;
}

struct tls_server *server_free(struct tls_server *s) {
        if (!s || --s->references)
                return NULL;
        for (size_t i = 0; i < s->site_count; i++)
                site_finish(&s->sites[i]);
        free(s->sites);
        names_finish(&s->names);
        SSL_CTX_free(s->context);
        free(s);
        return NULL;
}

int server_new(struct tls_worker *w, const struct tls_settings *settings, struct buffer *faults,
               struct tls_server **ret) {
        _cleanup_(server_freep)
        struct tls_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->worker = w;
        s->references = 1;
        s->http2 = settings->http2;
        r = server_init(s, settings, faults);
        ERR_clear_error();
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

/* ---- in a handshake ---- */

/* 2: names the host; 1: by a wildcard; 0: does not. */
static int how_it_names(X509 *leaf, struct text host) {
        if (!host.size)
                return 0;
        if (X509_check_host(leaf, host.data, host.size, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1)
                return 2;
        return X509_check_host(leaf, host.data, host.size, 0, NULL) == 1;
}

/* Of each kind of key, the certificate that names the host best. */
static bool choose_certificates(SSL *ssl, const struct tls_server_site *site, struct text host) {
        bool considered[TLS_CERTIFICATES_MAX] = {};
        size_t count = site->certificate_count;

        SSL_certs_clear(ssl);
        for (size_t i = 0; i < count; i++) {
                const struct tls_server_certificate *best = NULL;
                int how_best = -1;

                for (size_t k = i; k < count; k++) {
                        const struct tls_server_certificate *c = &site->certificates[k];
                        int how;

                        if (considered[k] || key_kind(c) != key_kind(&site->certificates[i]))
                                continue;
                        considered[k] = true;
                        how = how_it_names(c->loaded.leaf, host);
                        if (how > how_best) {
                                best = c;
                                how_best = how;
                        }
                }
                if (best && SSL_use_cert_and_key(ssl, best->loaded.leaf, best->loaded.key,
                                                 best->loaded.rest, 1) != 1)
                        return false;
        }
        return true;
}

static bool use_site(SSL *ssl, const struct tls_server_site *site, struct text host) {
        static const int modes[] = {
                [TLS_CLIENT_NO] = SSL_VERIFY_NONE,
                [TLS_CLIENT_OPTIONAL] = SSL_VERIFY_PEER,
                [TLS_CLIENT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        };

        if (!SSL_set_SSL_CTX(ssl, site->context) ||
            SSL_set_session_id_context(ssl, site->id, sizeof(site->id)) != 1)
                return false;
        SSL_set_verify(ssl, modes[site->client_certificate], NULL);
        SSL_set_verify_depth(ssl, CLIENT_CHAIN_MAX);
        return !site->chooses || choose_certificates(ssl, site, host);
}

int server_choose(SSL *ssl, int *alert, void *unused) {
        const struct tls_stream_full *s = SSL_get_app_data(ssl);
        const struct tls_server *server = s->handshake->server;
        const struct tls_server_site *site;
        char room[TLS_HOST_BYTES_MAX];
        struct text host = {};
        const unsigned char *data;
        size_t size;

        if (s->handshake->site) /* the second hello, after HelloRetryRequest */
                return SSL_CLIENT_HELLO_SUCCESS;
        if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) == 1)
                host = names_from_extension(data, size, room);
        site = names_find(&server->names, host);
        if (!site)
                site = server->fallback;
        if (!site) {
                *alert = SSL_AD_UNRECOGNIZED_NAME;
                return SSL_CLIENT_HELLO_ERROR;
        }
        if (!use_site(ssl, site, host)) {
                *alert = SSL_AD_INTERNAL_ERROR;
                return SSL_CLIENT_HELLO_ERROR;
        }
        s->handshake->site = site;
        return SSL_CLIENT_HELLO_SUCCESS;
}

/*
 * A client that names protocols, none of them ours, means another server: it is refused (RFC 7301,
 * 3.2), so that nobody can make a browser's request look like mail.
 */
int server_choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *unused) {
        static const unsigned char ours[] = "\2h2\10http/1.1\10http/1.0";
        const struct tls_stream_full *s = SSL_get_app_data(ssl);
        unsigned skipped = s->handshake->server->http2 ? 0 : 3;
        unsigned char *chosen;

        if (SSL_select_next_proto(&chosen, ret_bytes, ours + skipped, sizeof(ours) - 1 - skipped,
                                  offered, offered_bytes) != OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        *ret = chosen;
        return SSL_TLSEXT_ERR_OK;
}
