/*
 * files_sink.c - rows as lines of part files in folders, each row in exactly one committed part.
 *
 * The sink of rask_write_files, after Flink's FileSink: a part is open for each folder (bucket) that gets rows; it is closed by
 * size, age, or idleness, or at each barrier; a checkpoint promises the closed ones (prepare) and remembers the length of the
 * open ones (save); when it is complete they get their final names (commit).  Without checkpoints that is at the end of input.
 * Times are looked at when rows come, when the task goes idle, and at barriers.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/id.h"
#include "common/base/map.h"
#include "connectors/file/bucket.h"
#include "connectors/file/part.h"
#include "connectors/format.h"
#include "connectors/support.h"

enum { BUFFER = 128 * 1024, SAVED_VERSION = 1 };

struct files_sink {
    const char *folder, *prefix, *suffix;
    bool csv, roll_at_checkpoint;
    int64_t roll_bytes, roll_ms, inactivity_ms;
    struct bucket_template bucket;
    struct arena arena;
    char writer[ID_TEXT_MAX]; /* of this attempt */
    uint64_t parts;
    struct map *open;      /* bucket -> struct part; the oldest first */
    struct part *last;     /* that the row before went to; NULL: none */
    struct bytes name;     /* scratch: the bucket of a row */
    struct map *saved;     /* paths of closed parts that a checkpoint may go on with: as a set */
    struct bytes promises; /* u32 length, promise ...: closed since the last barrier */
};

static int fail_at(rask_ctx *ctx, int error, const char *path)
{
    if (error == EMFILE || error == ENFILE)
        return rask_fail(ctx, "output file %s cannot be opened: too many are open; each folder that gets rows has an open part: use fewer "
                         "folders, a shorter inactivity, or raise the limit (ulimit -n)", path);
    return error == ENODATA ? rask_fail(ctx, "output file %s is shorter than it was at the checkpoint: somebody changed it, or its disk "
                                        "lost what it had synced", path)
                            : connectors_fail_write(ctx, error, path);
}

static int draw_writer(rask_ctx *ctx, struct files_sink *s)
{
    struct id id;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        return rask_fail(ctx, "the system gives no random bytes");
    id_format(&id, s->writer);
    return 0;
}

static int files_open(rask_ctx *ctx)
{
    struct files_sink *s = rask_self(ctx);
    const struct connector_args *args = connectors_args(ctx);
    struct err err = {0};

    arena_init(&s->arena);
    s->open = map_new();
    s->saved = map_new();
    s->folder = connectors_path(ctx);
    s->prefix = connector_property(args, "prefix", "part");
    s->suffix = connector_property(args, "suffix", "");
    s->csv = strcmp(connector_property(args, "format", "csv"), "csv") == 0;
    s->roll_at_checkpoint = connectors_bool(ctx, "roll_at_checkpoint");
    if (!s->folder || connectors_i64(ctx, "roll_bytes", &s->roll_bytes) != 0 ||
        connectors_i64(ctx, "roll_ms", &s->roll_ms) != 0 || connectors_i64(ctx, "inactivity_ms", &s->inactivity_ms) != 0)
        return -1;
    if (bucket_parse(&s->bucket, args->schema, connector_property(args, "bucket", BUCKET_DEFAULT),
                     connector_property(args, "bucket_time", NULL), &s->arena, &err) != 0)
        return rask_fail(ctx, "%s", err.text);
    return draw_writer(ctx, s);
}

static int begin(rask_ctx *ctx, struct files_sink *s, const char *bucket, struct part **ret)
{
    char *name = mem_printf("%s-%s-%llu%s", s->prefix, s->writer, (unsigned long long)s->parts++, s->suffix);
    const char *path;
    int error = part_begin(s->folder, bucket, name, rask_processing_time(ctx), ret, &path), rc = 0;

    mem_free(name);
    if (error != 0) {
        rc = fail_at(ctx, error, path);
        part_free(*ret);
        *ret = NULL;
    }
    return rc;
}

/* For the next barrier: the file gets its final name, or, without one, is removed. */
static void promise(struct files_sink *s, const char *inprogress, const char *final, uint64_t len)
{
    size_t at = s->promises.len;

    bytes_add_u32(&s->promises, 0);
    part_promise(&s->promises, inprogress, final, len);
    memcpy(s->promises.data + at, &(uint32_t){(uint32_t)(s->promises.len - at - 4)}, 4);
}

/* The part is full or old: from now on it only waits for its name. */
static int roll(rask_ctx *ctx, struct files_sink *s, struct part *p)
{
    int error = part_sync(p), rc = 0;

    if (s->last == p)
        s->last = NULL;
    if (map_get_str(s->open, p->bucket) == p)
        map_remove_str(s->open, p->bucket);
    if (error != 0) {
        rc = fail_at(ctx, error, p->inprogress);
    } else {
        promise(s, p->inprogress, p->final, p->written);
        if (p->saved)
            map_put_str(s->saved, p->inprogress, s);
    }
    part_free(p);
    return rc;
}

