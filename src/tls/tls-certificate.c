/* SPDX-License-Identifier: MIT */
/*
 * Certificates and keys from their text. What is wrong is said so that an administrator can mend
 * it; what a browser can live with is a warning.
 */
#include "tls/tls-internal.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

enum { CHAIN_MAX = 10, SUBJECT_BYTES = 128 };

DEFINE_FREEP(BIO, BIO)
DEFINE_FREEP(X509, X509)

static void stack_freep(STACK_OF(X509) * *s) {
        sk_X509_pop_free(*s, X509_free);
}

void loaded_finish(struct tls_loaded *l) {
        X509_free(l->leaf);
        sk_X509_pop_free(l->rest, X509_free);
        EVP_PKEY_free(l->key);
        *l = (struct tls_loaded){};
}

static int fault(struct buffer *faults, const char *place, const char *path, const char *format,
                 ...) _printf_(4, 5);
static int fault(struct buffer *faults, const char *place, const char *path, const char *format,
                 ...) {
        va_list args;

        ERR_clear_error();
        (void)buffer_printf(faults, "%s: %s: ", place, path);
        va_start(args, format);
        (void)buffer_vprintf(faults, format, args);
        va_end(args);
        (void)buffer_append(faults, "\n", 1);
        return faults->failed ? -ENOMEM : -EBADMSG;
}

static const char *last_reason(void) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        return reason ? reason : "not what it should be";
}

/* For a line of text: what could break it is left out. */
static const char *subject_of(X509_NAME *name, char text[static SUBJECT_BYTES]) {
        BIO *bio = BIO_new(BIO_s_mem());
        int n = 0;

        if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
                n = BIO_read(bio, text, SUBJECT_BYTES - 1);
        BIO_free(bio);
        text[n > 0 ? n : 0] = '\0';
        return text;
}

int certificates_read(OSSL_LIB_CTX *library, struct text pem, const char *place, const char *path,
                      struct buffer *faults, STACK_OF(X509) * *ret) {
        _cleanup_(BIO_freep)
        BIO *bio = BIO_new_mem_buf(pem.data ? pem.data : "", (int)MIN(pem.size, (size_t)INT_MAX));
        _cleanup_(stack_freep)
        STACK_OF(X509) *all = sk_X509_new_null();

        if (!bio || !all)
                return -ENOMEM;
        ERR_clear_error();
        for (;;) {
                _cleanup_(X509_freep)
                X509 *c = X509_new_ex(library, NULL);

                if (!c)
                        return -ENOMEM;
                if (!PEM_read_bio_X509(bio, &c, NULL, NULL))
                        break;
                if (!sk_X509_push(all, c))
                        return -ENOMEM;
                c = NULL;
        }
        /* where it fails, PEM_read_bio_X509() has freed what it was given, and left NULL */
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                return fault(faults, place, path, "certificate %d in it is broken: %s",
                             sk_X509_num(all) + 1, last_reason());
        ERR_clear_error();
        if (!sk_X509_num(all))
                return fault(faults, place, path,
                             "there is no certificate in it; it should have one in PEM, which "
                             "begins with -----BEGIN CERTIFICATE-----");
        *ret = take_ptr(all);
        return 0;
}

/* Asked for where a key is encrypted: there is nobody to give the passphrase. */
static int no_passphrase(char *to, int size, int writes, void *was_asked) {
        *(bool *)was_asked = true;
        return -1;
}

