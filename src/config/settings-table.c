/* SPDX-License-Identifier: MIT */
/*
 * One row a setting: from it are made the reader, --print-config, emberd.conf(5) and the commented
 * emberd.conf. The rows of a section stand together, in the order in which the manual explains
 * them. Meanings are sentences of plain text, wrapped by those who show them.
 */
#include "config/settings-table.h"

#define SECONDS(n)      ((n)*USEC_PER_SEC)
#define KIB(n)          (UINT64_C(n) << 10)
#define DAY             SECONDS(86400)
#define TLS(field)      offsetof(struct site_values, tls.field)
#define MSEC(n)         ((n)*USEC_PER_MSEC)

#define SERVER(field)   offsetof(struct settings, field)
#define LISTENER(field) offsetof(struct settings_listener, field)
#define SITE(field)     offsetof(struct site_values, field)
#define ROUTE(field)    offsetof(struct route_values, field)

const char *const setting_section_names[SECTION_COUNT] = {
        [SECTION_SERVER] = "Server",
        [SECTION_LISTENER] = "Listener",
        [SECTION_SITE] = "Site",
        [SECTION_ROUTE] = "Route",
};

/* clang-format off */
const struct setting settings_table[] = {
        /* section, key, kind, form, least, initial, most, offset, meaning */
        { SECTION_SERVER, "Backend", SETTING_WORD, "auto | io_uring | epoll",
          0, "auto", 0, SERVER(backend),
          "How the kernel is asked for input and output. "
          "\"auto\" takes io_uring where it can run, else epoll, and says in the log which "
          "and why." },
        { SECTION_SERVER, "EpollTrigger", SETTING_CHOICE, "edge | level | oneshot",
          LOOP_TRIGGER_EDGE, "edge", LOOP_TRIGGER_ONESHOT, SERVER(trigger),
          "How the epoll backend asks for readiness, see epoll(7). "
          "There is no reason to change it but to compare." },
        { SECTION_SERVER, "Workers", SETTING_COUNT, "auto | NUMBER",
          1, "auto", 1024, SERVER(workers),
          "How many threads serve. "
          "\"auto\" takes as many as the service may use processors." },
        { SECTION_SERVER, "Listen", SETTING_LISTEN, "ADDRESS ...",
          0, "", 0, SERVER(listeners),
          "Addresses to listen on. "
          "Only where systemd passes no socket; may be given several times. "
          "Where no address is named at all it is 127.0.0.1:8080." },
        { SECTION_SERVER, "User", SETTING_USER, "NAME",
          0, "", 0, SERVER(user),
          "The user to become once the sockets are open, needed when started as root by hand." },
        { SECTION_SERVER, "IdleExitSec", SETTING_TIME, "TIME",
          0, "0", DAY, SERVER(idle_exit_usec),
          "Leave when there was nothing to do for this long; the next connection starts the "
          "service again. "
          "0 stays for good. "
          "Has no effect where no socket was passed, as then nobody would start the service "
          "again." },
        { SECTION_SERVER, "DrainSec", SETTING_TIME, "TIME",
          0, "30", DAY, SERVER(drain_usec),
          "How long requests under way may take to end at a stop or a reload." },
        { SECTION_SERVER, "AccessLog", SETTING_ACCESS_LOG, "auto | journal | stdout | off | /PATH",
          0, "auto", 0, SERVER(access_log),
          "Where a line for each request goes. "
          "\"auto\" takes the journal when started by systemd, else standard output." },
        { SECTION_SERVER, "HeadBytesMax", SETTING_BYTES, "BYTES",
          KIB(1), "16K", KIB(1024), SERVER(head_bytes_max),
          "The most that the request line and the header fields may have together; "
          "a request with more is answered 431." },
        { SECTION_SERVER, "HeadTimeoutSec", SETTING_TIME, "TIME",
          MSEC(10), "15", DAY, SERVER(head_timeout_usec),
          "How long the head of a request may take to arrive, counted from its first byte, "
          "or from the start of the connection. "
          "A request that was begun and is not there in time is answered 408." },
        { SECTION_SERVER, "BodyBytesMax", SETTING_BYTES, "BYTES",
          0, "1M", UINT64_C(1) << 40, SERVER(body_bytes_max),
          "The most that the body of a request may have; a longer one is answered 413." },
        { SECTION_SERVER, "BodyTimeoutSec", SETTING_TIME, "TIME",
          MSEC(10), "60", DAY, SERVER(body_timeout_usec),
          "How long a client may pause within the body of a request." },
        { SECTION_SERVER, "KeepAliveSec", SETTING_TIME, "TIME",
          MSEC(10), "75", DAY, SERVER(keep_alive_usec),
          "How long a connection is kept open for the next request." },
        { SECTION_SERVER, "SendTimeoutSec", SETTING_TIME, "TIME",
          MSEC(10), "60", DAY, SERVER(send_timeout_usec),
          "How long a client may take none of the bytes that are sent to it." },
        { SECTION_SERVER, "ConnectionsMax", SETTING_COUNT, "auto | NUMBER",
          1, "auto", 10000000, SERVER(connections_max),
          "How many connections may be open at once; past it the oldest idle one is closed first. "
          "\"auto\" takes what the limit of open files allows." },

        { SECTION_SERVER, "HTTP2", SETTING_CHOICE, "auto | yes | no",
          HTTP2_AUTO, "auto", HTTP2_NO, SERVER(http2),
          "Whether HTTP/2 is spoken. "
          "\"auto\" offers it to clients that come by TLS; \"yes\" also takes it from those that "
          "begin with it in clear, which proxies and gRPC do and browsers do not." },
        { SECTION_SERVER, "MinProtocol", SETTING_CHOICE, "TLSv1.2 | TLSv1.3",
          MIN_PROTOCOL_TLS_1_2, "TLSv1.2", MIN_PROTOCOL_TLS_1_3, SERVER(min_protocol),
          "The oldest version of TLS that is spoken." },
        { SECTION_SERVER, "Ciphers", SETTING_CIPHERS, "LIST",
          0, "", 0, SERVER(ciphers),
          "The ciphers of TLS 1.2, as ciphers(1) writes them. "
          "There is seldom a reason to choose other ones than emberd does: forward secrecy and "
          "authenticated encryption, all others left out." },
        { SECTION_SERVER, "KernelTLS", SETTING_CHOICE, "auto | no",
          KERNEL_TLS_AUTO, "auto", KERNEL_TLS_NO, SERVER(kernel_tls),
          "Whether long files are left to the kernel to encipher, over HTTP/1.1, where its module "
          "tls is loaded; see emberd(8)." },

        { SECTION_LISTENER, "Address", SETTING_ADDRESS, "ADDRESS",
          0, "", 0, LISTENER(address),
          "The address to listen on. "
          "Only where systemd passes no socket of this name." },
        { SECTION_LISTENER, "TLS", SETTING_SWITCH, "yes | no",
          0, "", 0, LISTENER(tls),
          "Whether clients come by TLS. "
          "Without a word they do on the listener named \"https\", and on no other." },

        { SECTION_SITE, "Aliases", SETTING_HOSTS, "HOST ...",
          0, "", 0, SITE(aliases),
          "Further host names of the Site. "
          "\"*.example.org\" stands for all names beneath example.org, but not for it." },
        { SECTION_SITE, "Default", SETTING_SWITCH, "yes | no",
          0, "", 0, SITE(is_default),
          "Whether the Site also answers for hosts that no Site names. "
          "A Site that stands alone does so unless it says \"no\"; elsewhere such requests are "
          "answered 404." },
        { SECTION_SITE, "Root", SETTING_PATH, "/DIRECTORY",
          0, "", 0, SITE(root),
          "The folder with the files of the Site; names that begin with a dot are not served, "
          "but for .well-known. "
          "Nothing outside of it is ever served, wherever symbolic links may lead." },
        { SECTION_SITE, "Index", SETTING_NAMES, "NAME ...",
          0, "index.html", 0, SITE(index),
          "The files to look for, in this order, when a folder is asked for." },

        { SECTION_SITE, "Certificate", SETTING_FILES, "/FILE | credential:NAME",
          0, "", 0, TLS(certificates),
          "A certificate of the Site in PEM, behind it those that it was signed with. "
          "May be given several times, such as for RSA and ECDSA side by side; which of them is "
          "shown to a client is chosen by the name that it asks for, and by what it understands. "
          "With \"credential:\" the file is one that systemd hands over (LoadCredential=)." },
        { SECTION_SITE, "Key", SETTING_FILES, "/FILE | credential:NAME",
          0, "", 0, TLS(keys),
          "The private key in PEM of the Certificate at the same place in the order. "
          "Without any, each stands in the file of its certificate. "
          "It must not be encrypted, and not readable by everybody." },
        { SECTION_SITE, "OCSPResponse", SETTING_FILES, "/FILE | credential:NAME",
          0, "", 0, TLS(ocsp),
          "An OCSP response in DER to be shown with the Certificate at the same place in the "
          "order, as long as it holds; read again at a reload." },
        { SECTION_SITE, "ClientCA", SETTING_FILE, "/FILE | credential:NAME",
          0, "", 0, TLS(client_ca),
          "Whom certificates of clients must be signed by, in PEM." },
        { SECTION_SITE, "ClientCertificate", SETTING_CHOICE, "no | optional | required",
          CLIENT_CERTIFICATE_NO, "no", CLIENT_CERTIFICATE_REQUIRED, TLS(client_certificate),
          "Whether clients are asked for a certificate. "
          "With \"required\" nobody comes in without a good one." },
        { SECTION_SITE, "Challenge", SETTING_PATH, "/DIRECTORY",
          0, "", 0, SITE(challenge),
          "Where a client of ACME puts its answers: what is asked for below "
          "/.well-known/acme-challenge/ is looked up there, also in clear where RedirectToHTTPS= "
          "says otherwise." },
        { SECTION_SITE, "RedirectToHTTPS", SETTING_SWITCH, "yes | no",
          0, "no", 0, TLS(redirect),
          "Send clients that come in clear to the same address with https." },
        { SECTION_SITE, "HSTS", SETTING_HSTS, "TIME [includeSubDomains] [preload]",
          0, "", 0, TLS(hsts),
          "Tell clients that come by TLS to come in no other way for so long "
          "(Strict-Transport-Security, RFC 6797)." },

        { SECTION_ROUTE, "Root", SETTING_PATH, "/DIRECTORY",
          0, "", 0, ROUTE(root),
          "The folder with the files of the Route. "
          "What follows the prefix in the path of a request is looked up in it." },
        { SECTION_ROUTE, "Index", SETTING_NAMES, "NAME ...",
          0, "", 0, ROUTE(index),
          "The files to look for, as in a Site; that of the Site where a Route does not say." },
        { SECTION_ROUTE, "Redirect", SETTING_REDIRECT, "STATUS URL",
          0, "", 0, ROUTE(redirect),
          "Send the client to another URL with the status code 301, 302, 303, 307 or 308." },
        { SECTION_ROUTE, "Return", SETTING_RETURN, "STATUS [TEXT]",
          0, "", 0, ROUTE(answer),
          "Answer with this status code, and with the text where one is given." },
#ifdef EMBERD_TEST_BUILD
        { SECTION_ROUTE, "Misbehave", SETTING_SWITCH, "yes | no",
          0, "", 0, ROUTE(misbehave),
          "Do what a client asks for as if emberd had been taken over; in test builds alone." },
        { SECTION_ROUTE, "Echo", SETTING_SWITCH, "yes | no",
          0, "", 0, ROUTE(echo),
          "Accept any other protocol and give back what comes; in test builds alone." },
#endif
};
/* clang-format on */

const size_t settings_table_size = ELEMENTS(settings_table);

const struct setting *setting_section_rows(enum setting_section section, size_t *ret_count) {
        const struct setting *first = settings_table, *end = settings_table + settings_table_size;
        size_t count = 0;

        while (first < end && first->section != section)
                first++;
        while (first + count < end && first[count].section == section)
                count++;
        *ret_count = count;
        return first;
}

const struct settings_row *settings_row_at(size_t index) {
        static _Thread_local struct settings_row row;
        const struct setting *s;

        if (index >= settings_table_size)
                return NULL;
        s = &settings_table[index];
        row = (struct settings_row){
                .section = setting_section_names[s->section],
                .key = s->key,
                .form = s->form,
                .initial = s->initial,
                .meaning = s->meaning,
        };
        return &row;
}
