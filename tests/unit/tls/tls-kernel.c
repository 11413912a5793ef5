/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <linux/tls.h>

/* What net/tls makes of a direction that was handed to it, by linux/tls.h's words. */
struct kernel {
        unsigned version;
        const EVP_CIPHER *cipher;
        unsigned char key[32], nonce[12], sequence[8];
        bool explicit;
};

static void take_aes(struct kernel *k, const void *salt, const void *iv, const void *sequence) {
        memcpy(k->nonce, salt, 4);
        memcpy(k->nonce + 4, iv, 8);
        memcpy(k->sequence, sequence, 8);
        k->explicit = k->version == TLS_1_2;
}

static struct kernel kernel_of(struct pair *p) {
        union {
                unsigned char bytes[TLS_KERNEL_KEYS_BYTES_MAX];
                struct tls_crypto_info info;
                struct tls12_crypto_info_aes_gcm_128 aes_128;
                struct tls12_crypto_info_aes_gcm_256 aes_256;
                struct tls12_crypto_info_chacha20_poly1305 chacha20;
        } u;
        ssize_t n = tls->kernel_keys(p->stream, u.bytes);
        struct kernel k = { .version = u.info.version };

        switch (u.info.cipher_type) {
        case TLS_CIPHER_AES_GCM_128:
                assert_int_equal(n, sizeof(u.aes_128));
                k.cipher = EVP_aes_128_gcm();
                memcpy(k.key, u.aes_128.key, 16);
                take_aes(&k, u.aes_128.salt, u.aes_128.iv, u.aes_128.rec_seq);
                break;
        case TLS_CIPHER_AES_GCM_256:
                assert_int_equal(n, sizeof(u.aes_256));
                k.cipher = EVP_aes_256_gcm();
                memcpy(k.key, u.aes_256.key, 32);
                take_aes(&k, u.aes_256.salt, u.aes_256.iv, u.aes_256.rec_seq);
                break;
        default:
                assert_int_equal(u.info.cipher_type, TLS_CIPHER_CHACHA20_POLY1305);
                assert_int_equal(n, sizeof(u.chacha20));
                k.cipher = EVP_chacha20_poly1305();
                memcpy(k.key, u.chacha20.key, 32);
                memcpy(k.nonce, u.chacha20.iv, 12);
                memcpy(k.sequence, u.chacha20.rec_seq, 8);
        }
        tls->kernel_writes(p->stream);
        return k;
}

static void count_up(unsigned char number[static 8]) {
        for (int i = 8; i-- && !++number[i];)
                ;
}

static void kernel_send(struct kernel *k, struct pair *p, unsigned char type, const void *data,
                        size_t size) {
        unsigned char record[400], extra[13], nonce[12], *body = record + 5 + 8 * k->explicit;
        bool is_1_3 = k->version == TLS_1_3;
        size_t bytes = 8 * k->explicit + size + is_1_3 + 16;
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        int n;

        record[0] = is_1_3 ? SSL3_RT_APPLICATION_DATA : type;
        memcpy(record + 1, "\3\3\0", 3);
        record[4] = (unsigned char)bytes;
        assert_true(bytes < 256);
        memcpy(nonce, k->nonce, 12);
        if (k->explicit)
                memcpy(record + 5, nonce + 4, 8);
        else
                for (int i = 0; i < 8; i++)
                        nonce[4 + i] ^= k->sequence[i];
        memcpy(extra, k->sequence, 8);
        memcpy(extra + 8, record, 5);
        extra[12] = (unsigned char)size;
        EVP_EncryptInit_ex(c, k->cipher, NULL, k->key, nonce);
        EVP_EncryptUpdate(c, NULL, &n, is_1_3 ? record : extra, is_1_3 ? 5 : 13);
        EVP_EncryptUpdate(c, body, &n, data, (int)size);
        if (is_1_3)
                EVP_EncryptUpdate(c, body + size, &n, &type, 1);
        EVP_EncryptFinal_ex(c, body, &n);
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, body + size + is_1_3);
        EVP_CIPHER_CTX_free(c);
        BIO_write(p->to_client, record, (int)(5 + bytes));
        count_up(k->sequence);
        if (k->explicit)
                count_up(k->nonce + 4);
}

/* What the stream has to say itself, by way of the kernel. */
static void kernel_send_output(struct kernel *k, struct pair *p) {
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];

        assert_true(p->stream->has_output);
        assert_int_equal(tls->output(p->stream, parts), 1);
        kernel_send(k, p, p->stream->output_type, parts[0].iov_base, parts[0].iov_len);
        tls->sent(p->stream);
        assert_false(p->stream->has_output);
}

static int finish(void **state) {
        fixture_finish();
        return 0;
}

