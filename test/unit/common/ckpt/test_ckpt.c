/* test_ckpt.c - _metadata and state files: there and back, every bit flipped, every length; what is carried and planned. */
#include <rask/operator.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/ckpt/ckpt_file.h"

static const uint8_t op_id[16] = "operator id 16";

static const rask_field fields[] = {{"n", RASK_T_BIGINT, 0, 0, 0, NULL}, {"s", RASK_T_STRING, 1, 0, 0, NULL}};
static const rask_schema row = {RASK_ABI, 2, "row", fields};
static const rask_schema key = {RASK_ABI, 1, "key", fields};

static struct ckpt_meta *meta_of(uint64_t checkpoint)
{
    struct ckpt_meta *m = ckpt_meta_new();
    struct ckpt_operator op = {.uid = "sum", .name = "sum of all", .parallelism = 2, .max_parallelism = 128};
    struct ckpt_state keyed = {.name = "total", .kind = RASK_VALUE, .key = &key, .value = &row, .ttl_ms = 5000};
    struct ckpt_state list = {.name = "splits", .kind = RASK_OPERATOR_LIST};

    memcpy(op.id, op_id, 16);
    memset(m->job, 7, 16);
    m->checkpoint = checkpoint;
    assert_int_equal(ckpt_meta_operator(m, &op), 0);
    assert_int_equal(ckpt_meta_state(m, 0, &keyed, NULL), 0);
    assert_int_equal(ckpt_meta_state(m, 0, &list, NULL), 0);
    return m;
}

static struct ckpt_section section_of(enum ckpt_section_kind kind, uint32_t first, uint32_t last, uint64_t from, uint64_t to)
{
    struct ckpt_section s = {.kind = kind, .state = "total", .hash_first = first, .hash_last = last, .from = from, .to = to,
                             .file = CKPT_NO_FILE};

    memcpy(s.operator_id, op_id, 16);
    return s;
}

static void add(struct ckpt_meta *m, enum ckpt_section_kind kind, uint32_t first, uint32_t last, uint64_t from, uint64_t to)
{
    struct ckpt_section s = section_of(kind, first, last, from, to);
    struct bytes record;

    bytes_init(&record);
    s.rows = 1;
    ckpt_record_add(&s, "payload", 7, CKPT_PLAIN, &record);
    s.data = (rask_bytes){(const char *)record.data, (uint32_t)record.len};
    ckpt_meta_add(m, &s);
    bytes_release(&record);
}

