/* SPDX-License-Identifier: MIT */
#include "server/certificates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/hash.h"

/*
 * Files are read by the supervisor, as whom emberd runs, and only when settings are put in force:
 * a reload takes up new certificates, and one that is broken keeps the old settings whole.
 */

enum { FILE_BYTES_MAX = 1024 * 1024 };

const struct settings_origin *certificates_wanted(const struct settings *settings) {
        for (size_t i = 0; i < settings->site_count; i++)
                if (settings->sites[i].tls.certificates[0].path)
                        return &settings->sites[i].tls.certificates[0].origin;
        return NULL;
}

/* ---- files ---- */

static const char *file_path(const char *path, char *out, size_t size) {
        struct text t = text_of(path), prefix = TEXT("credential:");
        const char *folder = getenv("CREDENTIALS_DIRECTORY");

        if (!text_starts_with(t, prefix))
                return path;
        if (!folder)
                return NULL;
        if (snprintf(out, size, "%s/%s", folder, path + prefix.size) >= (int)size)
                return NULL;
        return out;
}

static void file_fault(struct buffer *faults, const struct settings_file *file, const char *key,
                       const char *what) {
        char place[SETTINGS_PLACE_BYTES];

        settings_place(&file->origin, place);
        buffer_printf(faults, "%s: %s=%s: %s\n", place, key, file->path, what);
}

/* A credential is protected by systemd; a file in the open is for emberd's group at most. */
static void warn_of_readable(struct buffer *faults, const struct settings_file *file,
                             const char *path, struct text content) {
        static const char mark[] = "PRIVATE KEY-----"; /* RFC 7468, and older forms */
        char place[SETTINGS_PLACE_BYTES];
        struct stat st;

        if (!memmem(content.data, content.size, mark, sizeof(mark) - 1) || stat(path, &st) < 0 ||
            !(st.st_mode & S_IROTH))
                return;
        settings_place(&file->origin, place);
        buffer_printf(faults,
                      "%s: warning: %s holds a private key and is readable by everybody; "
                      "chmod o= it\n",
                      place, path);
}

/* As a script leaves it that could not reach the CA: served without, as with an old one. */
static void warn_of_empty(struct buffer *faults, const struct settings_file *file) {
        char place[SETTINGS_PLACE_BYTES];

        settings_place(&file->origin, place);
        buffer_printf(faults, "%s: warning: OCSPResponse=%s is empty; none is sent\n", place,
                      file->path);
}

/* No credentials: this is no service. Errors: -ENODATA (there is a warning), -EBADMSG. */
static int file_is_out_of_reach(const struct certificates *c, const struct settings_file *file,
                                const char *key, struct buffer *faults) {
        char place[SETTINGS_PLACE_BYTES];

        if (!c->only_checked) {
                file_fault(faults, file, key,
                           "systemd passed no credentials; add LoadCredential= to the service");
                return -EBADMSG;
        }
        settings_place(&file->origin, place);
        buffer_printf(faults,
                      "%s: warning: %s=%s is checked when the service is started or "
                      "reloaded: nobody else is given it\n",
                      place, key, file->path);
        return -ENODATA;
}

/* Errors: -EBADMSG (the fault is noted), -ENODATA (only checked, and out of reach), -ENOMEM. */
static int file_read(struct certificates *c, const struct settings_file *file, const char *key,
                     bool is_secret, struct buffer *faults, struct text *ret) {
        struct buffer *b = &c->files[c->file_count];
        char room[4096], what[256];
        const char *path = file_path(file->path, room, sizeof(room));
        int r;

        if (!path)
                return file_is_out_of_reach(c, file, key, faults);
        r = fd_read_file(path, FILE_BYTES_MAX, &b->data, &b->used);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                snprintf(what, sizeof(what), "%s; name a file that emberd may read",
                         r == -EFBIG ? "more than 1 MiB" : strerror(-r));
                file_fault(faults, file, key, what);
                return -EBADMSG;
        }
        c->file_count++;
        b->size = b->used;
        if (is_secret)
                warn_of_readable(faults, file, path, buffer_text(b));
        *ret = buffer_text(b);
        return 0;
}

/* ---- sites ---- */

static size_t files_count(const struct settings_file *files) {
        size_t count = 0;

        while (files[count].path)
                count++;
        return count;
}

