/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

static int finish(void **state) {
        fixture_finish();
        return 0;
}

static char *names_of(X509 *x, char *to, size_t size) {
        GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        const GENERAL_NAME *first = sk_GENERAL_NAME_value(all, 0);

        snprintf(to, size, "%s", ASN1_STRING_get0_data(first->d.dNSName));
        GENERAL_NAMES_free(all);
        return to;
}

/* The first name in the certificate that a client is shown; "" where it is refused. */
static const char *shown(struct side *s, struct client_of of, const void **ret_site) {
        static char name[256];
        struct pair p = pair_new(s, of);
        X509 *x;

        name[0] = '\0';
        if (pair_shake(&p)) {
                x = SSL_get1_peer_certificate(p.client);
                names_of(x, name, sizeof(name));
                X509_free(x);
                if (ret_site)
                        *ret_site = p.stream->site;
        } else {
                snprintf(name, sizeof(name), "alert %u", p.alert);
        }
        pair_free(&p);
        return name;
}

/* Which certificate a visitor sees is what SNI is for, wildcards and odd spellings included. */
static void the_name_chooses_the_site(void **state) {
        struct made m[] = {
                make((struct made_of){ .kind = "EC", .names = "DNS:one" }),
                make((struct made_of){ .kind = "EC", .names = "DNS:wild" }),
                make((struct made_of){ .kind = "EC", .names = "DNS:deep" }),
        };
        struct tls_certificate c[] = { as_certificate(&m[0]), as_certificate(&m[1]),
                                       as_certificate(&m[2]) };
        char *one[] = { "example.org", "www.example.org", NULL };
        char *wild[] = { "*.example.org", NULL };
        char *deep[] = { "*.b.example.org", NULL };
        struct tls_site sites[] = {
                { .certificates = &c[0], .certificate_count = 1, .names = one, .owner = &m[0] },
                { .certificates = &c[1], .certificate_count = 1, .names = wild, .owner = &m[1] },
                { .certificates = &c[2], .certificate_count = 1, .names = deep, .owner = &m[2] },
        };
        static const struct {
                const char *name, *with_fallback, *without;
        } all[] = {
                { "example.org", "one", "one" },
                { "EXAMPLE.org", "one", "one" },
                { "example.org.", "one", "one" },
                { "www.example.org", "one", "one" },
                { "x.example.org", "wild", "wild" },
                { "x.y.example.org", "wild", "wild" },
                { "x.b.example.org", "deep", "deep" },
                { "b.example.org", "wild", "wild" },
                { "example.com", "one", "alert 112" },
                { "xexample.org", "one", "alert 112" },
                { "org", "one", "alert 112" },
                { "a..example.org", "one", "alert 112" },
                { ".example.org", "one", "alert 112" },
                { "*.example.org", "one", "alert 112" },
                { "x/.example.org", "one", "alert 112" },
                { NULL, "one", "alert 112" },
        };
        struct side with = side_new(
                &(struct tls_settings){ .sites = sites, .site_count = 3, .fallback = &sites[0] });
        struct side without = side_new(&(struct tls_settings){ .sites = sites, .site_count = 3 });

        for (size_t i = 0; i < ELEMENTS(all); i++)
                for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                        struct client_of of = { .version = version, .name = all[i].name };
                        const void *site = NULL;

                        assert_string_equal(shown(&with, of, &site), all[i].with_fallback);
                        assert_ptr_equal(site, strcmp(all[i].with_fallback, "one") == 0    ? &m[0]
                                               : strcmp(all[i].with_fallback, "wild") == 0 ? &m[1]
                                                                                           : &m[2]);
                        assert_string_equal(shown(&without, of, NULL), all[i].without);
                }
        side_free(&with);
        side_free(&without);
}

