/* SPDX-License-Identifier: MIT */
#include "server/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

/* Which files are read for which Site, and what is said of those that cannot be. */

static char folder[] = "/tmp/emberd-certificates-XXXXXX";

/* ---- memory that runs out ---- */

static long allocations_left = -1; /* -1: without end */

static bool may_allocate(void) {
        return allocations_left < 0 || allocations_left-- > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_malloc(size_t size) {
        return may_allocate() ? __real_malloc(size) : NULL;
}
void *__wrap_calloc(size_t count, size_t size) {
        return may_allocate() ? __real_calloc(count, size) : NULL;
}
void *__wrap_realloc(void *at, size_t size) {
        return may_allocate() ? __real_realloc(at, size) : NULL;
}

/* ---- what the tests are made of ---- */

static int enter_folder(void **state) {
        return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int leave_folder(void **state) {
        return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static void put(const char *name, const char *data, mode_t mode) {
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, strlen(data)), 0);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

/* "@" in it stands for the folder. */
static struct settings *settings_new(const char *text) {
        _cleanup_(buffer_finish)
        struct buffer faults = {}, file = {};
        struct settings_sources sources = { .file = "settings" };
        struct settings *s = NULL;

        for (; *text; text++)
                assert_int_equal(*text == '@' ? buffer_append(&file, folder, strlen(folder))
                                              : buffer_append(&file, text, 1),
                                 0);
        assert_int_equal(buffer_append(&file, "", 1), 0);
        put("settings", file.data, 0600);
        assert_int_equal(settings_load(&sources, &faults, &s), 0);
        return s;
}

static struct settings *kept; /* of the last, as long as its certificates */

/* Faults as one NUL-ended text. Gives what certificates_read() gave. */
static int read_them(const char *text, bool only_checked, struct buffer *faults,
                     struct certificates **ret) {
        int r;

        *ret = NULL;
        *faults = (struct buffer){};
        settings_unref(kept);
        kept = settings_new(text);
        r = certificates_read(kept, only_checked, faults, ret);
        assert_int_equal(buffer_append(faults, "", 1), 0);
        return r;
}

#define SITE(name, more) "[Site " name "]\nRoot=/\n" more

static void put_all(void) {
        put("a.pem", "chain a", 0644);
        put("a.key", "key a", 0600);
        put("b.pem", "chain and key b", 0640);
        put("a.ocsp", "response a", 0644);
        put("ca.pem", "authority", 0644);
        put("open.key", "-----BEGIN PRIVATE KEY-----", 0644);
        put("both.pem", "chain, -----BEGIN EC PRIVATE KEY-----", 0644);
        put("empty", "", 0600);
}

/* ---- reading ---- */

/* Chain, key and response of a certificate stand at the same place in their lists. */
static void files_are_of_their_certificate(void **state) {
        _cleanup_(buffer_finish)
        struct buffer faults;
        _cleanup_(certificates_freep)
        struct certificates *c;
        const struct tls_certificate *one;

        assert_int_equal(
                read_them("[Server]\nMinProtocol=TLSv1.3\nCiphers=HIGH\n" SITE(
                                  "a.org", "Aliases=*.a.org b.org\nCertificate=@/a.pem\n"
                                           "Key=@/a.key\nCertificate=@/b.pem\nKey=@/b.pem\n"
                                           "OCSPResponse=@/a.ocsp\nClientCA=@/ca.pem\n"
                                           "ClientCertificate=optional\n"),
                          false, &faults, &c),
                0);
        assert_string_equal(faults.data, "");
        assert_int_equal(c->settings.min_protocol, TLS_1_3);
        assert_string_equal(c->settings.ciphers, "HIGH");
        assert_non_null(strstr(c->settings.ciphers_place, "settings:3"));
        assert_int_equal(c->settings.site_count, 1);
        assert_ptr_equal(c->settings.fallback, &c->settings.sites[0]);
        assert_string_equal(c->sites[0].names[0], "a.org");
        assert_string_equal(c->sites[0].names[1], "*.a.org");
        assert_string_equal(c->sites[0].names[2], "b.org");
        assert_null(c->sites[0].names[3]);
        assert_int_equal(c->sites[0].certificate_count, 2);
        assert_int_equal(c->sites[0].client_certificate, TLS_CLIENT_OPTIONAL);
        assert_true(text_equal(c->sites[0].client_ca, TEXT("authority")));
        assert_non_null(strstr(c->sites[0].client_ca_place, "settings:12"));
        one = &c->sites[0].certificates[0];
        assert_true(text_equal(one->chain, TEXT("chain a")));
        assert_true(text_equal(one->key, TEXT("key a")));
        assert_true(text_equal(one->ocsp, TEXT("response a")));
        assert_non_null(strstr(one->place, "settings:7"));
        assert_non_null(strstr(one[1].place, "settings:9"));
        assert_true(text_equal(one[1].chain, TEXT("chain and key b")));
        assert_true(text_equal(one[1].key, one[1].chain));
        assert_int_equal(one[1].ocsp.size, 0);
}

/* Sites without a certificate are not there for TLS; one that is not the default is no fallback. */
static void sites_without_are_left_out(void **state) {
        _cleanup_(buffer_finish)
        struct buffer faults;
        _cleanup_(certificates_freep)
        struct certificates *c;

        assert_int_equal(read_them(SITE("a", "Default=yes\n") SITE("b", "Certificate=@/b.pem\n")
                                           SITE("c", ""),
                                   false, &faults, &c),
                         0);
        assert_int_equal(c->settings.site_count, 1);
        assert_string_equal(c->sites[0].names[0], "b");
        assert_null(c->settings.fallback);
        assert_true(text_equal(c->all[0].key, TEXT("chain and key b")));
}

static void assert_said(const char *settings, bool only_checked, int result, const char *said) {
        _cleanup_(buffer_finish)
        struct buffer faults;
        _cleanup_(certificates_freep)
        struct certificates *c;

        assert_int_equal(read_them(settings, only_checked, &faults, &c), result);
        if (!strstr(faults.data, said))
                fail_msg("'%s' is not in '%s'", said, faults.data);
        assert_int_equal(!c, result < 0);
}

/* Each is told with its line, all at once; a key that everybody reads is only warned about. */
static void what_cannot_be_read_is_told(void **state) {
        _cleanup_(buffer_finish)
        struct buffer faults;
        struct certificates *c;
        const char *both = SITE("a", "Certificate=@/none.pem\nKey=@/none.key\n");

        assert_said(both, false, -EBADMSG, "settings:3: Certificate=");
        assert_said(both, false, -EBADMSG, "settings:4: Key=");
        assert_said(both, false, -EBADMSG, "/none.key: No such file or directory; name a file");
        assert_said(SITE("a", "Certificate=@/\n"), false, -EBADMSG, "Is a directory");
        assert_said(SITE("a", "Certificate=@/a.pem\nKey=@/open.key\n"), false, 0,
                    "settings:4: warning: ");
        assert_said(SITE("a", "Certificate=@/both.pem\n"), false, 0,
                    "holds a private key and is readable by everybody");
        assert_said(SITE("a", "Certificate=@/b.pem\nOCSPResponse=@/empty\n"), false, 0,
                    "settings:4: warning: OCSPResponse=");
        assert_said(SITE("a", "Certificate=@/b.pem\nClientCA=@/none\nClientCertificate=required\n"),
                    false, -EBADMSG, "settings:4: ClientCA=");
        put("huge", "", 0600);
        assert_int_equal(truncate("huge", 1024 * 1024 + 1), 0);
        assert_said(SITE("a", "Certificate=@/huge\n"), false, -EBADMSG, "more than 1 MiB");
        assert_int_equal(read_them(SITE("a", "Certificate=@/empty\n"), false, &faults, &c), 0);
        certificates_free(c);
}

/* systemd's folder, which only the service is given: who checks is told, and goes on. */
static void credentials_are_files_of_systemd(void **state) {
        const char *site = SITE("a", "Certificate=credential:chain\nKey=credential:a.key\n");
        _cleanup_(buffer_finish)
        struct buffer faults;
        struct certificates *c;

        unsetenv("CREDENTIALS_DIRECTORY");
        assert_said(site, false, -EBADMSG, "add LoadCredential= to the service");
        assert_said(site, true, 0, "settings:3: warning: Certificate=credential:chain is checked");
        assert_int_equal(read_them(site, true, &faults, &c), 0);
        assert_int_equal(c->count, 0);
        certificates_free(c);
        buffer_finish(&faults);
        /* what is a fault in any case is one here, too */
        assert_said(SITE("a", "Certificate=credential:chain\nKey=@/none\n"), true, -EBADMSG,
                    "No such file");
        setenv("CREDENTIALS_DIRECTORY", folder, 1);
        put("chain", "from systemd", 0400);
        assert_int_equal(read_them(site, false, &faults, &c), 0);
        assert_true(text_equal(c->all[0].chain, TEXT("from systemd")));
        assert_true(text_equal(c->all[0].key, TEXT("key a")));
        certificates_free(c);
        unsetenv("CREDENTIALS_DIRECTORY");
}

/* Whatever allocation fails, what was made is freed, and it is no fault of the settings. */
static void memory_may_run_out(void **state) {
        _cleanup_(settings_unrefp)
        struct settings *s = settings_new("[Server]\nCiphers=HIGH\n" SITE(
                "a", "Certificate=@/a.pem\nKey=@/a.key\nOCSPResponse=@/a.ocsp\nClientCA=@/ca.pem\n"
                     "ClientCertificate=required\n") SITE("b", "Certificate=@/b.pem\n"));
        int r = -ENOMEM;

        for (long n = 0; r == -ENOMEM; n++) {
                _cleanup_(buffer_finish)
                struct buffer faults = {};
                _cleanup_(certificates_freep)
                struct certificates *c = NULL;

                assert_true(n < 200);
                allocations_left = n;
                r = certificates_read(s, false, &faults, &c);
                allocations_left = -1;
                assert_int_equal(faults.used, 0);
        }
        assert_int_equal(r, 0);
}

/* ---- whose rules ---- */

static uint64_t rules_of(const char *text) {
        _cleanup_(settings_unrefp)
        struct settings *s = settings_new(text);

        return certificates_client_rules(&s->sites[0]);
}

/*
 * Who was asked optionally must never pass for one who had to show a certificate. The paths are
 * many, as an earlier sum of hash and kind was alike for every other of them.
 */
static void rules_are_told_apart(void **state) {
        uint64_t before = 0;

        assert_int_equal(rules_of(SITE("a", "Certificate=/a\n")), 0);
        for (unsigned i = 0; i < 50; i++) {
                uint64_t optional, required;
                char text[256];

                snprintf(text, sizeof(text),
                         SITE("a", "Certificate=/a\nClientCA=/%u\nClientCertificate=optional\n"),
                         i);
                optional = rules_of(text);
                snprintf(text, sizeof(text),
                         SITE("b", "Certificate=/b\nClientCA=/%u\nClientCertificate=required\n"),
                         i);
                required = rules_of(text);
                assert_true(optional && required && optional != required && required != before);
                assert_true(required == rules_of(text));
                before = required;
        }
}

/* ---- dates ---- */

enum { NOW = 1700000000 };
#define DAY INT64_C(86400)

/* The number in the chain is when it ends, in days from NOW. */
static int inspect(const struct tls_certificate *certificate, struct buffer *fault,
                   struct tls_certificate_info *ret) {
        if (certificate->chain.data[0] == 'x')
                return -EBADMSG;
        *ret = (struct tls_certificate_info){
                .not_after_sec = NOW + atoi(certificate->chain.data) * DAY,
                .names = "example.org",
                .key_type = "EC P-256",
        };
        return 0;
}

/* Two weeks before the end, and ever after, but not before. */
static void what_ends_soon_is_told(void **state) {
        static const struct tls_module module = { .inspect = inspect };
        _cleanup_(buffer_finish)
        struct buffer faults, said = {}, all = {};
        _cleanup_(certificates_freep)
        struct certificates *c;

        put("long.pem", "15", 0600);
        put("soon.pem", "13", 0600);
        put("over.pem", "-1", 0600);
        put("bad.pem", "x", 0600);
        assert_int_equal(read_them(SITE("a", "Certificate=@/long.pem\nCertificate=@/soon.pem\n"
                                             "Certificate=@/over.pem\nCertificate=@/bad.pem\n"),
                                   false, &faults, &c),
                         0);
        assert_true(certificates_warn(c, &module, NOW, &said) == NOW - DAY);
        assert_int_equal(buffer_append(&said, "", 1), 0);
        assert_null(strstr(said.data, "long.pem"));
        assert_non_null(strstr(said.data, "/soon.pem of example.org ends at 2023-11-27 22:13 UTC"));
        assert_non_null(
                strstr(said.data, "/over.pem of example.org ended at 2023-11-13 22:13 UTC"));
        assert_non_null(strstr(said.data, "settings:4: warning: Certificate="));
        buffer_finish(&said);
        assert_true(certificates_warn(c, &module, NOW - 20 * DAY, &said) == INT64_MAX);
        assert_int_equal(said.used, 0);
        certificates_describe(c, &module, "certificate: ", &all);
        assert_int_equal(buffer_append(&all, "", 1), 0);
        assert_non_null(strstr(all.data, "/long.pem of example.org (EC P-256) ends at 2023-11-29"));
        assert_null(strstr(all.data, "bad.pem"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_are_of_their_certificate),
                cmocka_unit_test(sites_without_are_left_out),
                cmocka_unit_test(what_cannot_be_read_is_told),
                cmocka_unit_test(credentials_are_files_of_systemd),
                cmocka_unit_test(memory_may_run_out),
                cmocka_unit_test(rules_are_told_apart),
                cmocka_unit_test(what_ends_soon_is_told),
        };
        int failed;

        if (enter_folder(NULL) < 0)
                return 1;
        put_all();
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        settings_unref(kept);
        return leave_folder(NULL) < 0 ? 1 : failed;
}
