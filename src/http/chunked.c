/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include "http/scan.h"

/*
 * A byte at a time for what frames the chunks, since it is short and may be cut anywhere; the
 * payload is handed on as it lies. What other decoders let pass and must not (a lone LF, white
 * space behind a size, a size that overflows, a CR inside an extension) is where requests are
 * smuggled: a front that sees the line end elsewhere sees other requests than we do.
 */

enum chunked_state {
        CHUNKED_SIZE = 0,   /* hexadecimal digits */
        CHUNKED_SIZE_SPACE, /* white space, which only a ";" may follow */
        CHUNKED_EXTENSION,  /* up to CR */
        CHUNKED_SIZE_LF,
        CHUNKED_PAYLOAD,
        CHUNKED_PAYLOAD_CR, /* behind the payload */
        CHUNKED_PAYLOAD_LF,
        CHUNKED_TRAILER, /* at the start of a trailer line */
        CHUNKED_TRAILER_NAME,
        CHUNKED_TRAILER_VALUE,
        CHUNKED_TRAILER_LF,
        CHUNKED_LAST_LF,
        CHUNKED_ENDED,
        CHUNKED_FAILED,
};

enum { SIZE_DIGITS_MAX = 16 }; /* 64 bits */

static unsigned hex_value(char c) {
        return ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a' + 10);
}

static int step_size(struct chunked *c, char byte) {
        if (http_char_is((unsigned char)byte, HTTP_CHAR_HEX)) {
                if (c->digits++ == SIZE_DIGITS_MAX)
                        return CHUNKED_FAILED;
                c->left = c->left << 4 | hex_value(byte);
                return CHUNKED_SIZE;
        }
        if (!c->digits)
                return CHUNKED_FAILED;
        switch (byte) {
        case '\r': return CHUNKED_SIZE_LF;
        case ';': return CHUNKED_EXTENSION;
        case ' ':
        case '\t': return CHUNKED_SIZE_SPACE;
        default: return CHUNKED_FAILED;
        }
}

/* What follows the line with the size. */
static int after_size(struct chunked *c) {
        c->line_bytes = 0;
        c->digits = 0;
        return c->left ? CHUNKED_PAYLOAD : CHUNKED_TRAILER;
}

static int step_line(struct chunked *c, char byte) {
        bool is_value = http_char_is((unsigned char)byte, HTTP_CHAR_VALUE);
        bool is_token = http_char_is((unsigned char)byte, HTTP_CHAR_TOKEN);

        switch ((enum chunked_state)c->state) {
        case CHUNKED_SIZE: return step_size(c, byte);
        case CHUNKED_SIZE_SPACE:
                if (byte == ';')
                        return CHUNKED_EXTENSION;
                return byte == ' ' || byte == '\t' ? CHUNKED_SIZE_SPACE : CHUNKED_FAILED;
        case CHUNKED_EXTENSION:
                if (byte == '\r')
                        return CHUNKED_SIZE_LF;
                return is_value ? CHUNKED_EXTENSION : CHUNKED_FAILED;
        case CHUNKED_SIZE_LF: return byte == '\n' ? after_size(c) : CHUNKED_FAILED;
        case CHUNKED_PAYLOAD_CR: return byte == '\r' ? CHUNKED_PAYLOAD_LF : CHUNKED_FAILED;
        case CHUNKED_PAYLOAD_LF: return byte == '\n' ? CHUNKED_SIZE : CHUNKED_FAILED;
        case CHUNKED_TRAILER:
                if (byte == '\r')
                        return CHUNKED_LAST_LF;
                return is_token ? CHUNKED_TRAILER_NAME : CHUNKED_FAILED;
        case CHUNKED_TRAILER_NAME:
                if (byte == ':')
                        return CHUNKED_TRAILER_VALUE;
                return is_token ? CHUNKED_TRAILER_NAME : CHUNKED_FAILED;
        case CHUNKED_TRAILER_VALUE:
                if (byte == '\r')
                        return CHUNKED_TRAILER_LF;
                return is_value ? CHUNKED_TRAILER_VALUE : CHUNKED_FAILED;
        case CHUNKED_TRAILER_LF: return byte == '\n' ? CHUNKED_TRAILER : CHUNKED_FAILED;
        case CHUNKED_LAST_LF: return byte == '\n' ? CHUNKED_ENDED : CHUNKED_FAILED;
        case CHUNKED_PAYLOAD:
        case CHUNKED_ENDED:
        case CHUNKED_FAILED: break;
        }
        return CHUNKED_FAILED;
}

/* Is the byte that comes, of a line or of the trailer, beyond their bounds? */
static bool is_beyond(struct chunked *c) {
        if (c->state >= CHUNKED_TRAILER)
                return ++c->trailer_bytes > CHUNKED_TRAILER_BYTES_MAX;
        return c->state <= CHUNKED_SIZE_LF && ++c->line_bytes > CHUNKED_LINE_BYTES_MAX;
}

int chunked_feed(struct chunked *c, struct text input, size_t *ret_used, struct text *ret_data) {
        size_t used = 0;

        *ret_data = (struct text){};
        while (used < input.size && c->state < CHUNKED_ENDED) {
                if (c->state == CHUNKED_PAYLOAD) {
                        size_t n = MIN((uint64_t)(input.size - used), c->left);

                        *ret_data = (struct text){ input.data + used, n };
                        c->left -= n;
                        if (!c->left)
                                c->state = CHUNKED_PAYLOAD_CR;
                        used += n;
                        break;
                }
                c->state = is_beyond(c) ? CHUNKED_FAILED : (uint8_t)step_line(c, input.data[used]);
                used++;
        }
        *ret_used = used;
        if (c->state == CHUNKED_FAILED)
                return CHUNKED_BAD;
        return c->state == CHUNKED_ENDED ? CHUNKED_END : CHUNKED_DATA;
}
