/* SPDX-License-Identifier: MIT */
/*
 * OCSP stapling (RFC 6066, 8): a response that somebody else has fetched is given to clients that
 * ask for it, for as long as it says. One that cannot be used is left out: a client then does
 * without, or asks itself.
 */
#include "tls/tls-internal.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <time.h>

static int64_t generalized_sec(const ASN1_GENERALIZEDTIME *t) {
        struct tm tm;

        return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

/* Why it cannot be used; NULL: it can, until `*ret_until_sec`. */
static const char *check_basic(OCSP_BASICRESP *basic, X509 *leaf, int64_t *ret_until_sec) {
        for (int i = 0; i < OCSP_resp_count(basic); i++) {
                OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
                ASN1_GENERALIZEDTIME *this_update, *next_update;
                ASN1_INTEGER *serial;

                if (OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                                      (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single)) != 1 ||
                    ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
                        continue;
                if (OCSP_single_get0_status(single, NULL, NULL, &this_update, &next_update) < 0)
                        return "is broken";
                *ret_until_sec = generalized_sec(next_update);
                if (*ret_until_sec < (int64_t)(clock_real_usec() / USEC_PER_SEC))
                        return "has expired";
                return NULL;
        }
        return "is about another certificate";
}

static const char *check(const struct tls_certificate *c, X509 *leaf, int64_t *ret_until_sec) {
        const unsigned char *data = (const unsigned char *)c->ocsp.data;
        OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &data, (long)c->ocsp.size);
        OCSP_BASICRESP *basic = NULL;
        const char *why;

        if (!response)
                why = "is none, in DER";
        else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
                why = "says only that its server failed";
        else if (!(basic = OCSP_response_get1_basic(response)))
                why = "is of an unknown kind";
        else
                why = check_basic(basic, leaf, ret_until_sec);
        OCSP_BASICRESP_free(basic);
        OCSP_RESPONSE_free(response);
        ERR_clear_error();
        return why;
}

int staple_load(const struct tls_certificate *c, X509 *leaf, struct buffer *faults,
                struct tls_staple *ret) {
        struct tls_staple s = { .size = c->ocsp.size };
        const char *why;

        *ret = (struct tls_staple){};
        if (!c->ocsp.size)
                return 0;
        why = check(c, leaf, &s.until_sec);
        if (why)
                return buffer_printf(faults,
                                     "%s: warning: the OCSP response for %s %s; it is not sent\n",
                                     c->place, c->path, why);
        s.data = malloc(s.size);
        if (!s.data)
                return -ENOMEM;
        memcpy(s.data, c->ocsp.data, s.size);
        *ret = s;
        return 0;
}

/* OpenSSL's callback, when the certificate was chosen and the client has asked. */
int staple_answer(SSL *ssl, void *unused) {
        const struct tls_stream_full *s = SSL_get_app_data(ssl);
        const struct tls_server_site *site = s->handshake->site;
        X509 *chosen = SSL_get_certificate(ssl);

        for (size_t i = 0; site && i < site->certificate_count; i++) {
                const struct tls_server_certificate *c = &site->certificates[i];
                unsigned char *copy;

                if (c->loaded.leaf != chosen || !c->staple.data)
                        continue;
                if (c->staple.until_sec < (int64_t)(clock_real_usec() / USEC_PER_SEC))
                        break;
                copy = OPENSSL_memdup(c->staple.data, c->staple.size);
                if (!copy)
                        break;
                SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->staple.size);
                return SSL_TLSEXT_ERR_OK;
        }
        return SSL_TLSEXT_ERR_NOACK;
}
