/* http_parse.c - parses the head of an HTTP/1.x request.  Whoever is strict here cannot be fooled behind. */
#include "jobmanager/rest/http_parse.h"

#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "jobmanager/rest/http.h"

static bool is_token(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

void rest_http_head_release(struct http_head *h)
{
    mem_free(h->text);
    memset(h, 0, sizeof(*h));
}

static bool parse_length(const char *text, uint64_t *ret)
{
    uint64_t n = 0;

    if (!*text || strlen(text) > 18)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *ret = n;
    return true;
}

struct seen {
    bool host, length, encoding;
    int minor; /* HTTP/1.minor */
};

static int header(struct http_head *h, struct seen *seen, const char *name, const char *value, const char **why)
{
    if (strcasecmp(name, "host") == 0) {
        *why = "two Host headers";
        if (seen->host)
            return 400;
        seen->host = true;
        h->host = value;
    } else if (strcasecmp(name, "content-length") == 0) {
        *why = "Content-Length is not one number";
        if (seen->length || !parse_length(value, &h->content_length))
            return 400;
        seen->length = true;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        *why = "only the transfer encoding `chunked` is known";
        if (seen->encoding || strcasecmp(value, "chunked") != 0 || seen->minor == 0)
            return 501;
        seen->encoding = h->chunked = true;
    } else if (strcasecmp(name, "connection") == 0) {
        if (strcasestr(value, "close"))
            h->keep_alive = false;
        else if (strcasestr(value, "keep-alive"))
            h->keep_alive = true;
    } else if (strcasecmp(name, "expect") == 0) {
        h->expect_continue = strcasecmp(value, "100-continue") == 0;
    } else if (strcasecmp(name, "origin") == 0) {
        h->origin = value;
    } else if (strcasecmp(name, "content-type") == 0) {
        h->content_type = value;
    }
    return 0;
}

/* "METHOD TARGET HTTP/1.x" */
static int request_line(struct http_head *h, struct seen *seen, char *line, const char **why)
{
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

    *why = "the first line is no HTTP request";
    if (!version || target == line || version == target + 1)
        return 400;
    *target++ = 0;
    *version++ = 0;
    for (const char *p = line; *p; p++)
        if (!is_token((unsigned char)*p))
            return 400;
    if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8)
        return 400;
    *why = "only HTTP/1.0 and HTTP/1.1 are spoken here";
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return 505;
    *why = "the target of the request is not a path";
    if (target[0] != '/')
        return 400;
    seen->minor = version[7] - '0';
    h->keep_alive = seen->minor == 1;
    h->method = line;
    h->target = target;
    return 0;
}

static int header_line(struct http_head *h, struct seen *seen, char *line, char *end, const char **why)
{
    char *colon = strchr(line, ':'), *value;

    *why = "a header line is not NAME: VALUE";
    if (!colon || colon == line)
        return 400;
    for (const char *p = line; p < colon; p++)
        if (!is_token((unsigned char)*p))
            return 400;
    *colon = 0;
    value = colon + 1 + strspn(colon + 1, " \t");
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    return header(h, seen, line, value, why);
}

static int parse_lines(struct http_head *h, const char **why)
{
    struct seen seen = {0};
    char *next, *end;
    int count = 0, status;

    for (char *line = h->text; (end = strstr(line, "\r\n")) != NULL && end != line; line = next, count++) {
        next = end + 2;
        *end = 0;
        *why = "more than 100 headers";
        if (count > HTTP_HEADERS_MAX)
            return 431;
        status = count ? header_line(h, &seen, line, end, why) : request_line(h, &seen, line, why);
        if (status)
            return status;
    }
    *why = "HTTP/1.1 asks for a Host header";
    if (seen.minor == 1 && !seen.host)
        return 400;
    *why = "Content-Length and Transfer-Encoding exclude each other";
    return seen.length && h->chunked ? 400 : 0;
}

int rest_http_head_parse(struct http_head *h, const uint8_t *data, size_t len, size_t *ret_end, const char **why)
{
    const uint8_t *newline = memchr(data, '\n', len), *end;
    int status;

    *ret_end = 0;
    *why = "the first line is no HTTP request";
    for (size_t i = 0; i < len && data + i != newline; i++) {
        bool last = newline && data + i == newline - 1;

        if ((data[i] < 0x20 || data[i] >= 0x7f) && !(data[i] == '\r' && (last || i == len - 1)))
            return 400;
    }
    if (!is_token(data[0]) || (newline && (newline == data || newline[-1] != '\r')))
        return 400;
    end = memmem(data, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    *ret_end = (size_t)(end - data) + 4;
    *why = "the head holds a NUL byte or a bare line feed";
    for (const uint8_t *p = data; p < end; p++)
        if (*p == 0 || (*p == '\n' && p[-1] != '\r') || (*p == '\r' && p[1] != '\n'))
            return 400;
    memset(h, 0, sizeof(*h));
    h->text = mem_alloc(*ret_end + 1);
    memcpy(h->text, data, *ret_end);
    status = parse_lines(h, why);
    if (status)
        rest_http_head_release(h);
    return status;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool rest_http_decode(const char *text, size_t len, bool plus, char *out)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1, low = i + 2 < len ? hex(text[i + 2]) : -1;

            if (high < 0 || low < 0 || high + low == 0)
                return false;
            *out++ = (char)(high * 16 + low);
            i += 2;
        } else {
            *out++ = plus && text[i] == '+' ? ' ' : text[i];
        }
    }
    *out = 0;
    return true;
}
