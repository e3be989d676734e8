/* multipart.c - the files of a multipart/form-data body (RFC 7578); fields without a file name are skipped. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

#define BOUNDARY_MAX 200
#define PART_HEAD_MAX 4096

/* "boundary=" of the content type, with "--" before it. */
static bool boundary_of(const char *content_type, char *ret, size_t size)
{
    const char *at = content_type ? strcasestr(content_type, "boundary=") : NULL;
    size_t n;

    if (!at || strncasecmp(content_type, "multipart/form-data", 19) != 0)
        return false;
    at += 9;
    if (*at == '"') {
        n = strcspn(++at, "\"");
        if (at[n] != '"')
            return false;
    } else {
        n = strcspn(at, "; \t");
    }
    if (n == 0 || n > BOUNDARY_MAX || n + 3 > size)
        return false;
    memcpy(ret, "--", 2);
    memcpy(ret + 2, at, n);
    ret[n + 2] = 0;
    return true;
}

/* filename="..." of a part's head, without folders; NULL: the part is no file. */
static const char *file_name(struct arena *arena, const uint8_t *head, size_t len)
{
    const uint8_t *at = memmem(head, len, "filename=\"", 10), *end;
    const char *slash;
    char *name;

    if (!at)
        return NULL;
    at += 10;
    end = memchr(at, '"', len - (size_t)(at - head));
    if (!end)
        return NULL;
    name = arena_alloc(arena, (size_t)(end - at) + 1);
    memcpy(name, at, (size_t)(end - at));
    for (char *p = name; *p; p++)
        if (*p == '\\')
            *p = '/';
    slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

int rest_multipart(struct arena *arena, const char *content_type, const uint8_t *body, size_t len,
                   struct rest_upload *ret, size_t max, size_t *ret_count, struct err *err)
{
    char boundary[BOUNDARY_MAX + 4], inner[BOUNDARY_MAX + 8];
    const uint8_t *at, *end = body + len;
    size_t boundary_len;

    *ret_count = 0;
    if (!boundary_of(content_type, boundary, sizeof(boundary)))
        return 0; /* no form: no file */
    boundary_len = strlen(boundary);
    snprintf(inner, sizeof(inner), "\r\n%s", boundary);
    at = len ? memmem(body, len, boundary, boundary_len) : NULL;
    while (at) {
        const uint8_t *head = at + boundary_len, *data, *next;
        const char *name;

        if (end - head >= 2 && memcmp(head, "--", 2) == 0)
            return 0;
        data = memmem(head, MIN((size_t)(end - head), PART_HEAD_MAX), "\r\n\r\n", 4);
        if (!data)
            return err_set(err, ERR_INVALID, "a part of the form has no end of its headers");
        name = file_name(arena, head, (size_t)(data - head));
        data += 4;
        next = memmem(data, (size_t)(end - data), inner, boundary_len + 2);
        if (!next)
            return err_set(err, ERR_INVALID, "the form ends inside a part");
        if (name) {
            if (*ret_count < max)
                ret[*ret_count] = (struct rest_upload){name, data, (size_t)(next - data)};
            ++*ret_count;
        }
        at = next + 2;
    }
    return 0;
}