/* Old clients know RSA alone, others are served at less cost: both kinds stand side by side. */
static void kinds_of_keys_stand_side_by_side(void **state) {
        struct made m[] = {
                make((struct made_of){ .kind = "RSA", .names = "DNS:rsa" }),
                make((struct made_of){ .kind = "EC", .names = "DNS:ec" }),
                make((struct made_of){ .kind = "ED25519", .names = "DNS:ed" }),
        };
        struct tls_certificate c[] = { as_certificate(&m[0]), as_certificate(&m[1]),
                                       as_certificate(&m[2]) };
        char *names[] = { "a", NULL };
        struct tls_site site = { .certificates = c, .certificate_count = 3, .names = names };
        struct side s = side_new(
                &(struct tls_settings){ .sites = &site, .site_count = 1, .fallback = &site });

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct client_of of = { .version = version };

                of.signatures = "RSA-PSS+SHA256:RSA+SHA256";
                assert_string_equal(shown(&s, of, NULL), "rsa");
                of.signatures = "ECDSA+SHA256";
                assert_string_equal(shown(&s, of, NULL), "ec");
                of.signatures = "ed25519";
                assert_string_equal(shown(&s, of, NULL), "ed");
        }
        side_free(&s);
}

/* Two of one kind: each name gets the certificate that has it, exactly before by a wildcard. */
static void the_certificate_that_names_the_host(void **state) {
        struct made m[] = {
                make((struct made_of){ .kind = "EC", .names = "DNS:first.org" }),
                make((struct made_of){ .kind = "EC", .names = "DNS:*.wild.org" }),
                make((struct made_of){ .kind = "EC", .names = "DNS:a.wild.org" }),
                make((struct made_of){ .kind = "RSA", .names = "DNS:rsa" }),
        };
        struct tls_certificate c[] = { as_certificate(&m[0]), as_certificate(&m[1]),
                                       as_certificate(&m[2]), as_certificate(&m[3]) };
        char *names[] = { "first.org", "*.wild.org", NULL };
        struct tls_site site = { .certificates = c, .certificate_count = 4, .names = names };
        struct side s = side_new(
                &(struct tls_settings){ .sites = &site, .site_count = 1, .fallback = &site });

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct client_of of = { .version = version, .signatures = "ECDSA+SHA256" };

                of.name = "first.org";
                assert_string_equal(shown(&s, of, NULL), "first.org");
                of.name = "a.wild.org";
                assert_string_equal(shown(&s, of, NULL), "a.wild.org");
                of.name = "b.wild.org";
                assert_string_equal(shown(&s, of, NULL), "*.wild.org");
                of.name = NULL;
                assert_string_equal(shown(&s, of, NULL), "first.org");
                of.signatures = "RSA-PSS+SHA256:RSA+SHA256";
                assert_string_equal(shown(&s, of, NULL), "rsa");
        }
        side_free(&s);
}

/* HTTP/2 only where it is offered by both; a client of another protocol is refused (RFC 7301). */
static void protocols_are_agreed_on(void **state) {
        static const struct {
                const char *offer;
                bool open, http2;
                unsigned alert;
        } all[] = {
                { "\2h2\10http/1.1", true, true, 0 },
                { "\10http/1.1\2h2", true, true, 0 },
                { "\10http/1.1", true, false, 0 },
                { "\10http/1.0", true, false, 0 },
                { NULL, true, false, 0 },
                { "\4imap", false, false, 120 },
        };
        struct made m = make((struct made_of){ .kind = "EC", .names = "DNS:a" });
        struct tls_certificate c = as_certificate(&m);
        char *names[] = { "a", NULL };
        struct tls_site site = { .certificates = &c, .certificate_count = 1, .names = names };

        for (int http2 = 0; http2 <= 1; http2++) {
                struct side s = side_new(&(struct tls_settings){
                        .sites = &site, .site_count = 1, .fallback = &site, .http2 = http2 });

                for (size_t i = 0; i < ELEMENTS(all); i++) {
                        struct pair p = pair_new(&s, (struct client_of){ .alpn = all[i].offer });

                        assert_int_equal(pair_shake(&p), all[i].open);
                        assert_int_equal(p.stream->http2, http2 && all[i].http2);
                        assert_int_equal(p.alert, all[i].alert);
                        pair_free(&p);
                }
                side_free(&s);
        }
}

/* ---- clients' certificates ---- */

static struct made authority, stranger, client, client_of_stranger, client_expired;

static struct side side_with_clients(const char *name, enum tls_client_certificate how) {
        struct made m = make((struct made_of){ .kind = "EC", .names = "DNS:example.org" });
        struct tls_certificate c = as_certificate(&m);
        char *names[] = { (char *)name, NULL };
        struct tls_site site = {
                .certificates = &c,
                .certificate_count = 1,
                .names = names,
                .client_certificate = how,
                .client_ca = text_of(authority.chain_pem),
                .client_ca_place = "emberd.conf:2",
                .client_ca_path = "ca.pem",
        };