static int key_read(OSSL_LIB_CTX *library, const struct tls_certificate *c, struct buffer *faults,
                    EVP_PKEY **ret) {
        _cleanup_(BIO_freep)
        BIO *bio = BIO_new_mem_buf(c->key.data ? c->key.data : "",
                                   (int)MIN(c->key.size, (size_t)INT_MAX));
        const char *place = c->key_path ? c->key_place : c->place;
        const char *path = c->key_path ? c->key_path : c->path;
        bool was_asked = false;

        if (!bio)
                return -ENOMEM;
        *ret = PEM_read_bio_PrivateKey_ex(bio, NULL, no_passphrase, &was_asked, library, NULL);
        if (*ret)
                return 0;
        if (was_asked)
                return fault(faults, place, path,
                             "the key is encrypted; emberd has nobody to ask for the passphrase. "
                             "Remove it: openssl pkey -in KEY -out NEW-KEY");
        return fault(faults, place, path,
                     "there is no private key in it; it should be in PEM, which begins with "
                     "-----BEGIN PRIVATE KEY----- or the like%s",
                     c->key_path ? "" : ", or in a file of its own, named by Key=");
}

/* The key belongs to the first; if to another, the file has them in the wrong order. */
static int check_key(const struct tls_certificate *c, const struct tls_loaded *l,
                     struct buffer *faults) {
        char text[SUBJECT_BYTES];

        if (X509_check_private_key(l->leaf, l->key) == 1)
                return 0;
        for (int i = 0; i < sk_X509_num(l->rest); i++)
                if (X509_check_private_key(sk_X509_value(l->rest, i), l->key) == 1)
                        return fault(faults, c->place, c->path,
                                     "the key belongs to certificate %d in it; that one must "
                                     "stand first, then the one that signed it, and so on",
                                     i + 2);
        subject_of(X509_get_subject_name(l->leaf), text);
        if (c->key_path)
                return fault(faults, c->key_place, c->key_path,
                             "the key does not belong to the certificate in %s (%s)", c->path,
                             text);
        return fault(faults, c->place, c->path, "the key does not belong to this certificate (%s)",
                     text);
}

static int check_chain(const struct tls_certificate *c, const struct tls_loaded *l,
                       struct buffer *faults) {
        X509 *signed_one = l->leaf;
        char issuer[SUBJECT_BYTES], subject[SUBJECT_BYTES];

        for (int i = 0; i < sk_X509_num(l->rest); i++) {
                X509 *signer = sk_X509_value(l->rest, i);

                if (X509_check_issued(signer, signed_one) != X509_V_OK) {
                        int r = fault(faults, c->place, "warning",
                                      "%s: certificate %d (%s) did "
                                      "not sign certificate %d before it, which names %s; some "
                                      "clients will not find their way through",
                                      c->path, i + 2,
                                      subject_of(X509_get_subject_name(signer), subject), i + 1,
                                      subject_of(X509_get_issuer_name(signed_one), issuer));

                        return r == -ENOMEM ? r : 0;
                }
                signed_one = signer;
        }
        ERR_clear_error();
        return 0;
}

