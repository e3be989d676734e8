/* The sink of part files: folders, rolling, promises that are kept once and again, and what a new attempt takes over. */
#include <dirent.h>
#include <errno.h>

#include "connectors/file/bucket.h"
#include "connectors/file/part.h"
#include "test/unit/connectors/harness.h"

static const rask_field pair_fields[] = {{"word", RASK_T_STRING, 1, 0, 0, NULL}, {"at", RASK_T_TIMESTAMP, 1, 3, 0, NULL}};
static const rask_schema pair_schema = {RASK_ABI, 2, "pair", pair_fields};

static void pair_put(rask_out *out, const char *word, rask_ts at)
{
    assert_int_equal(rask_out_begin(out, &pair_schema), 0);
    if (word)
        rask_out_string(out, 0, rask_str_of(word));
    else
        rask_out_null(out, 0);
    rask_out_i64(out, 1, at);
    assert_int_equal(rask_out_end(out), 0);
}

struct kept { /* what an engine keeps of a sink at a barrier */
    struct bytes items[64];
    uint32_t count;
};

static int keep(struct rask_committables *out, const void *data, size_t len)
{
    struct kept *k = out->engine;

    assert_true(k->count < 64);
    bytes_add(&k->items[k->count++], data, len);
    return 0;
}

static void kept_release(struct kept *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        bytes_release(&k->items[i]);
    *k = (struct kept){0};
}

static const rask_sink *sink_of(struct harness *h)
{
    return h->connector->sink;
}

struct options {
    const char *bucket, *bucket_time, *roll_bytes;
    bool roll_at_checkpoint;
};

static struct harness *sink_open(const char *folder, struct options o)
{
    struct harness *h = h_new("files", &pair_schema);

    h_property(h, "path", folder);
    h_property(h, "bucket", o.bucket ? o.bucket : "");
    if (o.bucket_time)
        h_property(h, "bucket_time", o.bucket_time);
    h_property(h, "roll_bytes", o.roll_bytes ? o.roll_bytes : "1000000");
    h_property(h, "roll_ms", "60000");
    h_property(h, "inactivity_ms", "10000");
    h_property(h, "roll_at_checkpoint", o.roll_at_checkpoint ? "true" : "false");
    h->ctx.self = mem_alloc(sink_of(h)->self_size);
    (void)!sink_of(h)->open(&h->ctx);
    return h;
}

static int put(struct harness *h, const char *word, rask_ts at)
{
    int rc;

    pair_put(h->ctx.out, word, at);
    h_full(h->ctx.out, h);
    rc = sink_of(h)->write(&h->ctx, h->batches[h->batch_count - 1]);
    h_drop_rows(h);
    return rc;
}

/* The barrier; what was kept before is forgotten. */
static void barrier(struct harness *h, struct kept *promises, struct kept *saved)
{
    struct rask_committables p = {keep, promises}, s = {keep, saved};

    kept_release(promises);
    kept_release(saved);
    assert_int_equal(sink_of(h)->flush(&h->ctx), 0);
    assert_int_equal(sink_of(h)->prepare(&h->ctx, &p), 0);
    assert_int_equal(sink_of(h)->save(&h->ctx, &s), 0);
}

static rask_bytes item(const struct kept *k, uint32_t i)
{
    return (rask_bytes){(const char *)k->items[i].data, (uint32_t)k->items[i].len};
}

static int commit(struct harness *h, const struct kept *promises)
{
    int rc = 0;

    for (uint32_t i = 0; i < promises->count && rc == 0; i++)
        rc = sink_of(h)->commit(&h->ctx, item(promises, i));
    return rc;
}

static void restore(struct harness *h, const struct kept *saved)
{
    for (uint32_t i = 0; i < saved->count; i++)
        assert_int_equal(sink_of(h)->restore(&h->ctx, item(saved, i)), 0);
}

