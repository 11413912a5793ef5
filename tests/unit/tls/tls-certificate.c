/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <openssl/pem.h>
#include <time.h>

static struct made ec, rsa, root, middle, leaf;

static int begin(void **state) {
        ec = make((struct made_of){ .kind = "EC", .names = "DNS:example.org,DNS:*.example.org" });
        rsa = make((struct made_of){ .kind = "RSA", .subject = "old.example.org" });
        root = make((struct made_of){ .kind = "EC", .subject = "Root", .is_authority = true });
        middle = make((struct made_of){
                .kind = "EC", .subject = "Middle", .issuer = &root, .is_authority = true });
        leaf = make((struct made_of){ .kind = "EC", .subject = "Leaf", .issuer = &middle });
        return 0;
}

static int finish(void **state) {
        fixture_finish();
        return 0;
}

static const char *together(const char *a, const char *b, const char *c) {
        struct buffer all = {};
        const char *kept;

        assert_int_equal(buffer_printf(&all, "%s%s%s", a, b, c), 0);
        kept = keep(all.data, all.used);
        buffer_finish(&all);
        return kept;
}

static const char *encrypted(const struct made *m, bool traditional) {
        BIO *bio = BIO_new(BIO_s_mem());
        const char *kept;
        char *data;
        long n;

        if (traditional)
                PEM_write_bio_PrivateKey_traditional(bio, m->key, EVP_aes_128_cbc(),
                                                     (unsigned char *)"secret", 6, NULL, NULL);
        else
                PEM_write_bio_PKCS8PrivateKey(bio, m->key, EVP_aes_128_cbc(), "secret", 6, NULL,
                                              NULL);
        n = BIO_get_mem_data(bio, &data);
        kept = keep(data, (size_t)n);
        BIO_free(bio);
        return kept;
}

/* What inspect() says of chain and key: its result, and the text in `to`. */
static int inspect(const char *chain, const char *key, struct buffer *to,
                   struct tls_certificate_info *info) {
        struct tls_certificate c = {
                .chain = text_of(chain),
                .key = text_of(key),
                .place = "emberd.conf:7",
                .path = "site.pem",
        };
        int r = tls->inspect(&c, to, info);

        assert_int_equal(buffer_append(to, "", 1), 0);
        return r;
}

/* An administrator must be able to mend what is wrong by what is said about it. */
static void faults_say_what_to_do(void **state) {
        const struct {
                const char *chain, *key, *said;
        } all[] = {
                { ec.chain_pem, rsa.key_pem, "the key does not belong to this certificate" },
                { ec.chain_pem, encrypted(&ec, false), "the key is encrypted" },
                { ec.chain_pem, encrypted(&ec, true), "the key is encrypted" },
                { ec.chain_pem, "", "there is no private key" },
                { ec.chain_pem, "garbage", "there is no private key" },
                { ec.chain_pem, ec.chain_pem, "there is no private key" },
                { ec.chain_pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                  "there is no private key" },
                { "", ec.key_pem, "there is no certificate in it" },
                { "garbage", ec.key_pem, "there is no certificate in it" },
                { ec.key_pem, ec.key_pem, "there is no certificate in it" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ec.key_pem,
                  "certificate 1 in it is broken" },
                { together(ec.chain_pem, "-----BEGIN CERTIFICATE-----\n", ""), ec.key_pem,
                  "certificate 2 in it is broken" },
                { together(middle.chain_pem, leaf.chain_pem, ""), leaf.key_pem,
                  "the key belongs to certificate 2 in it; that one must stand first" },
        };

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct tls_certificate_info info;
                struct buffer said = {};

                assert_int_equal(inspect(all[i].chain, all[i].key, &said, &info), -EBADMSG);
                assert_ptr_equal(strstr(said.data, "emberd.conf:7: site.pem: "), said.data);
                if (!strstr(said.data, all[i].said))
                        fail_msg("%s: not in: %s", all[i].said, said.data);
                assert_ptr_equal(strchr(said.data, '\n'), said.data + said.used - 2);
                buffer_finish(&said);
        }
}