static int64_t seconds_of(const ASN1_TIME *t) {
        struct tm tm;

        return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void say_date(int64_t sec, char text[static 32]) {
        time_t t = (time_t)sec;
        struct tm tm;

        if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%d %H:%M UTC", &tm))
                snprintf(text, 32, "a time unknown");
}

static int check_times(const struct tls_certificate *c, const struct tls_loaded *l,
                       struct buffer *faults) {
        int64_t now = (int64_t)(clock_real_usec() / USEC_PER_SEC);
        char date[32];
        int r = 0;

        for (int i = -1; i < sk_X509_num(l->rest) && r != -ENOMEM; i++) {
                X509 *x = i < 0 ? l->leaf : sk_X509_value(l->rest, i);
                int64_t begin = seconds_of(X509_get0_notBefore(x));
                int64_t end = seconds_of(X509_get0_notAfter(x));

                if (end >= now && begin <= now)
                        continue;
                say_date(end < now ? end : begin, date);
                r = fault(faults, c->place, "warning", "%s: certificate %d in it %s %s", c->path,
                          i + 2, end < now ? "has expired:" : "is not valid before", date);
        }
        return r == -ENOMEM ? r : 0;
}

static int load(OSSL_LIB_CTX *library, const struct tls_certificate *c, struct buffer *faults,
                struct tls_loaded *l) {
        int r = certificates_read(library, c->chain, c->place, c->path, faults, &l->rest);

        if (r < 0)
                return r;
        l->leaf = sk_X509_shift(l->rest);
        if (sk_X509_num(l->rest) >= CHAIN_MAX)
                return fault(faults, c->place, c->path,
                             "%d certificates stand in it; the first and those that signed it are "
                             "wanted, %d at most",
                             sk_X509_num(l->rest) + 1, CHAIN_MAX);
        r = key_read(library, c, faults, &l->key);
        if (r == 0)
                r = check_key(c, l, faults);
        if (r == 0)
                r = check_chain(c, l, faults);
        return r < 0 ? r : check_times(c, l, faults);
}

int certificate_load(OSSL_LIB_CTX *library, const struct tls_certificate *c, struct buffer *faults,
                     struct tls_loaded *ret) {
        struct tls_loaded l = {};
        int r = load(library, c, faults, &l);

        if (r < 0)
                loaded_finish(&l);
        else
                *ret = l;
        ERR_clear_error();
        return r;
}

/* ---- for people ---- */

static void add_name(char *names, const char *data, size_t size) {
        size_t used = strlen(names);

        if (used && used + 2 < TLS_NAMES_BYTES)
                used = (size_t)(stpcpy(names + used, ", ") - names);
        for (size_t i = 0; i < size && used < TLS_NAMES_BYTES - 1; i++)
                names[used++] = data[i] > 0x20 && data[i] < 0x7f ? data[i] : '?';
        names[used] = '\0';
}

static void list_names(X509 *leaf, char names[static TLS_NAMES_BYTES]) {
        GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
        char common[TLS_NAMES_BYTES];
        int n;

        names[0] = '\0';
        for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

                if (g->type == GEN_DNS)
                        add_name(names, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
                                 (size_t)ASN1_STRING_length(g->d.dNSName));
        }
        GENERAL_NAMES_free(all);
        n = X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, common,
                                      sizeof(common));
        if (!names[0] && n > 0)
                add_name(names, common, (size_t)n);
}

static void say_key_type(EVP_PKEY *key, char text[static 32]) {
        static const char *const curves[][2] = {
                { "prime256v1", "P-256" },
                { "secp384r1", "P-384" },
                { "secp521r1", "P-521" },
        };
        char group[32] = "";

        if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 || !group[0]) {
                const char *type = EVP_PKEY_get0_type_name(key);

                if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
                        snprintf(text, 32, "RSA %d", EVP_PKEY_get_bits(key));
                else
                        snprintf(text, 32, "%s", type ? type : "unknown");
                return;
        }
        for (size_t i = 0; i < ELEMENTS(curves); i++)
                if (strcmp(group, curves[i][0]) == 0)
                        snprintf(group, sizeof(group), "%s", curves[i][1]);
        snprintf(text, 32, "EC %.28s", group);
}

int certificate_inspect(const struct tls_certificate *c, struct buffer *to,
                        struct tls_certificate_info *ret) {
        struct tls_loaded l;
        X509 *first_to_end;
        int r;

        tls_begin();
        r = certificate_load(NULL, c, to, &l);
        if (r < 0)
                return r;
        first_to_end = l.leaf;
        for (int i = 0; i < sk_X509_num(l.rest); i++) {
                X509 *x = sk_X509_value(l.rest, i);

                if (seconds_of(X509_get0_notAfter(x)) <
                    seconds_of(X509_get0_notAfter(first_to_end)))
                        first_to_end = x;
        }
        *ret = (struct tls_certificate_info){
                .not_before_sec = seconds_of(X509_get0_notBefore(first_to_end)),
                .not_after_sec = seconds_of(X509_get0_notAfter(first_to_end)),
        };
        list_names(l.leaf, ret->names);
        say_key_type(l.key, ret->key_type);
        loaded_finish(&l);
        ERR_clear_error();
        return 0;
}
