/* http_parse.h - the head of an HTTP request: strict, bounded, no memory but one copy. */
#ifndef JM_REST_HTTP_PARSE_H
#define JM_REST_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
    char *text; /* owned; the strings below point into it */
    const char *method, *target, *host, *origin, *content_type; /* NULL: absent */
    uint64_t content_length;
    bool chunked, keep_alive, expect_continue;
};
/*
 * 0 with *ret_end 0: the end is not there yet.  0 with *ret_end > 0: parsed, that many bytes are used.  Else the status to
 * refuse with, and *ret_why (static text).  What is plainly no HTTP is refused before the end is there.
 */
int rest_http_head_parse(struct http_head *head, const uint8_t *data, size_t len, size_t *ret_end, const char **ret_why);
void rest_http_head_release(struct http_head *head);

/* Decodes %XX of text[0..len) into out (len + 1 bytes); '+' becomes a space if plus. false: bad escape or NUL. */
bool rest_http_decode(const char *text, size_t len, bool plus, char *out);

#endif
