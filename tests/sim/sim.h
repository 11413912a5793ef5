/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "scripted.h"
#include "server/conn.h"

/*
 * The server's connections, sessions and exchanges, whole, against clients that are played from a
 * seed in a scripted world. Files here: requests.c makes up what a client sends and what must come
 * back, answers.c reads what came back, client.c plays a client, site.c answers the requests in
 * ways that handlers may, sim.c runs the world.
 */

/* What becomes of the network and of the server while the clients are at work. */
enum sim_weather {
        SIM_CALM,   /* nothing is lost: a polite client gets every answer */
        SIM_DRAIN,  /* and the server drains: a polite client gets each answer that began */
        SIM_STORMY, /* connections break; what is complete must still be right */
        SIM_WEATHERS,
};

/* ---- site.c ---- */

/* Bodies are made of runs of one long random text, so that a wrong offset or target shows. */
enum { SITE_TEXT_BYTES = 1 << 20, SITE_BODY_BYTES_MAX = 200 * 1000 };

struct site {
        struct scripted_world *world;
        struct loop *loop;
        char *text;
        int file;      /* the same text */
        unsigned open; /* exchanges that the handler has begun and not finished */
        uint64_t begun, completed;
};

void site_init(struct site *site, struct scripted_world *world);
void site_finish(struct site *site);
void site_route(struct site *site, struct exchange *x);

/* ---- requests.c ---- */

enum { SIM_REQUESTS_MAX = 200 };

enum sim_body { SIM_BODY_NONE, SIM_BODY_TEXT, SIM_BODY_LITERAL, SIM_BODY_ANY };

/* What must come back for one request. */
struct sim_expected {
        uint16_t status;
        uint8_t body;    /* enum sim_body */
        bool breaks;     /* cannot be completed: the connection must end within it, visibly */
        bool closes;     /* the last answer of the connection */
        bool continues;  /* 100 Continue comes first */
        uint64_t bytes;  /* of the body; not for SIM_BODY_ANY */
        uint32_t offset; /* TEXT: where in the site's text */
        char literal[64];
        size_t gate; /* bytes of `out` before the body, which waits for the 100; 0: does not wait */
};

struct sim_plan {
        struct buffer out;
        struct sim_expected expected[SIM_REQUESTS_MAX];
        unsigned count;
};

void sim_plan_make(struct sim_plan *plan, struct scripted_world *world, const struct site *site);
void sim_plan_finish(struct sim_plan *plan);

/* ---- answers.c ---- */

enum sim_framing { SIM_LENGTH, SIM_CHUNKS, SIM_UNTIL_CLOSE };

/* Reads a connection's answers and compares them with what is expected. */
struct sim_reader {
        const struct sim_plan *plan;
        const struct site *site;
        struct buffer in; /* came and not yet read */
        unsigned done;    /* answers that are complete */
        unsigned invited; /* 100 Continue that came */
        bool in_body, in_trailer;
        bool says_close; /* the last answer had Connection: close */
        bool may_close;  /* … and any may */
        uint8_t framing;
        uint64_t body_bytes, chunk_left, length;
        const char *fault; /* what is wrong; NULL: nothing so far */
};

void sim_reader_feed(struct sim_reader *reader, struct text data);
/* The connection ended; `clean`: not by a reset. True if it ended between two answers. */
bool sim_reader_end(struct sim_reader *reader, bool clean);
void sim_reader_finish(struct sim_reader *reader);

/* ---- client.c ---- */

enum sim_manner {
        SIM_POLITE,     /* reads all it asked for and closes */
        SIM_HALF_CLOSE, /* the same, but says that it has sent all */
        SIM_WAITS,      /* the same, but leaves the closing to the server */
        SIM_CLOSES,     /* goes away in between */
        SIM_RESETS,
        SIM_STALLS,   /* does nothing any more, at some point */
        SIM_TRICKLES, /* sends a byte a second */
        SIM_MANNERS,
};

struct sim_client {
        struct scripted_event event;
        struct sim *sim;
        struct scripted_peer *peer;
        struct sim_plan plan;
        struct sim_reader reader;
        unsigned index;
        enum sim_manner manner;
        bool over, stalled, half_closed;
        bool crossed; /* it sent something when the server's end of the stream had come */
        size_t sent_bytes;
        unsigned steps_left; /* until it misbehaves */
        unsigned pause_usec_max;
        size_t piece_bytes_max;
        uint64_t begun_usec, heard_usec; /* when it connected; when the last byte came */
};

struct sim {
        struct scripted_world *world;
        uint64_t seed;
        enum sim_weather weather;
        struct site site;
        struct loop *loop;
        struct http_context http;
        struct conn_set conns;
        counter conns_shown;
        struct loop_listener listener;
        int listener_fd;
        bool listener_stopped;
        struct scripted_event end; /* the server drains, or breaks off */
        struct loop_message end_message;
        bool aborts;
        struct sim_client *clients;
        unsigned clients_count, clients_over;
        unsigned faults;
        uint64_t answers;
};

void sim_client_begin(struct sim_client *client, struct sim *sim, unsigned index);
void sim_client_finish(struct sim_client *client);

/* A fault was found; it is printed with what is needed to see it again. */
void sim_fault(struct sim *sim, const struct sim_client *client, const char *what);
