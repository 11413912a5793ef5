/* SPDX-License-Identifier: MIT */
#pragma once

#include "../http/samples.h"
#include "http2/http2-internal.h"

/*
 * A client of one HTTP/2 session, without a network, that writes whatever bytes a test wants and
 * reads what comes back frame by frame, without help of the library that the session is made with
 * (but for HPACK). The clock stands at 784111777 (RFC 9110, 5.6.7).
 */

enum {
        PEER_STREAMS_MAX = 1024, /* ids up to twice as high are looked at */
        PEER_FRAMES_MAX = 8192,  /* remembered; more are read, too */
};

enum peer_end { PEER_OPEN, PEER_CLOSE, PEER_LINGER, PEER_BROKEN };

struct peer_stream {
        unsigned status, invited; /* `invited`: 100 Continue came so often */
        struct buffer fields;     /* "name: value\n" */
        struct buffer body;
        bool ended, reset;
        uint32_t code; /* of the reset */
};

struct peer_frame {
        uint8_t type, flags;
        uint32_t id, bytes;
        uint32_t code; /* of RST_STREAM and GOAWAY; increment of WINDOW_UPDATE */
        uint32_t last; /* of GOAWAY */
};

struct peer {
        struct http_context context;
        struct http_session *session;
        struct http2_session *h; /* the same */
        struct samples samples;
        nghttp2_hd_inflater *inflater;
        nghttp2_hd_deflater *deflater;
        struct buffer in;  /* what the session sent, up to the frame that is not whole */
        struct buffer out; /* what a test writes, not fed yet */
        struct buffer log; /* "METHOD TARGET STATUS BYTES;" for each exchange that is over */
        uint64_t now_usec;
        enum peer_end end;
        int error; /* PEER_BROKEN: why */
        unsigned changes, outputs;
        unsigned bugs;   /* exchanges that a broken invariant ended, as the worker logs them */
        bool in_session; /* `changed` must not be called */
        bool hold;       /* leave handlers that wait waiting */
        bool hold_sent;  /* leave the next output unsent: peer_sent() */
        bool unsent;
        bool at_once;          /* `changed` runs the session, from inside the handler's call */
        uint64_t settings[16]; /* by identifier; UINT64_MAX: not said */
        unsigned settings_acks, pings_acks;
        uint8_t last_ping[8]; /* that was not an answer */
        struct peer_frame frames[PEER_FRAMES_MAX];
        unsigned frame_count;
        struct peer_stream streams[PEER_STREAMS_MAX];
};

/* A session that has had the preface and empty SETTINGS, and answered. */
struct peer *peer_new(void);
/* One that has had nothing yet; NULL: no memory for it. */
struct peer *peer_new_silent(void);
/* As those, where handlers may take an extended CONNECT. */
struct peer *peer_new_for_tunnels(bool greet);
/* Ends the session with -ECONNRESET; all memory must be given back. */
void peer_free(struct peer *p);

/* ---- writing; fed by peer_go() ---- */

void peer_frame(struct peer *p, uint8_t type, uint8_t flags, uint32_t id, const void *data,
                size_t size);
void peer_preface(struct peer *p);
/*
 * HEADERS; `fields` are "name: value\n" lines, and "GET /path" as the first line stands for the
 * pseudo-fields of such a request.
 */
void peer_headers(struct peer *p, uint32_t id, const char *fields, uint8_t flags);
void peer_get(struct peer *p, uint32_t id, const char *path); /* whole, without body */
void peer_data(struct peer *p, uint32_t id, const void *data, size_t size, bool last);
void peer_window(struct peer *p, uint32_t id, uint32_t increment);
void peer_setting(struct peer *p, uint16_t id, uint32_t value);
void peer_reset(struct peer *p, uint32_t id, uint32_t code);
void peer_ping(struct peer *p, const char *eight, bool ack);

/* ---- running ---- */

void peer_go(struct peer *p);                     /* feed what was written, then peer_run() */
void peer_feed(struct peer *p, struct text data); /* as it is; no run */
void peer_run(struct peer *p);                    /* until the session has nothing to do */
void peer_sent(struct peer *p);                   /* what was held; then peer_run() */
void peer_end_input(struct peer *p);

/* ---- what came ---- */

struct peer_stream *peer_stream(struct peer *p, uint32_t id);
/* The value of the field; NULL: there is none. Until the next call. */
const char *peer_field(struct peer *p, uint32_t id, const char *name);
/* The last frame of this type; NULL: none came. */
const struct peer_frame *peer_last(struct peer *p, uint8_t type);
unsigned peer_count(struct peer *p, uint8_t type);
/* Was the connection given up with this code? */
bool peer_was_hung_up_on(struct peer *p, uint32_t code);
