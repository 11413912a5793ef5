/* SPDX-License-Identifier: MIT */
#include "http/status.h"

#include <stdio.h>

/*
 * Whole status lines as constants, so that an answer copies one; the reason is cut out of the line.
 * The lines lie in the table itself: a table of pointers would have to be relocated at every start.
 */

enum { REASON_OFFSET = 13, LINE_BYTES_MAX = 46 }; /* behind "HTTP/1.1 404 " */

struct status_line {
        uint16_t status;
        uint8_t size;
        char line[LINE_BYTES_MAX + 1];
};

#define LINE(number, reason)                                               \
        {                                                                  \
                number, sizeof("HTTP/1.1 " #number " " reason "\r\n") - 1, \
                        "HTTP/1.1 " #number " " reason "\r\n"              \
        }

/* The IANA registry of status codes; 200 is first because it is asked for most. */
static const struct status_line lines[] = {
        LINE(200, "OK"),
        LINE(206, "Partial Content"),
        LINE(304, "Not Modified"),
        LINE(404, "Not Found"),
        LINE(100, "Continue"),
        LINE(101, "Switching Protocols"),
        LINE(102, "Processing"),
        LINE(103, "Early Hints"),
        LINE(201, "Created"),
        LINE(202, "Accepted"),
        LINE(203, "Non-Authoritative Information"),
        LINE(204, "No Content"),
        LINE(205, "Reset Content"),
        LINE(207, "Multi-Status"),
        LINE(208, "Already Reported"),
        LINE(226, "IM Used"),
        LINE(300, "Multiple Choices"),
        LINE(301, "Moved Permanently"),
        LINE(302, "Found"),
        LINE(303, "See Other"),
        LINE(305, "Use Proxy"),
        LINE(307, "Temporary Redirect"),
        LINE(308, "Permanent Redirect"),
        LINE(400, "Bad Request"),
        LINE(401, "Unauthorized"),
        LINE(402, "Payment Required"),
        LINE(403, "Forbidden"),
        LINE(405, "Method Not Allowed"),
        LINE(406, "Not Acceptable"),
        LINE(407, "Proxy Authentication Required"),
        LINE(408, "Request Timeout"),
        LINE(409, "Conflict"),
        LINE(410, "Gone"),
        LINE(411, "Length Required"),
        LINE(412, "Precondition Failed"),
        LINE(413, "Content Too Large"),
        LINE(414, "URI Too Long"),
        LINE(415, "Unsupported Media Type"),
        LINE(416, "Range Not Satisfiable"),
        LINE(417, "Expectation Failed"),
        LINE(421, "Misdirected Request"),
        LINE(422, "Unprocessable Content"),
        LINE(423, "Locked"),
        LINE(424, "Failed Dependency"),
        LINE(425, "Too Early"),
        LINE(426, "Upgrade Required"),
        LINE(428, "Precondition Required"),
        LINE(429, "Too Many Requests"),
        LINE(431, "Request Header Fields Too Large"),
        LINE(451, "Unavailable For Legal Reasons"),
        LINE(500, "Internal Server Error"),
        LINE(501, "Not Implemented"),
        LINE(502, "Bad Gateway"),
        LINE(503, "Service Unavailable"),
        LINE(504, "Gateway Timeout"),
        LINE(505, "HTTP Version Not Supported"),
        LINE(506, "Variant Also Negotiates"),
        LINE(507, "Insufficient Storage"),
        LINE(508, "Loop Detected"),
        LINE(511, "Network Authentication Required"),
};

static const struct status_line *line_of(unsigned status) {
        for (size_t i = 0; i < ELEMENTS(lines); i++)
                if (lines[i].status == status)
                        return &lines[i];
        return NULL;
}

struct text http_status_reason(unsigned status) {
        const struct status_line *l = line_of(status);

        if (!l)
                l = line_of(status / 100 * 100);
        if (!l)
                l = line_of(500); /* no class of its own: RFC 9110, 15 */
        return (struct text){ l->line + REASON_OFFSET, (size_t)l->size - REASON_OFFSET - 2 };
}

struct text http_status_line(unsigned status, char scratch[static HTTP_STATUS_LINE_BYTES]) {
        const struct status_line *l = line_of(status);
        struct text reason;
        int n;

        assert(status >= 100 && status <= 999);
        if (l)
                return (struct text){ l->line, l->size };
        reason = http_status_reason(status);
        n = snprintf(scratch, HTTP_STATUS_LINE_BYTES, "HTTP/1.1 %u %.*s\r\n", status,
                     TEXT_ARGS(reason));
        return (struct text){ scratch, (size_t)n };
}