        return side_new(
                &(struct tls_settings){ .sites = &site, .site_count = 1, .fallback = &site });
}

static int make_clients(void **state) {
        authority = make((struct made_of){ .kind = "EC", .subject = "CA", .is_authority = true });
        stranger = make((struct made_of){ .kind = "EC", .subject = "CB", .is_authority = true });
        client = make((struct made_of){
                .kind = "EC", .subject = "J\xc3\xbcrgen, \"x\"", .issuer = &authority });
        client_of_stranger = make((struct made_of){ .kind = "EC", .issuer = &stranger });
        client_expired = make((struct made_of){
                .kind = "EC", .issuer = &authority, .from_sec = -7200, .until_sec = -3600 });
        return 0;
}

/* Who may come in is decided here: each wrong certificate has its alert, no way around it. */
static void clients_show_certificates(void **state) {
        const struct {
                enum tls_client_certificate how;
                const struct made *shows;
                bool open;
                unsigned alert_1_2, alert_1_3;
        } all[] = {
                { TLS_CLIENT_REQUIRED, &client, true, 0, 0 },
                { TLS_CLIENT_REQUIRED, NULL, false, SSL_AD_HANDSHAKE_FAILURE,
                  SSL_AD_CERTIFICATE_REQUIRED },
                { TLS_CLIENT_REQUIRED, &client_of_stranger, false, SSL_AD_UNKNOWN_CA,
                  SSL_AD_UNKNOWN_CA },
                { TLS_CLIENT_REQUIRED, &client_expired, false, SSL_AD_CERTIFICATE_EXPIRED,
                  SSL_AD_CERTIFICATE_EXPIRED },
                { TLS_CLIENT_OPTIONAL, &client, true, 0, 0 },
                { TLS_CLIENT_OPTIONAL, NULL, true, 0, 0 },
                { TLS_CLIENT_OPTIONAL, &client_of_stranger, false, SSL_AD_UNKNOWN_CA,
                  SSL_AD_UNKNOWN_CA },
                { TLS_CLIENT_OPTIONAL, &client_expired, false, SSL_AD_CERTIFICATE_EXPIRED,
                  SSL_AD_CERTIFICATE_EXPIRED },
        };

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct side s = side_with_clients("example.org", all[i].how);

                for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                        struct pair p =
                                pair_new(&s, (struct client_of){ .version = version,
                                                                 .certificate = all[i].shows });

                        assert_int_equal(pair_shake(&p), all[i].open);
                        assert_int_equal(p.alert,
                                         version == TLS_1_2 ? all[i].alert_1_2 : all[i].alert_1_3);
                        if (all[i].open && all[i].shows)
                                assert_true(text_equal(p.stream->client_subject,
                                                       TEXT("CN=J\\C3\\BCrgen\\, \\\"x\\\"")));
                        else
                                assert_int_equal(p.stream->client_subject.size, 0);
                        pair_free(&p);
                }
                side_free(&s);
        }
}

/* Cut to what fits, the subject of one would be that of another. */
static void subjects_are_whole_or_refused(void **state) {
        struct side s = side_with_clients("example.org", TLS_CLIENT_REQUIRED);
        X509 *x = X509_new();
        X509_NAME *name = X509_NAME_new();
        struct made m = make((struct made_of){ .kind = "EC" });
        struct pair p;

        for (int i = 0; i < 20; i++) {
                char unit[65];

                memset(unit, 'a' + i, 64);
                unit[64] = '\0';
                X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC, (unsigned char *)unit, -1, -1,
                                           0);
        }
        X509_set_version(x, X509_VERSION_3);
        X509_set_subject_name(x, name);
        X509_set_issuer_name(x, X509_get_subject_name(authority.certificate));
        X509_gmtime_adj(X509_getm_notBefore(x), -10);
        X509_gmtime_adj(X509_getm_notAfter(x), 1000);
        X509_set_pubkey(x, m.key);
        assert_true(X509_sign(x, authority.key, EVP_sha256()) > 0);
        m.certificate = x;
        p = pair_new(&s, (struct client_of){ .certificate = &m });
        assert_false(pair_shake(&p));
        assert_int_equal(p.error, -EPROTO);
        pair_free(&p);
        X509_NAME_free(name);
        X509_free(x);
        side_free(&s);
}

