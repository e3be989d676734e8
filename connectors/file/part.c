/* part.c - see part.h. */
#include "connectors/file/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "connectors/support.h"

enum { PROMISE_VERSION = 1, RENAME = 1, REMOVE = 2 };

int part_begin(const char *folder, const char *bucket, const char *name, int64_t now_ms, struct part **ret,
               const char **ret_path)
{
    struct part *p = MEM_NEW(struct part);
    const char *slash = bucket[0] ? "/" : "";
    int rc;

    p->bucket = mem_strdup(bucket);
    p->inprogress = mem_printf("%s/%s%s.%s.inprogress", folder, bucket, slash, name);
    p->final = mem_printf("%s/%s%s%s", folder, bucket, slash, name);
    p->begun_ms = p->touched_ms = now_ms;
    p->fd = -1;
    *ret = p;
    *ret_path = p->inprogress;
    rc = connectors_make_parents(p->inprogress);
    if (rc == 0)
        p->fd = open(p->inprogress, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
    return rc != 0 ? rc : p->fd < 0 ? errno : 0;
}

int part_write_out(struct part *p)
{
    int rc = connectors_write_all(p->fd, p->text.data, p->text.len);

    if (rc == 0) {
        p->written += p->text.len;
        bytes_clear(&p->text);
    }
    return rc;
}

int part_sync(struct part *p)
{
    int rc = part_write_out(p);

    if (rc == 0 && fsync(p->fd) != 0 && errno != EINVAL)
        rc = errno;
    return rc != 0 ? rc : connectors_sync_folder_of(p->inprogress);
}

static int copy(int from, int to, uint64_t len)
{
    char buf[65536];

    while (len > 0) {
        ssize_t n = read(from, buf, len < sizeof(buf) ? (size_t)len : sizeof(buf));
        int rc;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENODATA;
        rc = connectors_write_all(to, buf, (size_t)n);
        if (rc != 0)
            return rc;
        len -= (uint64_t)n;
    }
    return 0;
}

int part_take_over(struct part *p, const char *from, uint64_t len, const char **ret_path)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc;

    *ret_path = from;
    if (fd < 0)
        return errno;
    rc = copy(fd, p->fd, len);
    close(fd);
    p->written = rc == 0 ? len : 0;
    return rc;
}

void part_free(struct part *p)
{
    if (p->fd >= 0)
        close(p->fd);
    bytes_release(&p->text);
    mem_free(p->bucket);
    mem_free(p->inprogress);
    mem_free(p->final);
    mem_free(p);
}

/* ---- promises ---- */

static void add_text(struct bytes *out, const char *text)
{
    bytes_add_u32(out, (uint32_t)strlen(text));
    bytes_add_str(out, text);
}

void part_promise(struct bytes *out, const char *inprogress, const char *final, uint64_t len)
{
    bytes_add_u8(out, PROMISE_VERSION);
    bytes_add_u8(out, final ? RENAME : REMOVE);
    bytes_add_u64(out, len);
    add_text(out, inprogress);
    if (final)
        add_text(out, final);
}

static char *take_text(struct reader *r)
{
    uint32_t len = reader_u32(r);
    const uint8_t *text = reader_take(r, len);

    return text && len > 0 && !memchr(text, 0, len) ? mem_printf("%.*s", (int)len, (const char *)text) : NULL;
}

bool part_promise_read(const void *data, size_t len, struct part_promise *ret)
{
    struct reader r = reader_of(data, len);
    uint8_t version = reader_u8(&r), kind = reader_u8(&r);

    *ret = (struct part_promise){.len = reader_u64(&r)};
    if (r.bad || version != PROMISE_VERSION || (kind != RENAME && kind != REMOVE))
        return false;
    ret->inprogress = take_text(&r);
    if (kind == RENAME)
        ret->final = take_text(&r);
    if (r.bad || reader_left(&r) > 0 || !ret->inprogress || (kind == RENAME && !ret->final)) {
        part_promise_release(ret);
        return false;
    }
    return true;
}

void part_promise_release(struct part_promise *p)
{
    mem_free(p->inprogress);
    mem_free(p->final);
    *p = (struct part_promise){0};
}

static enum part_kept failed(int errno_value, int *ret_errno)
{
    *ret_errno = errno_value;
    return PART_FAILED;
}

enum part_kept part_keep(const struct part_promise *p, int *ret_errno)
{
    struct stat st;
    int rc;

    if (!p->final)
        return unlink(p->inprogress) == 0 || errno == ENOENT ? PART_KEPT : failed(errno, ret_errno);
    if (stat(p->inprogress, &st) == 0) {
        if ((uint64_t)st.st_size != p->len)
            return PART_SHORT;
        if (rename(p->inprogress, p->final) != 0)
            return failed(errno, ret_errno);
    } else if (errno != ENOENT) {
        return failed(errno, ret_errno);
    } else if (stat(p->final, &st) != 0) { /* not committed before either */
        return errno == ENOENT ? PART_LOST : failed(errno, ret_errno);
    } else if ((uint64_t)st.st_size != p->len) {
        return PART_SHORT;
    }
    rc = connectors_sync_folder_of(p->final);
    return rc == 0 ? PART_KEPT : failed(rc, ret_errno);
}