/* A server that refuses to start since a certificate ran out would be worse than the warning. */
static void what_can_be_lived_with_is_a_warning(void **state) {
        struct made expired =
                make((struct made_of){ .kind = "EC", .from_sec = -7200, .until_sec = -3600 });
        struct made early = make((struct made_of){ .kind = "EC", .from_sec = 3600 });
        const struct {
                const char *chain, *key, *said;
        } all[] = {
                { expired.chain_pem, expired.key_pem, "certificate 1 in it has expired: 20" },
                { early.chain_pem, early.key_pem, "certificate 1 in it is not valid before 20" },
                { together(leaf.chain_pem, root.chain_pem, middle.chain_pem), leaf.key_pem,
                  "certificate 2 (CN=Root) did not sign certificate 1" },
                { together(leaf.chain_pem, middle.chain_pem, root.chain_pem), leaf.key_pem, "" },
                { together(leaf.key_pem, leaf.chain_pem, middle.chain_pem),
                  together(leaf.chain_pem, leaf.key_pem, ""), "" },
        };

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct tls_certificate_info info;
                struct buffer said = {};

                assert_int_equal(inspect(all[i].chain, all[i].key, &said, &info), 0);
                if (all[i].said[0])
                        assert_ptr_equal(strstr(said.data, "emberd.conf:7: warning: site.pem: "),
                                         said.data);
                else
                        assert_string_equal(said.data, "");
                assert_non_null(strstr(said.data, all[i].said));
                buffer_finish(&said);
        }
}

/* What status and --check show: names, kind of key, and by when something must be done. */
static void what_is_in_a_certificate(void **state) {
        struct made brief = make((struct made_of){ .kind = "EC",
                                                   .subject = "Brief",
                                                   .issuer = &root,
                                                   .is_authority = true,
                                                   .until_sec = 600 });
        struct made below =
                make((struct made_of){ .kind = "ED25519", .names = "DNS:a.org", .issuer = &brief });
        struct tls_certificate_info info;
        struct buffer said = {};

        assert_int_equal(inspect(ec.chain_pem, ec.key_pem, &said, &info), 0);
        assert_string_equal(info.names, "example.org, *.example.org");
        assert_string_equal(info.key_type, "EC P-256");
        assert_in_range(info.not_after_sec, time(NULL) + 86300, time(NULL) + 86400);
        assert_in_range(info.not_before_sec, time(NULL) - 3700, time(NULL) - 3600);
        assert_int_equal(inspect(rsa.chain_pem, rsa.key_pem, &said, &info), 0);
        assert_string_equal(info.names, "old.example.org");
        assert_string_equal(info.key_type, "RSA 2048");
        /* the one in the chain that ends first */
        assert_int_equal(inspect(together(below.chain_pem, brief.chain_pem, ""), below.key_pem,
                                 &said, &info),
                         0);
        assert_string_equal(info.key_type, "ED25519");
        assert_in_range(info.not_after_sec, time(NULL) + 500, time(NULL) + 600);
        buffer_finish(&said);
}

/* Names are printed, on a terminal, too: what could harm there is not. */
static void names_are_harmless_and_cut(void **state) {
        struct buffer names = {}, said = {};
        struct tls_certificate_info info;
        struct made m = make((struct made_of){ .kind = "EC", .subject = "a\x1b[2J\nb" });

        assert_int_equal(inspect(m.chain_pem, m.key_pem, &said, &info), 0);
        assert_string_equal(info.names, "a?[2J?b");
        for (int i = 0; i < 100; i++)
                buffer_printf(&names, "%sDNS:name%d.example.org", i ? "," : "", i);
        buffer_append(&names, "", 1);
        m = make((struct made_of){ .kind = "EC", .names = names.data });
        assert_int_equal(inspect(m.chain_pem, m.key_pem, &said, &info), 0);
        assert_int_equal(strlen(info.names), TLS_NAMES_BYTES - 1);
        buffer_finish(&names);
        buffer_finish(&said);
}