/* ---- tickets ---- */

/* A session that can be resumed at `s`, and what it was resumed with. */
static SSL_SESSION *session_at(struct side *s, struct client_of of) {
        struct pair p = pair_new(s, of);
        SSL_SESSION *session;

        assert_true(pair_shake(&p));
        assert_false(p.stream->resumed);
        session = pair_session(&p);
        assert_true(SSL_SESSION_has_ticket(session));
        pair_free(&p);
        return session;
}

static bool resumes(struct side *s, struct client_of of) {
        struct pair p = pair_new(s, of);
        bool resumed;

        assert_true(pair_shake(&p));
        resumed = p.stream->resumed;
        assert_int_equal(SSL_session_reused(p.client), resumed);
        pair_to_server(&p, "request", 7);
        pair_to_client(&p, "answer", 6);
        pair_free(&p);
        return resumed;
}

/* The next connection may come to another worker, or after the keys were replaced. */
static void tickets_go_with_their_keys(void **state) {
        struct tls_ticket_keys first = ticket_keys(10, 1), second = ticket_keys(11, 2),
                               third = ticket_keys(20, 3);

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct side a = side_simple(), b = side_simple();
                struct client_of of = { .version = version };

                side_take_keys(&a, &first);
                of.session = session_at(&a, of);
                assert_false(resumes(&b, of)); /* it has no keys */
                side_take_keys(&b, &first);
                assert_true(resumes(&a, of));
                assert_true(resumes(&b, of));
                side_take_keys(&b, &second); /* the old one is still taken, and renewed */
                assert_true(resumes(&b, of));
                side_take_keys(&b, &third);
                assert_false(resumes(&b, of));
                side_free(&a);
                side_free(&b);
        }
}

/* Without keys there are no tickets, rather than some that nobody can take. */
static void no_keys_no_tickets(void **state) {
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct pair p = pair_new(&s, (struct client_of){ .version = version });

                assert_true(pair_shake(&p));
                assert_false(SSL_SESSION_has_ticket(pair_session(&p)));
                pair_to_client(&p, "answer", 6);
                pair_free(&p);
        }
        side_free(&s);
}

/* A ticket of an open site must not let anybody into one that asks for a certificate. */
static void tickets_are_of_one_site(void **state) {
        struct made m = make((struct made_of){ .kind = "EC", .names = "DNS:*.org" });
        struct tls_certificate c = as_certificate(&m);
        char *open_names[] = { "open.org", NULL }, *closed_names[] = { "closed.org", NULL };
        struct tls_site sites[] = {
                { .certificates = &c, .certificate_count = 1, .names = open_names },
                { .certificates = &c,
                  .certificate_count = 1,
                  .names = closed_names,
                  .client_certificate = TLS_CLIENT_OPTIONAL,
                  .client_ca = text_of(authority.chain_pem) },
        };
        struct tls_ticket_keys keys = ticket_keys(10, 1);
        struct side s = side_new(&(struct tls_settings){ .sites = sites, .site_count = 2 });

        side_take_keys(&s, &keys);
        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct client_of of = { .version = version, .name = "open.org" };

                of.session = session_at(&s, of);
                assert_true(resumes(&s, of));
                of.name = "closed.org";
                assert_false(resumes(&s, of));
                of.session = NULL;
                of.certificate = &client;
                of.session = session_at(&s, of);
                of.certificate = NULL; /* the ticket vouches for it */
                assert_true(resumes(&s, of));
                of.name = "open.org";
                assert_false(resumes(&s, of));
        }
        side_free(&s);
}