static void metadata_comes_back(void **state)
{
    struct ckpt_meta *m = meta_of(9), *back = NULL;
    struct ckpt_section s = section_of(CKPT_DELTA, 5, 10, 3, 9);
    struct bytes out, again;
    struct err err = {0};

    (void)state;
    bytes_init(&out);
    bytes_init(&again);
    m->extra = (rask_bytes){"extra", 5};
    m->job_name = "job";
    s.file = ckpt_meta_file(m, "../shared/1-9-0.state", 1000, 77);
    s.offset = 56;
    s.raw_bytes = s.rows = 10;
    s.stored_bytes = 130;
    ckpt_meta_add(m, &s);
    add(m, CKPT_IMAGE, 11, 20, 0, 9);
    ckpt_meta_pack(m, &out);
    assert_int_equal(ckpt_meta_unpack(out.data, out.len, "here", &back, &err), 0);
    ckpt_meta_pack(back, &again);
    assert_int_equal(out.len, again.len);
    assert_memory_equal(out.data, again.data, out.len);
    assert_int_equal(back->operators[0].states[0].ttl_ms, 5000);
    assert_true(schema_equal(back->operators[0].states[0].value, &row));
    assert_int_equal(back->sections[0].offset, 56);
    assert_int_equal(back->sections[1].data.len, back->sections[1].stored_bytes);
    ckpt_meta_free(back);
    for (size_t i = 0; i < out.len * 8; i++) { /* every bit */
        struct ckpt_meta *bad = NULL;

        out.data[i / 8] ^= (uint8_t)(1u << (i % 8));
        err.text[0] = 0;
        assert_int_not_equal(ckpt_meta_unpack(out.data, out.len, "here", &bad, &err), 0);
        assert_non_null(strstr(err.text, "here"));
        out.data[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t len = 0; len < out.len; len++) {
        struct ckpt_meta *bad = NULL;

        assert_int_not_equal(ckpt_meta_unpack(out.data, len, "here", &bad, &err), 0);
    }
    bytes_release(&out);
    bytes_release(&again);
    ckpt_meta_free(m);
}

static void file_of(struct bytes *out, enum ckpt_codec codec)
{
    struct ckpt_file_head head = {.checkpoint = 4, .worker = 1, .created_ms = 12345};
    struct ckpt_writer *w = ckpt_writer_new(&head, codec);
    struct ckpt_meta *m = meta_of(4);
    char payload[300];

    memset(payload, 'a', sizeof(payload));
    ckpt_writer_begin(w, out);
    for (uint32_t i = 0; i < 3; i++) {
        struct ckpt_section s = section_of(CKPT_DELTA, i, i, 1, 4);

        s.rows = i;
        ckpt_writer_section(w, &s, payload, i * 100, out);
        assert_int_equal(s.codec, i > 0 ? codec : CKPT_PLAIN);
    }
    ckpt_writer_end(w, m, out);
    assert_int_equal(ckpt_writer_size(w), out->len);
    ckpt_writer_free(w);
    ckpt_meta_free(m);
}

static void file_is_checked(void **state)
{
    (void)state;
    for (int codec = CKPT_PLAIN; codec <= CKPT_ZSTD; codec++) {
        struct ckpt_meta *m = NULL;
        struct err err = {0};
        struct bytes out;

        bytes_init(&out);
        file_of(&out, (enum ckpt_codec)codec);
        assert_int_equal(ckpt_file_check(out.data, out.len, "f", &m, &err), 0);
        assert_int_equal(m->section_count, 3);
        assert_int_equal(m->sections[2].raw_bytes, 200);
        assert_string_equal(m->operators[0].states[0].name, "total");
        ckpt_meta_free(m);
        for (size_t i = 0; i < out.len * 8; i++) {
            out.data[i / 8] ^= (uint8_t)(1u << (i % 8));
            err.text[0] = 0;
            assert_int_not_equal(ckpt_file_check(out.data, out.len, "f", NULL, &err), 0);
            assert_int_equal(strncmp(err.text, "f: ", 3), 0);
            out.data[i / 8] ^= (uint8_t)(1u << (i % 8));
        }
        for (size_t len = 0; len < out.len; len++)
            assert_int_not_equal(ckpt_file_check(out.data, len, "f", NULL, &err), 0);
        bytes_release(&out);
    }
}

/* Bytes and index are the same; names of another length come in between. */
static void sections_may_be_made_where_they_stand(void **state)
{
    struct ckpt_file_head head = {.checkpoint = 4, .worker = 1, .created_ms = 12345};
    struct ckpt_writer *w[2] = {ckpt_writer_new(&head, CKPT_PLAIN), ckpt_writer_new(&head, CKPT_PLAIN)};
    struct ckpt_state other = {.name = "a name that is rather long", .kind = RASK_VALUE, .key = &key, .value = &row};
    struct ckpt_meta *m = meta_of(4);
    struct bytes out[2];
    char payload[300];

    (void)state;
    assert_int_equal(ckpt_meta_state(m, 0, &other, NULL), 0);
    memset(payload, 'a', sizeof(payload));
    for (int i = 0; i < 2; i++) {
        bytes_init(&out[i]);
        ckpt_writer_begin(w[i], &out[i]);
    }
    for (uint32_t i = 0; i < 5; i++) {
        struct ckpt_section s[2] = {section_of(CKPT_DELTA, i, i, 1, 4)};
        size_t begin = ckpt_writer_room(w[1], &out[1]);

        s[0].state = i % 2 ? "a name that is rather long" : "total";
        s[1] = s[0];
        ckpt_writer_section(w[0], &s[0], payload, i * 50, &out[0]);
        bytes_add(&out[1], payload, i * 50);
        ckpt_writer_made(w[1], &s[1], begin, &out[1]);
        assert_int_equal(s[0].stored_bytes, s[1].stored_bytes);
        assert_int_equal(s[0].offset, s[1].offset);
    }
    for (int i = 0; i < 2; i++) {
        ckpt_writer_end(w[i], m, &out[i]);
        assert_int_equal(ckpt_writer_crc(w[i]), hash_crc32c(0, out[i].data, out[i].len));
    }
    assert_int_equal(out[0].len, out[1].len);
    assert_memory_equal(out[0].data, out[1].data, out[0].len);
    for (int i = 0; i < 2; i++) {
        ckpt_writer_free(w[i]);
        bytes_release(&out[i]);
    }
    ckpt_meta_free(m);
}

static uint32_t count_to(const struct ckpt_meta *m, enum ckpt_section_kind kind, uint64_t to)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->section_count; i++)
        n += m->sections[i].kind == kind && m->sections[i].to == to;
    return n;
}