/* Those that are old or idle. */
static int roll_by_time(rask_ctx *ctx, struct files_sink *s)
{
    int64_t now = rask_processing_time(ctx);
    int rc = 0;

    for (struct map_iter it = map_iter(s->open); rc == 0 && map_next(&it);) {
        struct part *p = it.value;

        if (now - p->begun_ms >= s->roll_ms || now - p->touched_ms >= s->inactivity_ms)
            rc = roll(ctx, s, p);
    }
    return rc;
}

static int part_of_row(rask_ctx *ctx, struct files_sink *s, const rask_batch *rows, uint32_t row, struct part **ret)
{
    struct err err = {0};
    int rc = 0;

    bytes_clear(&s->name);
    bytes_add_str(&s->name, "");
    if (bucket_of(&s->bucket, rows, row, rask_processing_time(ctx), &s->name, &err) != 0)
        return rask_fail(ctx, "%s", err.text);
    *ret = s->last && strcmp(s->last->bucket, (const char *)s->name.data) == 0
               ? s->last
               : map_get_str(s->open, (const char *)s->name.data);
    if (!*ret) {
        rc = begin(ctx, s, (const char *)s->name.data, ret);
        if (rc == 0)
            map_put_str(s->open, (*ret)->bucket, *ret);
    }
    s->last = *ret;
    return rc;
}

static void format_row(const struct files_sink *s, const rask_batch *rows, uint32_t row, struct bytes *text)
{
    rask_row r = rask_batch_row(rows, row);

    if (s->csv) {
        format_csv(rows, row, text);
    } else if (!rask_is_null(&r, 0)) {
        rask_str line = rask_string(&r, 0);

        bytes_add(text, line.data, line.len);
    }
    bytes_add_u8(text, '\n');
}

static int files_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct files_sink *s = rask_self(ctx);
    rask_ts now = rask_processing_time(ctx);
    struct part *p = NULL;
    int rc = roll_by_time(ctx, s);

    for (uint32_t i = 0; i < rows->rows && rc == 0; i++) {
        if (!p || s->bucket.per_row)
            rc = part_of_row(ctx, s, rows, i, &p);
        if (rc != 0)
            break;
        format_row(s, rows, i, &p->text);
        p->touched_ms = now;
        if (p->written + p->text.len >= (uint64_t)s->roll_bytes) {
            rc = roll(ctx, s, p);
            p = NULL;
        } else if (p->text.len >= BUFFER) {
            int error = part_write_out(p);

            rc = error == 0 ? 0 : fail_at(ctx, error, p->inprogress);
        }
    }
    return rc;
}

static int files_flush(rask_ctx *ctx)
{
    struct files_sink *s = rask_self(ctx);
    int rc = roll_by_time(ctx, s);

    for (struct map_iter it = map_iter(s->open); rc == 0 && map_next(&it);) {
        struct part *p = it.value;
        int error = part_write_out(p);

        if (error != 0)
            rc = fail_at(ctx, error, p->inprogress);
    }
    return rc;
}

static int roll_all(rask_ctx *ctx, struct files_sink *s)
{
    int rc = 0;

    for (struct map_iter it = map_iter(s->open); rc == 0 && map_next(&it);)
        rc = roll(ctx, s, it.value);
    return rc;
}

static int files_prepare(rask_ctx *ctx, rask_committables *out)
{
    struct files_sink *s = rask_self(ctx);
    int rc = s->roll_at_checkpoint ? roll_all(ctx, s) : 0;
    struct reader r = reader_of(s->promises.data, s->promises.len);

    while (rc == 0 && reader_left(&r) > 0) {
        uint32_t len = reader_u32(&r);

        rc = rask_committable_add(out, reader_take(&r, len), len);
    }
    if (rc == 0)
        bytes_clear(&s->promises);
    return rc;
}

/* An open part as a checkpoint remembers it. */
static int files_save(rask_ctx *ctx, rask_committables *out)
{
    struct files_sink *s = rask_self(ctx);
    struct bytes saved = {0};
    int rc = 0;

    for (struct map_iter it = map_iter(s->open); rc == 0 && map_next(&it);) {
        struct part *p = it.value;
        int error = part_sync(p);

        p->saved = true;
        bytes_clear(&saved);
        bytes_add_u8(&saved, SAVED_VERSION);
        bytes_add_u64(&saved, (uint64_t)p->begun_ms);
        bytes_add_u64(&saved, p->written);
        bytes_add_u32(&saved, (uint32_t)strlen(p->bucket));
        bytes_add_str(&saved, p->bucket);
        bytes_add_str(&saved, p->inprogress);
        rc = error != 0 ? fail_at(ctx, error, p->inprogress) : rask_committable_add(out, saved.data, saved.len);
    }
    bytes_release(&saved);
    return rc;
}