static void sink_close(struct harness *h)
{
    sink_of(h)->close(&h->ctx);
    h_free(h);
}

/* Content of the committed parts (or of those in progress) of a folder, in the order of their names; how many. */
static int parts(const char *folder, bool committed, struct bytes *text)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), found = 0;

    bytes_clear(text);
    bytes_add_str(text, "");
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;

        if (strstr(name, "part-") && (name[0] != '.') == committed) {
            struct bytes one = {0};
            char path[4400];

            snprintf(path, sizeof(path), "%s/%s", folder, name);
            file_get(path, &one);
            bytes_add(text, one.data, one.len);
            bytes_release(&one);
            found++;
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return found;
}

#define assert_parts(folder, committed, count, expected)                                                                \
    do {                                                                                                                \
        struct bytes parts_ = {0};                                                                                      \
        assert_int_equal(parts(folder, committed, &parts_), count);                                                     \
        assert_string_equal(parts_.data, expected);                                                                     \
        bytes_release(&parts_);                                                                                         \
    } while (0)

static void a_part_is_seen_when_its_checkpoint_is_complete(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){.roll_at_checkpoint = true});

    assert_int_equal(put(h, "a", 1), 0);
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 1);
    assert_int_equal(saved.count, 0);
    assert_int_equal(put(h, "b", 2), 0);
    assert_parts(folder, true, 0, "");
    assert_int_equal(commit(h, &promises), 0);
    assert_parts(folder, true, 1, "a,1970-01-01 00:00:00.001\n");
    assert_int_equal(commit(h, &promises), 0); /* again */
    assert_parts(folder, true, 1, "a,1970-01-01 00:00:00.001\n");
    assert_int_equal(sink_of(h)->finish(&h->ctx), 0);
    barrier(h, &promises, &saved);
    assert_int_equal(commit(h, &promises), 0);
    assert_parts(folder, true, 2, "a,1970-01-01 00:00:00.001\nb,1970-01-01 00:00:00.002\n");
    assert_parts(folder, false, 0, "");
    kept_release(&promises);
    sink_close(h);
}

static void an_open_part_goes_on_after_a_failure_at_the_bytes_of_the_checkpoint(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){0}), *h2;

    assert_int_equal(put(h, "a", 1), 0);
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 0);
    assert_int_equal(saved.count, 1);
    assert_int_equal(put(h, "lost", 2), 0); /* behind the checkpoint: read again by the next attempt */
    assert_int_equal(sink_of(h)->flush(&h->ctx), 0);
    for (int attempt = 0; attempt < 2; attempt++) { /* the second fails before its first checkpoint */
        h2 = sink_open(folder, (struct options){0});
        restore(h2, &saved);
        assert_int_equal(put(h2, "b", 3), 0);
        if (attempt == 0)
            sink_close(h2);
    }
    assert_int_equal(put(h, "zombie", 4), 0); /* the first attempt was only slow */
    assert_int_equal(sink_of(h)->flush(&h->ctx), 0);
    assert_int_equal(sink_of(h2)->finish(&h2->ctx), 0);
    barrier(h2, &promises, &saved);
    assert_int_equal(promises.count, 2); /* a name, and the removal of the part that was copied */
    assert_int_equal(commit(h2, &promises), 0);
    assert_int_equal(commit(h2, &promises), 0);
    assert_parts(folder, true, 1, "a,1970-01-01 00:00:00.001\nb,1970-01-01 00:00:00.003\n");
    kept_release(&promises);
    kept_release(&saved);
    sink_close(h);
    sink_close(h2);
}