static void only_what_newer_images_do_not_hide_is_carried(void **state)
{
    struct ckpt_meta *one = meta_of(1), *two = meta_of(2), *three = meta_of(3);

    (void)state;
    add(one, CKPT_IMAGE, 0, 99, 0, 1);
    add(one, CKPT_IMAGE, 100, 199, 0, 1);
    assert_int_equal(ckpt_meta_carry(one, NULL, NULL, NULL, NULL), 0);
    add(two, CKPT_DELTA, 0, 199, 1, 2);
    add(two, CKPT_IMAGE, 0, 49, 0, 2);
    assert_int_equal(ckpt_meta_carry(two, one, NULL, NULL, NULL), 0);
    assert_int_equal(count_to(two, CKPT_IMAGE, 1), 2); /* 50 .. 99 is bare */
    add(three, CKPT_DELTA, 0, 199, 2, 3);
    add(three, CKPT_IMAGE, 50, 99, 0, 3);
    assert_int_equal(ckpt_meta_carry(three, two, NULL, NULL, NULL), 0);
    assert_int_equal(count_to(three, CKPT_IMAGE, 1), 1); /* 100 .. 199 */
    assert_int_equal(count_to(three, CKPT_IMAGE, 2), 1);
    assert_int_equal(count_to(three, CKPT_DELTA, 2), 1);
    assert_int_equal(count_to(three, CKPT_DELTA, 3), 1);
    ckpt_meta_free(one);
    ckpt_meta_free(two);
    ckpt_meta_free(three);
}

static void delta_without_its_base_is_refused(void **state)
{
    struct ckpt_meta *one = meta_of(1), *three = meta_of(3);
    struct err err = {0};

    (void)state;
    add(three, CKPT_DELTA, 0, 199, 2, 3);
    assert_int_equal(ckpt_meta_carry(three, one, NULL, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "since checkpoint 2"));
    assert_int_equal(ckpt_meta_carry(three, NULL, NULL, NULL, &err), ERR_INVALID);
    ckpt_meta_free(one);
    ckpt_meta_free(three);
}

static void plan_feeds_images_newest_first(void **state)
{
    const struct ckpt_section **plan;
    struct ckpt_meta *m = meta_of(5);
    struct arena arena;

    (void)state;
    arena_init(&arena);
    add(m, CKPT_DELTA, 0, 199, 4, 5);
    add(m, CKPT_DELTA, 0, 199, 1, 2);
    add(m, CKPT_IMAGE, 0, 199, 0, 1);
    add(m, CKPT_IMAGE, 0, 99, 0, 3);
    assert_int_equal(ckpt_plan(m, op_id, 0, 199, &arena, &plan), 4);
    assert_int_equal(plan[0]->to, 3);
    assert_int_equal(plan[1]->to, 1);
    assert_int_equal(plan[2]->to, 2);
    assert_int_equal(plan[3]->to, 5);
    assert_int_equal(ckpt_plan(m, op_id, 0, 99, &arena, &plan), 2); /* image 3 hides the rest */
    assert_int_equal(ckpt_plan(m, op_id, 200, 300, &arena, &plan), 0);
    arena_release(&arena);
    ckpt_meta_free(m);
}

static void two_schemas_of_one_name_are_an_error(void **state)
{
    struct ckpt_meta *m = meta_of(1);
    struct ckpt_state other = {.name = "total", .kind = RASK_VALUE, .key = &key, .value = &key};
    struct err err = {0};

    (void)state;
    assert_int_equal(ckpt_meta_state(m, 0, &other, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "n BIGINT NOT NULL, s STRING"));
    ckpt_meta_free(m);
}

/* What the engine keeps in a form of its own goes on with the same row only; an older version did not say which row it was. */
static void a_row_that_the_engine_keeps_is_the_same(void **state)
{
    struct ckpt_state has = {.name = "sum", .kind = RASK_AGGREGATING, .key = &key, .map_key = &row}, now = has, old = has;
    struct ckpt_meta *m = meta_of(9);
    enum schema_change change;
    struct err err = {0};

    (void)state;
    old.map_key = NULL;
    assert_int_equal(ckpt_state_match("s", &has, &now, &change, &err), 0);
    assert_int_equal(ckpt_state_match("s", &old, &now, &change, &err), 0);
    now.map_key = &key;
    assert_int_equal(ckpt_state_match("s", &has, &now, &change, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "the row of state \"sum\" is not the same"));
    assert_int_equal(ckpt_meta_state(m, 0, &has, NULL), 0);
    assert_int_equal(ckpt_meta_state(m, 0, &old, NULL), 0); /* carried over from an older version's */
    assert_int_equal(ckpt_meta_state(m, 0, &now, &err), ERR_INVALID);
    has.kind = now.kind = old.kind = RASK_MAP;
    assert_int_equal(ckpt_state_match("s", &old, &now, &change, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "the map key"));
    ckpt_meta_free(m);
}

