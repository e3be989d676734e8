/* Keyed state against a naive model: random operations, growth, deletion, budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state.h"

#define KEYS 3000

static uint64_t seed;
static uint64_t draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static const rask_state decl[] = {{.kind = RASK_VALUE, .name = "fixed"}, {.kind = RASK_VALUE, .name = "bytes"}, {0}};

/* Keys of many lengths. */
static rask_str key_of(uint32_t i, char text[64])
{
    int n = snprintf(text, 64, "%.*s%u", (int)(i % 17), "aaaaaaaaaaaaaaaaa", i);

    return (rask_str){text, (uint32_t)n};
}
static uint64_t hash_of(rask_str key)
{
    return hash_xxh3(key.data, key.len);
}

struct model {
    bool has, has_bytes;
    int64_t value;
    uint8_t bytes[300];
    size_t len;
};

static void step(struct wk_state *s, struct model *m, uint32_t i)
{
    char text[64];
    rask_str key = key_of(i, text);
    uint64_t hash = hash_of(key);
    bool created;
    size_t len = 0;
    int64_t *v;

    switch (draw(6)) {
    case 0:
    case 1:
        v = wk_state_get(s, 0, hash, key, sizeof(*v), true, &created, NULL);
        assert_non_null(v);
        assert_int_equal(created, !m->has);
        assert_int_equal(*v, m->has ? m->value : 0);
        *v += (int64_t)draw(100);
        m->value = *v;
        m->has = true;
        break;
    case 2:
        v = wk_state_get(s, 0, hash, key, sizeof(*v), false, NULL, NULL);
        assert_int_equal(v != NULL, m->has);
        assert_true(!v || *v == m->value);
        break;
    case 3:
        assert_int_equal(wk_state_clear(s, 0, hash, key, NULL), 0);
        m->has = false;
        m->value = 0;
        break;
    case 4:
        m->len = draw(sizeof(m->bytes));
        memset(m->bytes, (int)draw(256), m->len);
        m->has_bytes = true;
        assert_int_equal(wk_state_write(s, 1, hash, key, m->bytes, m->len, NULL), 0);
        break;
    default: {
        const void *data = wk_state_read(s, 1, hash, key, &len);

        assert_int_equal(data != NULL, m->has_bytes);
        if (data) {
            assert_int_equal(len, m->len);
            assert_memory_equal(data, m->bytes, len);
        }
    }
    }
}

/* Of `keys` keys whose hashes have nothing in the bits of `alike`. */
static void random_operations(uint32_t keys, uint64_t alike, uint32_t operations)
{
    struct wk_state_budget budget = {.limit_bytes = 1u << 30};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget});
    struct model *models = mem_alloc_array(keys, sizeof(*models));
    uint32_t *numbers = mem_alloc_array(keys, sizeof(*numbers));
    uint64_t live = 0;
    char text[64];

    for (uint32_t k = 0, n = 0; k < keys; n++)
        if ((hash_of(key_of(n, text)) & alike) == 0)
            numbers[k++] = n;
    seed = alike;
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t k = (uint32_t)draw(keys);

        step(s, &models[k], numbers[k]);
    }
    for (uint32_t k = 0; k < keys; k++)
        live += models[k].has;
    assert_int_equal(wk_state_count(s, 0), live);
    wk_state_free(s);
    assert_int_equal(budget.used_bytes, 0);
    mem_free(numbers);
    mem_free(models);
}

static void follows_a_model(void **state)
{
    (void)state;
    random_operations(KEYS, 0, 200000);
}
/* In buckets that follow a full one, with tags that say little: bits 0 .. 2 and 32 .. 37. */
static void follows_a_model_when_hashes_collide(void **state)
{
    (void)state;
    random_operations(500, UINT64_C(0x3f00000007), 100000);
}

static void refuses_over_its_budget_with_a_sentence(void **state)
{
    struct wk_state_budget budget = {.limit_bytes = 100000};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget});
    struct err err = {0};
    char text[64];
    uint32_t i = 0;

    (void)state;
    for (; i < 100000; i++) {
        rask_str key = key_of(i, text);

        if (!wk_state_get(s, 0, hash_of(key), key, 8, true, NULL, &err))
            break;
    }
    assert_true(i > 500 && i < 5000);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.text, "\"fixed\""));
    assert_non_null(strstr(err.text, "taskmanager.memory.managed.fraction"));
    /* what was there stays readable, and room that is given back is used again */
    assert_non_null(wk_state_get(s, 0, hash_of(key_of(0, text)), key_of(0, text), 8, false, NULL, NULL));
    assert_true(budget.used_bytes <= budget.limit_bytes);
    wk_state_free(s);
    assert_int_equal(budget.used_bytes, 0);
}

/* A seed of the simulator, and a user, may count on it. */
static void how_much_fits_does_not_depend_on_addresses(void **state)
{
    void *between[16];
    char text[64];

    (void)state;
    for (uint32_t run = 0, first = 0; run < ARRAY_LEN(between); run++) {
        struct wk_state_budget budget = {.limit_bytes = 4096};
        struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget});
        struct err err = {0};
        uint32_t i = 0;

        between[run] = mem_alloc(24 + run * 16); /* moves what is allocated next */
        while (wk_state_get(s, 0, hash_of(key_of(i, text)), key_of(i, text), 8, true, NULL, &err))
            i++;
        if (run == 0)
            first = i;
        assert_int_equal(i, first);
        wk_state_free(s);
    }
    for (uint32_t run = 0; run < ARRAY_LEN(between); run++)
        mem_free(between[run]);
}

static void values_stay_where_they_are_while_the_table_grows(void **state)
{
    struct wk_state_budget budget = {.limit_bytes = 1u << 30};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget});
    char text[64];
    rask_str first = key_of(7, text);
    char kept[64];
    int64_t *v;

    (void)state;
    memcpy(kept, text, sizeof(kept));
    first.data = kept;
    v = wk_state_get(s, 0, hash_of(first), first, sizeof(*v), true, NULL, NULL);
    *v = 42;
    for (uint32_t i = 100; i < 50000; i++) {
        rask_str key = key_of(i, text);

        assert_non_null(wk_state_get(s, 0, hash_of(key), key, sizeof(*v), true, NULL, NULL));
    }
    assert_ptr_equal(wk_state_get(s, 0, hash_of(first), first, sizeof(*v), false, NULL, NULL), v);
    assert_int_equal(*v, 42);
    wk_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_a_model),
        cmocka_unit_test(follows_a_model_when_hashes_collide),
        cmocka_unit_test(refuses_over_its_budget_with_a_sentence),
        cmocka_unit_test(how_much_fits_does_not_depend_on_addresses),
        cmocka_unit_test(values_stay_where_they_are_while_the_table_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