static void parts_of_two_writers_meet_in_one_after_rescaling(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved[2] = {0};
    struct harness *h[2], *one = sink_open(folder, (struct options){0});

    for (int i = 0; i < 2; i++) {
        h[i] = sink_open(folder, (struct options){0});
        assert_int_equal(put(h[i], "a", i), 0);
        barrier(h[i], &promises, &saved[i]);
        restore(one, &saved[i]);
    }
    assert_int_equal(put(one, "b", 2), 0);
    assert_int_equal(sink_of(one)->finish(&one->ctx), 0);
    barrier(one, &promises, &saved[0]);
    assert_int_equal(promises.count, 4);
    assert_int_equal(commit(one, &promises), 0);
    {
        struct bytes text = {0};

        assert_int_equal(parts(folder, true, &text), 2);
        assert_non_null(strstr((char *)text.data, "00.000\n"));
        assert_non_null(strstr((char *)text.data, "00.001\n"));
        assert_int_equal(text.len, strlen("a,1970-01-01 00:00:00.001\n") * 3);
        bytes_release(&text);
    }
    assert_parts(folder, false, 0, "");
    for (int i = 0; i < 2; i++) {
        sink_close(h[i]);
        kept_release(&saved[i]);
    }
    kept_release(&promises);
    sink_close(one);
}

static void parts_end_by_size_age_and_idleness(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){.roll_bytes = "40"});

    assert_int_equal(put(h, "one", 1), 0);
    assert_int_equal(put(h, "two", 2), 0); /* 54 bytes */
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 1);
    assert_int_equal(put(h, "three", 3), 0);
    h->now += 9999;
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 0);
    h->now += 1; /* ten seconds without a row */
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 1);
    kept_release(&promises);
    sink_close(h);
    h = sink_open(folder, (struct options){0});
    for (int i = 0; i < 8; i++) {
        assert_int_equal(put(h, "x", 3), 0);
        h->now += 8000;
    }
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, 1); /* a minute old, never idle */
    kept_release(&promises);
    kept_release(&saved);
    sink_close(h);
}

static void rows_go_to_the_folders_of_their_cells_and_times(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){.bucket = "w={word}/%Y-%m-%d", .bucket_time = "at"});
    static const struct {
        const char *word, *folder;
        rask_ts at;
    } rows[] = {{"a", "w=a/1970-01-01", 0},
                {"a", "w=a/1969-12-31", -1},
                {"../../etc", "w=%2E.%2F..%2Fetc/1970-01-01", 1},
                {"..", "w=%2E./1970-01-01", 1},
                {"", "w=__empty__/1970-01-01", 1},
                {NULL, "w=__null__/1970-01-01", 1},
                {"50%", "w=50%25/2001-09-09", 1000000000000}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(put(h, rows[i].word, rows[i].at), 0);
    assert_int_equal(sink_of(h)->finish(&h->ctx), 0);
    barrier(h, &promises, &saved);
    assert_int_equal(promises.count, ARRAY_LEN(rows));
    assert_int_equal(commit(h, &promises), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bytes text = {0};
        char path[4400];

        snprintf(path, sizeof(path), "%s/%s", folder, rows[i].folder);
        assert_int_equal(parts(path, true, &text), 1);
        bytes_release(&text);
    }
    kept_release(&promises);
    sink_close(h);
}

static void bad_templates_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *bucket, *time, *says;
    } bad[] = {{"{nobody}", NULL, "no such column"}, {"{word", NULL, "without its }"},      {"%Q", NULL, "directive \"%Q\""},
               {"a//b", NULL, "empty folder"},        {"../x", NULL, "\"..\""},              {"x/", NULL, "empty folder"},
               {"%Y", "word", "no TIMESTAMP column"}, {"50%", NULL, "the directive \"%\""}, {"/abs", NULL, "empty folder"}};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct harness *h = sink_open(in_folder(state, "out"), (struct options){.bucket = bad[i].bucket, .bucket_time = bad[i].time});

        assert_int_not_equal(h->ctx.error.code, 0);
        assert_contains(h->ctx.error.text, bad[i].says);
        sink_close(h);
    }
}