/* One look must show all that is wrong; and a faulty server must not be. */
static void all_faults_of_a_server_are_told(void **state) {
        struct tls_certificate bad[] = { as_certificate(&ec), as_certificate(&rsa) };
        struct tls_certificate good = as_certificate(&ec);
        struct tls_site sites[] = {
                { .certificates = bad, .certificate_count = 2 },
                { .certificates = &good,
                  .certificate_count = 1,
                  .client_certificate = TLS_CLIENT_REQUIRED,
                  .client_ca = TEXT("nonsense"),
                  .client_ca_place = "emberd.conf:9",
                  .client_ca_path = "ca.pem" },
        };
        struct tls_settings settings = {
                .sites = sites, .site_count = 2, .fallback = sites, .min_protocol = TLS_1_2
        };
        struct tls_server *server = NULL;
        struct tls_worker *w;
        struct buffer faults = {};
        int lines = 0;

        bad[0].key = text_of(rsa.key_pem);
        bad[1].chain = TEXT("nothing");
        assert_int_equal(tls->worker_new(&w), 0);
        assert_int_equal(tls->server_new(w, &settings, &faults, &server), -EBADMSG);
        assert_null(server);
        for (size_t i = 0; i < faults.used; i++)
                lines += faults.data[i] == '\n';
        assert_int_equal(lines, 3);
        buffer_finish(&faults);
        tls->worker_free(w);
}

/* A key that anybody can break by now is refused, with OpenSSL's word for it. */
static void weak_keys_are_refused(void **state) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
        X509 *x = X509_dup(rsa.certificate);
        struct tls_certificate c = as_certificate(&rsa);
        struct tls_site site = { .certificates = &c, .certificate_count = 1 };
        struct tls_settings settings = {
                .sites = &site, .site_count = 1, .fallback = &site, .min_protocol = TLS_1_2
        };
        BIO *bio = BIO_new(BIO_s_mem());
        struct tls_server *server = NULL;
        struct tls_worker *w;
        struct buffer faults = {};
        char *data;

        X509_set_pubkey(x, key);
        X509_sign(x, key, EVP_sha256());
        c.chain = text_of(pem_of(x));
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        c.key.size = (size_t)BIO_get_mem_data(bio, &data);
        c.key.data = data;
        assert_int_equal(tls->worker_new(&w), 0);
        assert_int_equal(tls->server_new(w, &settings, &faults, &server), -EBADMSG);
        buffer_append(&faults, "", 1);
        assert_non_null(strstr(faults.data, "ee key too small"));
        buffer_finish(&faults);
        tls->worker_free(w);
        BIO_free(bio);
        X509_free(x);
        EVP_PKEY_free(key);
}

/* A list of ciphers is a setting like others: what cannot work is said, what can is used. */
static void ciphers_are_checked(void **state) {
        static const struct {
                const char *ciphers;
                int outcome;
                const char *said;
        } all[] = {
                { "nonsense", -EBADMSG, "OpenSSL knows none of these" },
                { "", -EBADMSG, "OpenSSL knows none of these" },
                { "AES128-SHA:DHE-RSA-AES256-SHA", -EBADMSG, "none of these ciphers can be used" },
                { "HIGH:!aNULL", 0, NULL },
                { "ECDHE-ECDSA-AES256-GCM-SHA384", 0, NULL },
        };
        struct tls_certificate c = as_certificate(&ec);
        struct tls_site site = { .certificates = &c, .certificate_count = 1 };
        struct tls_worker *w;

        assert_int_equal(tls->worker_new(&w), 0);
        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct tls_settings settings = { .sites = &site,
                                                 .site_count = 1,
                                                 .fallback = &site,
                                                 .min_protocol = TLS_1_2,
                                                 .ciphers = all[i].ciphers,
                                                 .ciphers_place = "emberd.conf:3" };
                struct tls_server *server = NULL;
                struct buffer faults = {};

                assert_int_equal(tls->server_new(w, &settings, &faults, &server), all[i].outcome);
                buffer_append(&faults, "", 1);
                if (all[i].said) {
                        assert_ptr_equal(strstr(faults.data, "emberd.conf:3: "), faults.data);
                        assert_non_null(strstr(faults.data, all[i].said));
                        assert_ptr_equal(strchr(faults.data, '\n'), faults.data + faults.used - 2);
                }
                buffer_finish(&faults);
                tls->server_free(server);
        }
        tls->worker_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(faults_say_what_to_do),
                cmocka_unit_test(what_can_be_lived_with_is_a_warning),
                cmocka_unit_test(what_is_in_a_certificate),
                cmocka_unit_test(names_are_harmless_and_cut),
                cmocka_unit_test(all_faults_of_a_server_are_told),
                cmocka_unit_test(weak_keys_are_refused),
                cmocka_unit_test(ciphers_are_checked),
        };

        return cmocka_run_group_tests(tests, begin, finish);
}
