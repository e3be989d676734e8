/*
 * test_files_durable.c - the sink of part files and power cuts: what a barrier promised and what was committed is there, with each
 * sync left out in turn.
 * Not here: what parts are called, when they end (test_files_sink.c).
 */
#include "test/unit/disk_model.h"

#include "test/unit/connectors/harness.h"

static const rask_field line_fields[] = {{"line", RASK_T_STRING, 0, 0, 0, NULL}};
static const rask_schema line_schema = {RASK_ABI, 1, "line", line_fields};

static char folder[64];

static int folder_new(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rask-durable-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int folder_gone(void **state)
{
    (void)state;
    disk_clear(folder);
    return rmdir(folder);
}

/* ---- what an engine keeps: one promise, one open part ---- */

struct barrier {
    struct bytes promise, saved;
    int promises, parts;
};

static int keep_promise(struct rask_committables *out, const void *data, size_t len)
{
    struct barrier *b = out->engine;

    bytes_clear(&b->promise);
    bytes_add(&b->promise, data, len);
    b->promises++;
    return 0;
}
static int keep_part(struct rask_committables *out, const void *data, size_t len)
{
    struct barrier *b = out->engine;

    bytes_clear(&b->saved);
    bytes_add(&b->saved, data, len);
    b->parts++;
    return 0;
}

static void barrier_release(struct barrier *b)
{
    bytes_release(&b->promise);
    bytes_release(&b->saved);
}

static rask_bytes bytes_of(const struct bytes *b)
{
    return (rask_bytes){(const char *)b->data, (uint32_t)b->len};
}

static const rask_sink *sink_of(struct harness *h)
{
    return h->connector->sink;
}

static struct harness *sink_open(bool roll_at_checkpoint)
{
    struct harness *h = h_new("files", &line_schema);

    h_property(h, "path", folder);
    h_property(h, "bucket", "day-1");
    h_property(h, "format", "text");
    h_property(h, "roll_bytes", "1000000");
    h_property(h, "roll_ms", "60000");
    h_property(h, "inactivity_ms", "10000");
    h_property(h, "roll_at_checkpoint", roll_at_checkpoint ? "true" : "false");
    h->ctx.self = mem_alloc(sink_of(h)->self_size);
    assert_int_equal(sink_of(h)->open(&h->ctx), 0);
    return h;
}

static void sink_close(struct harness *h)
{
    sink_of(h)->close(&h->ctx);
    h_free(h);
}

static void put(struct harness *h, const char *line)
{
    assert_int_equal(rask_out_begin(h->ctx.out, &line_schema), 0);
    rask_out_string(h->ctx.out, 0, rask_str_of(line));
    assert_int_equal(rask_out_end(h->ctx.out), 0);
    h_full(h->ctx.out, h);
    assert_int_equal(sink_of(h)->write(&h->ctx, h->batches[h->batch_count - 1]), 0);
    h_drop_rows(h);
}

static struct barrier barrier(struct harness *h)
{
    struct barrier b = {0};
    struct rask_committables promises = {keep_promise, &b}, parts = {keep_part, &b};

    assert_int_equal(sink_of(h)->flush(&h->ctx), 0);
    assert_int_equal(sink_of(h)->prepare(&h->ctx, &promises), 0);
    assert_int_equal(sink_of(h)->save(&h->ctx, &parts), 0);
    return b;
}

/* The one committed part of the folder holds exactly this. */
static bool committed(const char *content)
{
    char path[128], file[400], buf[256];
    struct dirent *e;
    DIR *dir;
    int found = 0;
    ssize_t n = -1;

    snprintf(path, sizeof(path), "%s/day-1", folder);
    dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        int fd;

        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        fd = open(file, O_RDONLY);
        n = read(fd, buf, sizeof(buf));
        close(fd);
        found++;
    }
    if (dir)
        closedir(dir);
    return found == 1 && n == (ssize_t)strlen(content) && memcmp(buf, content, (size_t)n) == 0;
}

/* ---- the runs ---- */

/* Power goes after the barrier; the next attempt commits what the checkpoint holds. */
static bool promised(void *arg, int skipped)
{
    struct harness *h;
    struct barrier b;
    bool good;

    (void)arg;
    disk_clear(folder);
    disk_begin(folder, skipped);
    h = sink_open(true);
    put(h, "first");
    put(h, "second");
    b = barrier(h);
    assert_int_equal(b.promises, 1);
    disk_cut();
    sink_close(h);
    h = sink_open(true);
    good = sink_of(h)->commit(&h->ctx, bytes_of(&b.promise)) == 0 && committed("first\nsecond\n");
    sink_close(h);
    barrier_release(&b);
    return good;
}

static void what_a_barrier_promised_is_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(promised, NULL), 3); /* the new folder, the bytes, the name */
}

/* Power goes after the barrier; the next attempt goes on behind the rows of the open part. */
static bool open_part(void *arg, int skipped)
{
    struct harness *h;
    struct barrier b, end;
    bool good;

    (void)arg;
    disk_clear(folder);
    disk_begin(folder, skipped);
    h = sink_open(false);
    put(h, "first");
    b = barrier(h);
    assert_int_equal(b.parts, 1);
    put(h, "not in the checkpoint");
    disk_cut();
    sink_close(h);
    h = sink_open(true);
    good = sink_of(h)->restore(&h->ctx, bytes_of(&b.saved)) == 0;
    if (good) {
        put(h, "second");
        end = barrier(h);
        good = sink_of(h)->commit(&h->ctx, bytes_of(&end.promise)) == 0 && committed("first\nsecond\n");
        barrier_release(&end);
    }
    sink_close(h);
    barrier_release(&b);
    return good;
}

static void what_an_open_part_had_at_the_barrier_is_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(open_part, NULL), 3);
}

/* The part was taken over once; power goes after the next barrier. */
static bool taken_over(void *arg, int skipped)
{
    struct harness *h;
    struct barrier b, next;
    bool good;

    (void)arg;
    disk_clear(folder);
    h = sink_open(false);
    put(h, "first");
    b = barrier(h);
    sink_close(h);
    disk_begin(folder, skipped);
    h = sink_open(false);
    assert_int_equal(sink_of(h)->restore(&h->ctx, bytes_of(&b.saved)), 0);
    put(h, "second");
    next = barrier(h);
    disk_cut();
    sink_close(h);
    h = sink_open(true);
    good = sink_of(h)->restore(&h->ctx, bytes_of(&next.saved)) == 0;
    sink_close(h);
    barrier_release(&b);
    barrier_release(&next);
    return good;
}

static void a_part_that_was_taken_over_is_there(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(taken_over, NULL), 2);
}

/* Nobody commits again after the checkpoint behind it: the name has to stay. */
static bool kept(void *arg, int skipped)
{
    struct harness *h;
    struct barrier b;

    (void)arg;
    disk_clear(folder);
    h = sink_open(true);
    put(h, "first");
    b = barrier(h);
    disk_begin(folder, skipped);
    assert_int_equal(sink_of(h)->commit(&h->ctx, bytes_of(&b.promise)), 0);
    disk_cut();
    sink_close(h);
    barrier_release(&b);
    return committed("first\n");
}

static void what_was_committed_keeps_its_name(void **state)
{
    (void)state;
    assert_int_equal(disk_each_sync_is_needed(kept, NULL), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_gone)
    const struct CMUnitTest tests[] = {
        TEST(what_a_barrier_promised_is_there),
        TEST(what_an_open_part_had_at_the_barrier_is_there),
        TEST(a_part_that_was_taken_over_is_there),
        TEST(what_was_committed_keeps_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