static void a_promise_that_cannot_be_kept_says_why(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){.roll_at_checkpoint = true});
    struct part_promise p;

    assert_int_equal(put(h, "a", 1), 0);
    barrier(h, &promises, &saved);
    assert_true(part_promise_read(promises.items[0].data, promises.items[0].len, &p));
    assert_int_equal(truncate(p.inprogress, 3), 0);
    assert_int_not_equal(commit(h, &promises), 0);
    assert_contains(h->ctx.error.text, "does not have the 26 bytes");
    h->ctx.error = (struct err){0};
    assert_int_equal(unlink(p.inprogress), 0);
    assert_int_not_equal(commit(h, &promises), 0);
    assert_contains(h->ctx.error.text, "is gone");
    for (size_t i = 0; i < promises.items[0].len; i++) { /* no prefix is taken for one */
        struct part_promise q;

        assert_false(part_promise_read(promises.items[0].data, i, &q));
    }
    part_promise_release(&p);
    kept_release(&promises);
    sink_close(h);
}

static void a_saved_part_that_is_gone_or_short_fails_the_restore(void **state)
{
    const char *folder = in_folder(state, "out");
    struct kept promises = {0}, saved = {0};
    struct harness *h = sink_open(folder, (struct options){0}), *h2;
    char path[4400];

    assert_int_equal(put(h, "a", 1), 0);
    barrier(h, &promises, &saved);
    snprintf(path, sizeof(path), "%.*s", (int)(saved.items[0].len - 21), (char *)saved.items[0].data + 21);
    assert_int_equal(truncate(path, 3), 0);
    h2 = sink_open(folder, (struct options){0});
    assert_int_not_equal(sink_of(h2)->restore(&h2->ctx, item(&saved, 0)), 0);
    assert_contains(h2->ctx.error.text, "is shorter than it was at the checkpoint");
    h2->ctx.error = (struct err){0};
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(sink_of(h2)->restore(&h2->ctx, item(&saved, 0)), 0);
    assert_contains(h2->ctx.error.text, "is gone");
    h2->ctx.error = (struct err){0};
    assert_int_not_equal(sink_of(h2)->restore(&h2->ctx, (rask_bytes){"\1abc", 4}), 0);
    assert_contains(h2->ctx.error.text, "a form that this version does not know");
    kept_release(&saved);
    sink_close(h);
    sink_close(h2);
}

/* Their checksum is the checkpoint's: here they may only be refused, or mean other names. */
static void no_prefix_is_taken_for_a_promise_and_no_flipped_bit_hurts(void **state)
{
    struct bytes b = {0};
    struct part_promise p;

    (void)state;
    for (int final = 0; final < 2; final++) {
        bytes_clear(&b);
        part_promise(&b, "/out/.part-1.inprogress", final ? "/out/part-1" : NULL, 77);
        for (size_t len = 0; len < b.len; len++)
            assert_false(part_promise_read(b.data, len, &p));
        for (size_t bit = 0; bit < b.len * 8; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (part_promise_read(b.data, b.len, &p)) {
                assert_true(p.inprogress && *p.inprogress);
                part_promise_release(&p);
            }
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(part_promise_read(b.data, b.len, &p));
        assert_int_equal(p.len, 77);
        part_promise_release(&p);
    }
    bytes_release(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_part_is_seen_when_its_checkpoint_is_complete),
        TEST(an_open_part_goes_on_after_a_failure_at_the_bytes_of_the_checkpoint),
        TEST(parts_of_two_writers_meet_in_one_after_rescaling),
        TEST(parts_end_by_size_age_and_idleness),
        TEST(rows_go_to_the_folders_of_their_cells_and_times),
        TEST(bad_templates_are_refused_with_the_reason),
        TEST(a_promise_that_cannot_be_kept_says_why),
        TEST(a_saved_part_that_is_gone_or_short_fails_the_restore),
        TEST(no_prefix_is_taken_for_a_promise_and_no_flipped_bit_hurts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