/* Of tables nobody knows which states are in them; timers never are. */
static void only_what_holds_something_is_missed(void **state)
{
    struct ckpt_meta *m = meta_of(9);
    struct ckpt_section s = section_of(CKPT_IMAGE, 0, 9, 0, 9);
    struct ckpt_state timers = {.name = CKPT_TIMERS "event-time", .kind = RASK_MAP, .key = &key, .map_key = &key, .value = &row};
    const struct ckpt_operator *op = &m->operators[0];
    struct err err = {0};

    (void)state;
    assert_int_equal(ckpt_meta_state(m, 0, &timers, NULL), 0);
    ckpt_meta_add(m, &s); /* without a row */
    assert_int_equal(ckpt_state_gone(NULL, op, "total", &err), ERR_INVALID);
    assert_int_equal(ckpt_state_gone(m, op, "total", &err), 0);
    assert_false(ckpt_holds(m, op_id, NULL));
    s = section_of(CKPT_TABLE, 0, 9, 0, 9);
    ckpt_meta_add(m, &s); /* a MANIFEST of none */
    assert_false(ckpt_holds(m, op_id, NULL));
    s.edge = 5;
    ckpt_meta_add(m, &s);
    assert_true(ckpt_holds(m, op_id, NULL));
    assert_int_equal(ckpt_state_gone(m, op, "total", &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "declares none of this name"));
    assert_int_equal(ckpt_state_gone(m, op, CKPT_TIMERS "event-time", &err), 0);
    s = section_of(CKPT_DELTA, 0, 9, 3, 9);
    s.state = timers.name;
    s.rows = 1;
    ckpt_meta_add(m, &s);
    assert_int_equal(ckpt_state_gone(m, op, CKPT_TIMERS "event-time", &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "may have timers"));
    assert_int_equal(ckpt_state_gone(m, op, CKPT_TIMERS "processing-time", &err), 0);
    assert_false(ckpt_holds(m, (const uint8_t *)"another operator", NULL));
    ckpt_meta_free(m);
}

static void groups_tile_the_hash_space(void **state)
{
    static const uint32_t maxima[] = {1, 2, 3, 7, 128, 1000, 32768};

    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(maxima); i++) {
        uint64_t next = 0;

        for (uint32_t g = 0; g < maxima[i]; g++) {
            assert_int_equal(ckpt_hash_first(g, maxima[i]), next);
            assert_int_equal((uint64_t)ckpt_hash_first(g, maxima[i]) * maxima[i] >> 32, g);
            assert_int_equal((uint64_t)ckpt_hash_last(g, maxima[i]) * maxima[i] >> 32, g);
            next = (uint64_t)ckpt_hash_last(g, maxima[i]) + 1;
        }
        assert_int_equal(next, (uint64_t)1 << 32);
        for (uint32_t p = 1; p <= 5 && p <= maxima[i]; p++) {
            uint64_t begin = 0;

            for (uint32_t s = 0; s < p; s++) {
                uint32_t first, last;

                ckpt_hash_range(s, p, maxima[i], &first, &last);
                assert_int_equal(first, begin);
                begin = (uint64_t)last + 1;
            }
            assert_int_equal(begin, (uint64_t)1 << 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_comes_back),
        cmocka_unit_test(file_is_checked),
        cmocka_unit_test(sections_may_be_made_where_they_stand),
        cmocka_unit_test(only_what_newer_images_do_not_hide_is_carried),
        cmocka_unit_test(delta_without_its_base_is_refused),
        cmocka_unit_test(plan_feeds_images_newest_first),
        cmocka_unit_test(two_schemas_of_one_name_are_an_error),
        cmocka_unit_test(a_row_that_the_engine_keeps_is_the_same),
        cmocka_unit_test(only_what_holds_something_is_missed),
        cmocka_unit_test(groups_tile_the_hash_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