/* Whom a site trusts may change with a reload; tickets of those it trusted before end there. */
static void tickets_end_with_the_authority(void **state) {
        struct tls_ticket_keys keys = ticket_keys(10, 1);
        struct client_of of = { .certificate = &client, .name = "example.org" };
        struct side s = side_with_clients("example.org", TLS_CLIENT_REQUIRED);
        struct pair p;

        side_take_keys(&s, &keys);
        of.session = session_at(&s, of);
        p = pair_new(&s, of);
        assert_true(pair_shake(&p));
        assert_true(p.stream->resumed);
        assert_true(p.stream->client_subject.size > 0);
        pair_free(&p);
        side_free(&s);

        struct made kept = authority;
        authority = stranger;
        s = side_with_clients("example.org", TLS_CLIENT_REQUIRED);
        authority = kept;
        side_take_keys(&s, &keys);
        p = pair_new(&s, of);
        assert_false(pair_shake(&p));
        pair_free(&p);
        side_free(&s);
}

/* ---- stapling ---- */

static struct text make_response(const struct made *subject, const struct made *issuer,
                                 long until_sec) {
        OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
        OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), subject->certificate, issuer->certificate);
        ASN1_TIME *from = X509_gmtime_adj(NULL, -7200), *until = X509_gmtime_adj(NULL, until_sec);
        OCSP_RESPONSE *response;
        unsigned char *der = NULL;
        struct text t;
        int n;

        OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, until);
        OCSP_basic_sign(basic, issuer->certificate, issuer->key, EVP_sha256(), NULL, 0);
        response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
        n = i2d_OCSP_RESPONSE(response, &der);
        assert_true(n > 0);
        t = (struct text){ keep(der, (size_t)n), (size_t)n };
        OPENSSL_free(der);
        OCSP_RESPONSE_free(response);
        OCSP_BASICRESP_free(basic);
        OCSP_CERTID_free(id);
        ASN1_TIME_free(from);
        ASN1_TIME_free(until);
        return t;
}

/* What is stapled is what was given, while it is valid and only if it is this certificate's. */
static void responses_are_stapled(void **state) {
        struct made m =
                make((struct made_of){ .kind = "EC", .names = "DNS:a", .issuer = &authority });
        struct made other = make((struct made_of){ .kind = "EC", .issuer = &authority });
        const struct {
                struct text response;
                const char *warning;
        } all[] = {
                { make_response(&m, &authority, 3600), NULL },
                { make_response(&m, &authority, -3600), "has expired" },
                { make_response(&other, &authority, 3600), "another certificate" },
                { TEXT("garbage"), "is none, in DER" },
                { TEXT("\x30\x03\x0a\x01\x03"), "its server failed" },
                { TEXT(""), NULL },
        };
        struct tls_certificate c = as_certificate(&m);
        struct tls_site site = { .certificates = &c, .certificate_count = 1 };
        struct tls_settings settings = {
                .sites = &site, .site_count = 1, .fallback = &site, .min_protocol = TLS_1_2
        };

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct buffer faults = {};
                struct side s = {};

                c.ocsp = all[i].response;
                assert_int_equal(tls->worker_new(&s.worker), 0);
                assert_int_equal(tls->server_new(s.worker, &settings, &faults, &s.server), 0);
                buffer_append(&faults, "", 1);
                assert_int_equal(faults.used > 1, all[i].warning != NULL);
                if (all[i].warning)
                        assert_non_null(strstr(faults.data, all[i].warning));
                for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                        struct pair p = pair_new(
                                &s, (struct client_of){ .version = version, .wants_staple = true });
                        const char *got;
                        long n;

                        assert_true(pair_shake(&p));
                        n = SSL_get_tlsext_status_ocsp_resp(p.client, &got);
                        assert_int_equal(n, i ? -1 : (long)all[i].response.size);
                        if (i == 0)
                                assert_memory_equal(got, all[i].response.data, (size_t)n);
                        pair_free(&p);
                }
                buffer_finish(&faults);
                side_free(&s);
        }
}

/* ---- hostile beginnings ---- */

/* Somebody who types http:// where https:// is meant is told so by the server. */
static void plain_http_is_seen(void **state) {
        static const struct {
                struct text sent;
                bool is_http;
        } all[] = {
                { TEXT("GET / HTTP/1.1\r\n"), true },
                { TEXT("PROPFIND /"), true },
                { TEXT("PRI * HTTP/2.0\r\n"), true },
                { TEXT("\x80\x2e\1\0\2"), false },
                { TEXT("\0"), false },
                { TEXT("\r\n"), false },
        };
        struct side s = side_simple();

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct pair p = pair_new(&s, (struct client_of){});

                assert_int_equal(pair_feed(&p, all[i].sent.data, all[i].sent.size), -EPROTO);
                assert_int_equal(p.stream->plain_http, all[i].is_http);
                assert_false(p.stream->has_output);
                pair_free(&p);
        }
        side_free(&s);
}

