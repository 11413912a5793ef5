/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "loop/loop.h"

/*
 * The settings: an immutable snapshot with a reference count, made whole or not at all. Times are
 * in microseconds, sizes in bytes. Strings belong to the snapshot.
 */
struct settings_origin {
        const char *file; /* a path, "command line" or "default" */
        unsigned line;    /* 0 where there is none */
};

/* "FILE:LINE", or FILE alone where there is no line; cut to `size`. */
enum { SETTINGS_PLACE_BYTES = 256 };
void settings_place(const struct settings_origin *origin, char out[static SETTINGS_PLACE_BYTES]);

enum settings_access_log {
        ACCESS_LOG_AUTO, /* the journal under systemd, else standard output */
        ACCESS_LOG_OFF,
        ACCESS_LOG_STDOUT,
        ACCESS_LOG_JOURNAL,
        ACCESS_LOG_FILE,
};

enum settings_handler {
        HANDLER_FILES,
        HANDLER_REDIRECT,
        HANDLER_RETURN,
        HANDLER_MISBEHAVE, /* test builds only */
        HANDLER_ECHO,      /* the same */
};

struct settings_route {
        char *prefix; /* begins with "/"; a Site's own keys make the route "/" */
        enum settings_handler handler;
        bool is_challenge; /* what Challenge= made: not sent to HTTPS */
        char *root;      /* HANDLER_FILES: an absolute path */
        char **index;    /* names to try in a folder, NULL-ended; never NULL */
        unsigned status; /* HANDLER_REDIRECT, HANDLER_RETURN */
        char *target;    /* HANDLER_REDIRECT: the Location; HANDLER_RETURN: the body, or NULL */
        struct settings_origin origin; /* of the line that says what it does */
};

/* A file that is read when the settings are put in force. */
struct settings_file {
        char *path; /* absolute, or "credential:NAME": below $CREDENTIALS_DIRECTORY; NULL: none */
        struct settings_origin origin;
};

enum settings_client_certificate {
        CLIENT_CERTIFICATE_NO,
        CLIENT_CERTIFICATE_OPTIONAL,
        CLIENT_CERTIFICATE_REQUIRED,
};

/* What a Site says of TLS. The lists end with a path of NULL and are never NULL. */
struct settings_tls {
        struct settings_file *certificates; /* PEM, the chain behind the certificate */
        struct settings_file *keys;         /* of the certificates, in their order; or none:
                                               each stands beside its certificate in one file */
        struct settings_file *ocsp;         /* of the first certificates, in their order */
        struct settings_file client_ca;
        enum settings_client_certificate client_certificate;
        bool redirect; /* RedirectToHTTPS */
        char *hsts;    /* the value of Strict-Transport-Security (RFC 6797, 6.1); NULL: none */
};

enum settings_http2 { HTTP2_AUTO, HTTP2_YES, HTTP2_NO };
enum settings_kernel_tls { KERNEL_TLS_AUTO, KERNEL_TLS_NO };
enum settings_min_protocol { MIN_PROTOCOL_TLS_1_2, MIN_PROTOCOL_TLS_1_3 };

struct settings_site {
        char *name;      /* a host name in lower case, or as in a Host field "[2001:db8::1]" */
        char **aliases;  /* further names, "*.example.org" among them; NULL-ended, never NULL */
        bool is_default; /* answers for hosts that no Site names; one at most, or one alone */
        struct settings_route *routes; /* longest prefix first */
        size_t route_count;
        struct settings_tls tls;
        struct settings_origin origin;
};

struct settings_listener {
        char *name;    /* FileDescriptorName of a passed socket; of Listen= the address */
        char *address; /* NULL: only a passed socket of that name */
        bool tls;
        struct settings_origin origin;
};

struct settings {
        unsigned references; /* the supervisor's thread alone counts */

        char *backend; /* "auto", "io_uring", "epoll" */
        struct settings_origin backend_origin;
        enum loop_trigger trigger;
        unsigned workers;        /* 0: auto */
        struct settings_origin workers_origin;
        char *user;              /* NULL: none */
        struct settings_origin user_origin;
        uint64_t idle_exit_usec; /* 0: stay */
        uint64_t drain_usec;
        enum settings_access_log access_log;
        char *access_log_path; /* ACCESS_LOG_FILE */
        struct settings_origin access_log_origin;
        uint64_t head_bytes_max, body_bytes_max;
        uint64_t head_timeout_usec, body_timeout_usec, keep_alive_usec, send_timeout_usec;
        unsigned connections_max; /* 0: auto */
        enum settings_http2 http2; /* auto: over TLS */
        struct settings_origin http2_origin;
        enum settings_min_protocol min_protocol;
        struct settings_origin ciphers_origin;
        char *ciphers; /* of TLS 1.2, as ciphers(1); NULL: the module's own */
        enum settings_kernel_tls kernel_tls;

        struct settings_listener *listeners;
        size_t listener_count;
        struct settings_site *sites;
        size_t site_count;
};

struct settings *settings_ref(struct settings *s);
struct settings *settings_unref(struct settings *s); /* accepts NULL; gives NULL */
static inline void settings_unrefp(struct settings **s) {
        settings_unref(*s);
}

/*
 * Where settings come from, what stands later wins: the file, its drop-ins FILE.d in order of name
 * (those that end in .conf), DIRECTORY of the command line, the options.
 */
struct settings_sources {
        const char *file;      /* NULL: none is read */
        bool file_is_optional; /* the default file need not exist */
        const char *directory; /* makes Site localhost, the default one, with this root; or NULL */
        char **options;        /* "Section.Key=Value", or "Key?="; in order; NULL-ended, or NULL */
};

/*
 * Read all settings. Every fault found is written to `faults` as a line "FILE:LINE: what\n" with
 * what to do about it; warnings too, which begin "warning: " behind the place and do not fail.
 * Errors: -EBADMSG: there were faults, no settings are made; -ENOMEM.
 */
int settings_load(const struct settings_sources *sources, struct buffer *faults,
                  struct settings **ret);

/* In the form of a settings file that gives the same settings. Errors: -ENOMEM. */
int settings_print(const struct settings *s, struct buffer *to);

/* Every setting, for the manual page and for emberd.conf: one call a row, in the table's order. */
struct settings_row {
        const char *section; /* "Server", "Listener", "Site", "Route" */
        const char *key;
        const char *form;    /* "TIME", "BYTES", "auto | io_uring | epoll" … */
        const char *initial; /* the default, as written in a file; "" for none */
        const char *meaning; /* a sentence */
};

/* NULL past the last. What it gives is overwritten by the next call of the same thread. */
const struct settings_row *settings_row_at(size_t index);