/* "FILE:LINE", kept as one more file. */
static int place_keep(struct certificates *c, const struct settings_origin *origin,
                      const char **ret) {
        struct buffer *b = &c->files[c->file_count];
        char place[SETTINGS_PLACE_BYTES];
        int r;

        settings_place(origin, place);
        r = buffer_append(b, place, strlen(place) + 1);
        if (r < 0)
                return r;
        c->file_count++;
        *ret = b->data;
        return 0;
}

static int certificate_read(struct certificates *c, const struct settings_tls *tls, size_t i,
                            struct buffer *faults, struct tls_certificate *ret) {
        const struct settings_file *file = &tls->certificates[i];
        bool has_keys = tls->keys[0].path, has_ocsp = i < files_count(tls->ocsp);
        int r, s = 0;

        *ret = (struct tls_certificate){ .path = file->path };
        r = place_keep(c, &file->origin, &ret->place);
        if (r == 0)
                r = file_read(c, file, "Certificate", !has_keys, faults, &ret->chain);
        if (r == -ENOMEM)
                return r;
        if (has_keys) {
                ret->key_path = tls->keys[i].path;
                s = place_keep(c, &tls->keys[i].origin, &ret->key_place);
                if (s == 0)
                        s = file_read(c, &tls->keys[i], "Key", true, faults, &ret->key);
        } else {
                ret->key = ret->chain;
        }
        if (s == 0 && has_ocsp)
                s = file_read(c, &tls->ocsp[i], "OCSPResponse", false, faults, &ret->ocsp);
        if (s == -ENOMEM)
                return s;
        if (s == 0 && has_ocsp && !ret->ocsp.size)
                warn_of_empty(faults, &tls->ocsp[i]);
        return r == -EBADMSG || s == -EBADMSG ? -EBADMSG : MIN(r, s);
}

static int site_names(const struct settings_site *site, struct tls_site *ret) {
        size_t count = 1;

        for (char **alias = site->aliases; *alias; alias++)
                count++;
        ret->names = calloc(count + 1, sizeof(*ret->names));
        if (!ret->names)
                return -ENOMEM;
        ret->names[0] = site->name;
        for (size_t i = 1; i < count; i++)
                ret->names[i] = site->aliases[i - 1];
        return 0;
}

static int site_read(struct certificates *c, const struct settings_site *site,
                     struct buffer *faults, struct tls_site *ret) {
        const struct settings_tls *tls = &site->tls;
        int result = 0, r = site_names(site, ret);

        if (r < 0)
                return r;
        ret->owner = (const void *)(uintptr_t)certificates_client_rules(site);
        ret->certificates = &c->all[c->count];
        ret->client_certificate = (enum tls_client_certificate)tls->client_certificate;
        for (size_t i = 0; tls->certificates[i].path; i++) {
                r = certificate_read(c, tls, i, faults, &c->all[c->count]);
                if (r == -ENOMEM)
                        return r;
                if (r == -ENODATA)
                        continue;
                if (r < 0)
                        result = r;
                c->count++;
                ret->certificate_count++;
        }
        if (!tls->client_ca.path)
                return result;
        ret->client_ca_path = tls->client_ca.path;
        r = place_keep(c, &tls->client_ca.origin, &ret->client_ca_place);
        if (r == 0)
                r = file_read(c, &tls->client_ca, "ClientCA", false, faults, &ret->client_ca);
        if (r == -ENODATA) {
                ret->certificate_count = 0; /* it cannot be made without */
                return result;
        }
        return r < 0 ? r : result;
}

static int certificates_allocate(const struct settings *settings, struct certificates **ret) {
        _cleanup_(certificates_freep)
        struct certificates *c = calloc(1, sizeof(*c));
        size_t sites = 0, all = 0;

        for (size_t i = 0; i < settings->site_count; i++) {
                size_t count = files_count(settings->sites[i].tls.certificates);

                sites += count > 0;
                all += count;
        }
        if (!c)
                return -ENOMEM;
        c->sites = calloc(sites + 1, sizeof(*c->sites));
        c->all = calloc(all + 1, sizeof(*c->all));
        /* of each certificate: chain, key, two places, response; of each Site: CA and place */
        c->files = calloc(all * 5 + sites * 2 + 2, sizeof(*c->files));
        if (!c->sites || !c->all || !c->files)
                return -ENOMEM;
        *ret = take_ptr(c);
        return 0;
}