/* One bit that is not where the kernel looks for it, and no client understands a word. */
static void the_kernel_goes_on(void **state) {
        static const struct client_of all[] = {
                { .version = TLS_1_3, .suites = "TLS_AES_128_GCM_SHA256" },
                { .version = TLS_1_3, .suites = "TLS_AES_256_GCM_SHA384" },
                { .version = TLS_1_3, .suites = "TLS_CHACHA20_POLY1305_SHA256" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305" },
        };
        struct side s = side_simple();

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                /* as many records of ours before as make the count two bytes long, or none */
                for (int before = 0; before <= 300; before += 300) {
                        struct pair p = pair_new(&s, all[i]);
                        struct kernel k;
                        char got[64];

                        assert_true(pair_shake(&p));
                        for (int n = 0; n < before; n++)
                                pair_to_client(&p, "ours", 4);
                        k = kernel_of(&p);
                        assert_int_equal(k.version, all[i].version);
                        for (int n = 0; n < 3; n++) {
                                kernel_send(&k, &p, SSL3_RT_APPLICATION_DATA, "kernel's", 8);
                                assert_int_equal(SSL_read(p.client, got, sizeof(got)), 8);
                                assert_memory_equal(got, "kernel's", 8);
                                pair_to_server(&p, "next", 4);
                        }
                        tls->end(p.stream);
                        kernel_send_output(&k, &p);
                        assert_int_equal(SSL_read(p.client, got, sizeof(got)), 0);
                        assert_int_equal(SSL_get_shutdown(p.client), SSL_RECEIVED_SHUTDOWN);
                        tls->end(p.stream);
                        assert_false(p.stream->has_output);
                        pair_free(&p);
                }
        }
        side_free(&s);
}

/* New keys of ours that came before are those that the kernel must get. */
static void keys_that_were_updated(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        struct kernel k;
        char got[64];

        assert_true(pair_shake(&p));
        SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
        pair_to_server(&p, "hello", 5);
        pair_to_client(&p, "there", 5);
        k = kernel_of(&p);
        kernel_send(&k, &p, SSL3_RT_APPLICATION_DATA, "kernel's", 8);
        assert_int_equal(SSL_read(p.client, got, sizeof(got)), 8);
        pair_free(&p);
        side_free(&s);
}

/*
 * The peer may change its own keys. But no data may follow under a key that it wants to be
 * replaced, which the kernel cannot do (RFC 8446, 4.6.3).
 */
static void who_asks_for_new_keys_is_refused(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        struct kernel k;
        struct text t;
        char got[64];

        assert_true(pair_shake(&p));
        k = kernel_of(&p);
        SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED);
        pair_to_server(&p, "hello", 5);
        SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
        assert_int_equal(SSL_write(p.client, "there", 5), 5);
        t = pair_take(&p);
        assert_int_equal(pair_feed(&p, t.data, t.size), -EPROTO);
        assert_int_equal(p.got.used, 5);
        assert_string_equal(tls->why(p.stream), "the kernel has keys that cannot be updated");
        kernel_send_output(&k, &p);
        (void)!SSL_read(p.client, got, 1);
        assert_int_equal(p.alert, SSL_AD_INTERNAL_ERROR);
        pair_free(&p);
        side_free(&s);
}

/* When we have ended, nothing will follow under any key. */
static void who_asks_for_new_keys_at_the_end(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        struct kernel k;
        struct text t;

        assert_true(pair_shake(&p));
        k = kernel_of(&p);
        tls->end(p.stream);
        kernel_send_output(&k, &p);
        SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
        assert_int_equal(SSL_write(p.client, "there", 5), 5);
        t = pair_take(&p);
        assert_int_equal(pair_feed(&p, t.data, t.size), 0);
        assert_int_equal(p.got.used, 5);
        assert_false(p.stream->has_output);
        pair_free(&p);
        side_free(&s);
}

/* A forgery must be answered as ever, also when the keys of alerts are the kernel's. */
static void alerts_of_the_kernel(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){});
        struct kernel k;
        char got[64];

        assert_true(pair_shake(&p));
        k = kernel_of(&p);
        assert_int_equal(pair_feed(&p, "\27\3\3\0\30 this was never enciphered", 29), -EPROTO);
        kernel_send_output(&k, &p);
        (void)!SSL_read(p.client, got, 1);
        assert_int_equal(p.alert, SSL_AD_BAD_RECORD_MAC);
        pair_free(&p);
        side_free(&s);
}

/* The kernel makes records of 16 KiB, which a client with little memory has ruled out. */
static void short_records_are_not_for_the_kernel(void **state) {
        unsigned char keys[TLS_KERNEL_KEYS_BYTES_MAX];
        struct side s = side_simple();
        struct pair p =
                pair_new(&s, (struct client_of){ .fragment = TLSEXT_max_fragment_length_1024 });

        assert_true(pair_shake(&p));
        assert_int_equal(tls->kernel_keys(p.stream, keys), -EOPNOTSUPP);
        pair_to_client(&p, "ours", 4);
        pair_free(&p);
        side_free(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_kernel_goes_on),
                cmocka_unit_test(keys_that_were_updated),
                cmocka_unit_test(who_asks_for_new_keys_is_refused),
                cmocka_unit_test(who_asks_for_new_keys_at_the_end),
                cmocka_unit_test(alerts_of_the_kernel),
                cmocka_unit_test(short_records_are_not_for_the_kernel),
        };

        return cmocka_run_group_tests(tests, NULL, finish);
}