/* bucket, path: owned by the caller; NULL: the bytes are no saved part. */
static void read_saved(rask_bytes saved, char **ret_bucket, char **ret_path, int64_t *ret_begun_ms, uint64_t *ret_len)
{
    struct reader r = reader_of(saved.data, saved.len);
    uint8_t version = reader_u8(&r);
    const uint8_t *text;
    uint32_t len;

    *ret_bucket = *ret_path = NULL;
    *ret_begun_ms = (int64_t)reader_u64(&r);
    *ret_len = reader_u64(&r);
    len = reader_u32(&r);
    text = reader_take(&r, len);
    if (r.bad || version != SAVED_VERSION || reader_left(&r) == 0)
        return;
    *ret_bucket = mem_printf("%.*s", (int)len, (const char *)text);
    *ret_path = mem_printf("%.*s", (int)reader_left(&r), (const char *)r.at);
}

static int take_over(rask_ctx *ctx, struct files_sink *s, const char *bucket, const char *old, uint64_t len, int64_t begun_ms)
{
    struct part *p;
    const char *path;
    int rc = begin(ctx, s, bucket, &p), error;

    if (rc != 0)
        return rc;
    error = part_take_over(p, old, len, &path);
    if (error == ENOENT)
        rc = rask_fail(ctx, "output file %s was open at the checkpoint and is gone: put it back, or start without that checkpoint", path);
    else if (error != 0)
        rc = fail_at(ctx, error, path);
    p->begun_ms = begun_ms;
    promise(s, old, NULL, 0);
    if (rc == 0 && map_get_str(s->open, bucket)) /* of another subtask, after the parallelism was lowered */
        return roll(ctx, s, p);
    if (rc == 0)
        map_put_str(s->open, p->bucket, p);
    else
        part_free(p);
    return rc;
}

static int files_restore(rask_ctx *ctx, rask_bytes saved)
{
    char *bucket, *path;
    int64_t begun_ms;
    uint64_t len;
    int rc;

    read_saved(saved, &bucket, &path, &begun_ms, &len);
    rc = path ? take_over(ctx, rask_self(ctx), bucket, path, len, begun_ms)
              : rask_fail(ctx, "the checkpoint has a part file in a form that this version does not know");
    mem_free(bucket);
    mem_free(path);
    return rc;
}

static int files_commit(rask_ctx *ctx, rask_bytes committable)
{
    struct part_promise p;
    int error = 0, rc = 0;

    if (!part_promise_read(committable.data, committable.len, &p))
        return rask_fail(ctx, "the checkpoint has a commit in a form that this version does not know");
    switch (part_keep(&p, &error)) {
    case PART_KEPT: break;
    case PART_FAILED: rc = fail_at(ctx, error, p.inprogress); break;
    case PART_LOST:
        rc = rask_fail(ctx, "the part file %s, which a checkpoint promised, is gone, and %s is not there either: put it back", p.inprogress,
                       p.final);
        break;
    case PART_SHORT:
        rc = rask_fail(ctx, "the part file %s does not have the %llu bytes that a checkpoint promised: somebody changed it, or its disk lost "
                       "what it had synced", p.inprogress, (unsigned long long)p.len);
        break;
    }
    if (rc == 0)
        map_remove_str(((struct files_sink *)rask_self(ctx))->saved, p.inprogress);
    part_promise_release(&p);
    return rc;
}

/* A part that was open at an earlier checkpoint stays: who begins there takes it over. */
static int files_abort(rask_ctx *ctx, rask_bytes committable)
{
    struct files_sink *s = rask_self(ctx);
    struct part_promise p;

    if (part_promise_read(committable.data, committable.len, &p)) {
        if (p.final && !map_get_str(s->saved, p.inprogress))
            (void)unlink(p.inprogress);
        part_promise_release(&p);
    }
    return 0;
}

static int files_finish(rask_ctx *ctx)
{
    return roll_all(ctx, rask_self(ctx));
}

static void files_close(rask_ctx *ctx)
{
    struct files_sink *s = rask_self(ctx);

    if (s->open)
        for (struct map_iter it = map_iter(s->open); map_next(&it);)
            part_free(it.value);
    map_free(s->open);
    s->open = NULL;
    map_free(s->saved);
    s->saved = NULL;
    bytes_release(&s->name);
    bytes_release(&s->promises);
    arena_release(&s->arena);
}

const rask_sink connectors_files_sink = {
    .abi = RASK_ABI,
    .name = "files",
    .self_size = sizeof(struct files_sink),
    .open = files_open,
    .write = files_write,
    .flush = files_flush,
    .prepare = files_prepare,
    .commit = files_commit,
    .abort = files_abort,
    .finish = files_finish,
    .close = files_close,
    .save = files_save,
    .restore = files_restore,
};