/* What does not become a client hello costs no more than a bounded number of bytes. */
static void hellos_without_end_are_refused(void **state) {
        static char flood[600000];
        struct side s = side_simple();
        struct pair p;

        /* handshake records of one byte each, of a message of 16 MiB */
        for (size_t i = 0; i + 6 <= sizeof(flood); i += 6)
                memcpy(flood + i, i == 0 ? "\x16\3\1\0\1\1" : "\x16\3\1\0\1\xff", 6);
        p = pair_new(&s, (struct client_of){});
        p.piece_bytes = 6000;
        assert_int_equal(pair_feed(&p, flood, sizeof(flood)), -EPROTO);
        pair_free(&p);
        /* records without content */
        for (size_t i = 0; i + 5 <= sizeof(flood); i += 5)
                memcpy(flood + i, "\x16\3\1\0\0", 5);
        p = pair_new(&s, (struct client_of){});
        p.piece_bytes = 5000;
        assert_int_equal(pair_feed(&p, flood, sizeof(flood)), -EPROTO);
        pair_free(&p);
        side_free(&s);
}

/* Below the version that is asked for, nothing is spoken; nor without an AEAD. */
static void old_versions_and_ciphers_are_refused(void **state) {
        struct made m = make((struct made_of){ .kind = "RSA", .names = "DNS:a" });
        struct tls_certificate c = as_certificate(&m);
        struct tls_site site = { .certificates = &c, .certificate_count = 1 };
        struct tls_settings settings = { .sites = &site, .site_count = 1, .fallback = &site };
        struct side s = side_new(&settings);
        static const char *const ciphers[] = {
                "AES128-GCM-SHA256",
                "ECDHE-RSA-AES128-SHA",
                "DHE-RSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES256-CCM:ECDHE-RSA-AES128-SHA256",
        };

        for (size_t i = 0; i < ELEMENTS(ciphers); i++) {
                const char *cipher = ciphers[i];
                struct client_of of = { .version = TLS_1_2 };
                struct pair p = pair_new(&s, of);

                if (SSL_set_cipher_list(p.client, cipher) == 1) {
                        assert_false(pair_shake(&p));
                        assert_int_equal(p.alert, SSL_AD_HANDSHAKE_FAILURE);
                }
                pair_free(&p);
        }
        side_free(&s);
        settings.min_protocol = TLS_1_3;
        s = side_new(&settings);
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_2 });
        assert_false(pair_shake(&p));
        assert_int_equal(p.alert, SSL_AD_PROTOCOL_VERSION);
        assert_true(strlen(tls->why(p.stream)) > 0);
        pair_free(&p);
        side_free(&s);
}

/* A key share that is not ours makes a second hello; its name counts once. */
static void a_second_hello(void **state) {
        struct side s = side_simple();
        struct pair p =
                pair_new(&s, (struct client_of){ .name = "example.org", .groups = "P-521:P-384" });

        assert_true(pair_shake(&p));
        pair_to_server(&p, "hello", 5);
        pair_to_client(&p, "there", 5);
        pair_free(&p);
        side_free(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_name_chooses_the_site),
                cmocka_unit_test(kinds_of_keys_stand_side_by_side),
                cmocka_unit_test(the_certificate_that_names_the_host),
                cmocka_unit_test(protocols_are_agreed_on),
                cmocka_unit_test(clients_show_certificates),
                cmocka_unit_test(subjects_are_whole_or_refused),
                cmocka_unit_test(tickets_go_with_their_keys),
                cmocka_unit_test(no_keys_no_tickets),
                cmocka_unit_test(tickets_are_of_one_site),
                cmocka_unit_test(tickets_end_with_the_authority),
                cmocka_unit_test(responses_are_stapled),
                cmocka_unit_test(plain_http_is_seen),
                cmocka_unit_test(hellos_without_end_are_refused),
                cmocka_unit_test(old_versions_and_ciphers_are_refused),
                cmocka_unit_test(a_second_hello),
        };

        return cmocka_run_group_tests(tests, make_clients, finish);
}