int certificates_read(const struct settings *settings, bool only_checked, struct buffer *faults,
                      struct certificates **ret) {
        _cleanup_(certificates_freep)
        struct certificates *c = NULL;
        int result = certificates_allocate(settings, &c);

        if (c)
                c->only_checked = only_checked;
        for (size_t i = 0; result != -ENOMEM && i < settings->site_count; i++) {
                const struct settings_site *site = &settings->sites[i];
                struct tls_site *to = &c->sites[c->settings.site_count];
                int r;

                if (!site->tls.certificates[0].path)
                        continue;
                r = site_read(c, site, faults, to);
                if (r < 0)
                        result = r;
                if (site->is_default)
                        c->settings.fallback = to;
                c->settings.site_count++;
        }
        if (result < 0)
                return result;
        c->settings.sites = c->sites;
        c->settings.min_protocol =
                settings->min_protocol == MIN_PROTOCOL_TLS_1_3 ? TLS_1_3 : TLS_1_2;
        c->settings.ciphers = settings->ciphers;
        if (settings->ciphers) {
                int r = place_keep(c, &settings->ciphers_origin, &c->settings.ciphers_place);

                if (r < 0)
                        return r;
        }
        *ret = take_ptr(c);
        return 0;
}

struct certificates *certificates_free(struct certificates *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; c->sites && i <= c->settings.site_count; i++)
                free(c->sites[i].names);
        for (size_t i = 0; i < c->file_count; i++) {
                explicit_bzero(c->files[i].data, c->files[i].used);
                buffer_finish(&c->files[i]);
        }
        free(c->files);
        free(c->sites);
        free(c->all);
        free(c);
        return NULL;
}

/* ---- what they say ---- */

void certificates_date(int64_t sec, char out[static CERTIFICATE_DATE_BYTES]) {
        time_t at = (time_t)sec;
        struct tm tm;

        if (!gmtime_r(&at, &tm) ||
            !strftime(out, CERTIFICATE_DATE_BYTES, "%Y-%m-%d %H:%M UTC", &tm))
                snprintf(out, CERTIFICATE_DATE_BYTES, "another age");
}

/* False: it has none to tell of; what is wrong was told when the contexts were made. */
static bool certificate_info(const struct tls_certificate *one, const struct tls_module *tls,
                             struct tls_certificate_info *ret,
                             char date[static CERTIFICATE_DATE_BYTES]) {
        _cleanup_(buffer_finish)
        struct buffer fault = {};

        if (tls->inspect(one, &fault, ret) < 0)
                return false;
        certificates_date(ret->not_after_sec, date);
        return true;
}

void certificates_describe(const struct certificates *c, const struct tls_module *tls,
                           const char *prefix, struct buffer *to) {
        struct tls_certificate_info info;
        char date[CERTIFICATE_DATE_BYTES];

        for (size_t i = 0; i < c->count; i++)
                if (certificate_info(&c->all[i], tls, &info, date))
                        buffer_printf(to, "%s%s of %s (%s) ends at %s\n", prefix, c->all[i].path,
                                      info.names, info.key_type, date);
}

int64_t certificates_warn(const struct certificates *c, const struct tls_module *tls,
                          int64_t now_sec, struct buffer *warnings) {
        int64_t first = INT64_MAX;

        for (size_t i = 0; i < c->count; i++) {
                struct tls_certificate_info info;
                char date[CERTIFICATE_DATE_BYTES];

                if (!certificate_info(&c->all[i], tls, &info, date) ||
                    info.not_after_sec > now_sec + CERTIFICATE_WARNING_SEC)
                        continue;
                first = MIN(first, info.not_after_sec);
                buffer_printf(warnings,
                              "%s: warning: Certificate=%s of %s %s %s; renew it and reload\n",
                              c->all[i].place, c->all[i].path, info.names,
                              info.not_after_sec < now_sec ? "ended at" : "ends at", date);
        }
        return first;
}

uint64_t certificates_client_rules(const struct settings_site *site) {
        const struct settings_tls *tls = &site->tls;

        if (tls->client_certificate == CLIENT_CERTIFICATE_NO)
                return 0;
        /* not 0, and never alike where one is optional and the other required */
        return hash_text(text_of(tls->client_ca.path)) << 2 | tls->client_certificate;
}
