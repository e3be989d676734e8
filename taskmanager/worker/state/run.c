/*
 * run.c - values of many keys: lines of the cache are fetched for all keys of a run before the first is looked at.
 *
 * What is asked of each key is asked without a branch: words differ in length, keys in what they find, and a branch that is
 * guessed wrong costs more than a lookup.  Keys for which the answer is not the usual one leave a bit, and are looked at again.
 * One body, compiled for what the processor may have.  Runs in the task's step.
 */
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__) && !defined(WITHOUT_VECTORS)
#define VECTORS
#include <immintrin.h>
#endif

#include "common/base/check.h"
#include "taskmanager/worker/state/state_private.h"

#define INLINE static inline __attribute__((always_inline))

/* In place of what is not there: an entry of no epoch, a bucket of a group without an index. */
static struct {
    struct entry entry;
    uint64_t key[KEY_HEAD_BYTES / 8]; /* which is read before it is known to be of use */
} nothing;
static const struct bucket no_bucket;

/* What is the same for all keys of a table, in registers. */
struct place {
    const struct group *groups; /* as if the first group of all were there */
    uint64_t max_parallelism;
};

INLINE struct place place_of(const struct table *t)
{
    return (struct place){t->groups - t->state->first_group, t->state->options.max_parallelism};
}

INLINE const struct bucket *bucket_of(struct place p, uint64_t hash)
{
    const struct group *g = p.groups + ((hash >> 32) * p.max_parallelism >> 32);

    return g->index ? &g->index[hash & g->mask] : &no_bucket;
}

/* The entry whose tag is the key's, in the key's own bucket: nearly always the one sought. It is not read. */
INLINE struct entry *likely_plain(const struct bucket *b, uint64_t hash)
{
    uint32_t match = bucket_match(b, tag_of(hash));

    return match ? bucket_entry(b, match_first(match)) : &nothing.entry;
}

INLINE void fetch_entry(const struct entry *e, size_t last_byte)
{
    __builtin_prefetch(e, 0, NEAR);
    if (last_byte >= LINE_BYTES) /* else all of them lie in one line each */
        __builtin_prefetch((const char *)e + last_byte, 0, NEAR);
}

/* ---- keys that are used one by one ---- */

void wk_state_fetch(struct wk_state *s, int state, const uint64_t *hash, uint32_t count)
{
    const struct table *t = wk_table_of(s, state);

    for (uint32_t i = 0; t->groups && i < count; i++)
        __builtin_prefetch(bucket_of(place_of(t), hash[i]), 0, NEAR);
}

void wk_state_fetch_entries(struct wk_state *s, int state, const uint64_t *hash, uint32_t count)
{
    const struct table *t = wk_table_of(s, state);

    for (uint32_t i = 0; t->groups && i < count; i++)
        fetch_entry(likely_plain(bucket_of(place_of(t), hash[i]), hash[i]), sizeof(struct entry) + KEY_HEAD_BYTES);
}

void wk_state_prepare(struct wk_state *s, int state, const uint64_t *hash, uint32_t count)
{
    for (uint32_t i = 0, n; i < count; i += n) {
        n = MIN(count - i, (uint32_t)KEY_RUN_ROWS);
        if (i == 0)
            wk_state_fetch(s, state, hash, n);
        wk_state_fetch(s, state, hash + i + n, MIN(count - i - n, (uint32_t)KEY_RUN_ROWS));
        wk_state_fetch_entries(s, state, hash + i, n);
    }
}

/* ---- runs ---- */

/* Of the run that begins at row `from`. */
INLINE uint32_t rows_from(const struct wk_runs *r, uint32_t from)
{
    return from < r->rows ? MIN(r->rows - from, (uint32_t)KEY_RUN_ROWS) : 0;
}

static void find_buckets(struct wk_runs *r, const struct table *t, uint32_t from)
{
    const void **bucket = r->bucket[from / KEY_RUN_ROWS % 2];
    uint32_t rows = rows_from(r, from);
    struct place place = place_of(t);
    const uint64_t *hash = r->hash + from;

    for (uint32_t i = 0; i < rows; i++) {
        const struct bucket *b = bucket_of(place, hash[i]);

        bucket[i] = b;
        __builtin_prefetch(b, 0, NEAR);
    }
}

/* The parts of a header's second word that say: such a key, a value of that size, and there it is. */
#define SECOND_KEY_LEN 16 /* bits below it */
#define SECOND_VALUE_LEN 32
#define SECOND_CAP 48
#define SECOND_FRESH (UINT64_C(1) << 26)
#define SECOND_MASK (UINT64_C(0xff) << SECOND_KEY_LEN | UINT64_C(3) << 24 | UINT64_C(0xffff) << SECOND_VALUE_LEN)

_Static_assert(offsetof(struct entry, dead) == offsetof(struct entry, born) + 4, "read as one word");
_Static_assert(offsetof(struct entry, key_len) == 10 && offsetof(struct entry, value_len) == 12, "read as one word");
_Static_assert(sizeof(struct entry) == 16 && ENTRY_PUT == 0, "two words, and a kind of 0 goes unsaid");

static void find_entries_plain(struct wk_runs *r, uint32_t from)
{
    const void *const *bucket = r->bucket[from / KEY_RUN_ROWS % 2];
    void **entry = r->entry[from / KEY_RUN_ROWS % 2];
    uint32_t rows = rows_from(r, from);
    const uint64_t *hash = r->hash + from;
    size_t last_byte = r->last_byte;

    for (uint32_t i = 0; i < rows; i++) {
        struct entry *e = likely_plain(bucket[i], hash[i]);

        entry[i] = e;
        fetch_entry(e, last_byte);
    }
}

/* Of this epoch, current, there, with such a head of the key and a value of `size` bytes: else the bit of its key is set. */
static uint64_t check_entries_plain(const struct wk_runs *r, const struct key_run *keys, size_t size, void **values)
{
    void *const *entry = r->entry[r->at / KEY_RUN_ROWS % 2];
    uint64_t others = 0, epoch = r->epoch, put = (uint64_t)size << SECOND_VALUE_LEN; /* too large a size fits no entry */
    size_t before = sizeof(struct entry) + r->time_bytes;

    for (uint32_t i = 0; i < keys->rows; i++) {
        struct entry *e = entry[i];
        uint32_t len = keys->len[i], next = len > 8;
        const uint64_t *head = keys->head[i], *key = (const uint64_t *)(const void *)(e + 1);
        uint64_t first, second, differs;

        memcpy(&first, e, sizeof(first));
        memcpy(&second, (const char *)e + 8, sizeof(second));
        differs = (first ^ epoch) | ((second & SECOND_MASK) ^ (put | (uint64_t)len << SECOND_KEY_LEN)) | (key[0] ^ head[0]) |
                  (key[next] ^ head[next]);
        others |= (uint64_t)(differs != 0) << i;
        values[i] = (char *)e + before + key_room(len);
    }
    return others;
}

#ifdef VECTORS
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2")))

/* tag_of each hash; what is behind the last one is of no use. */
AVX512 static inline void find_tags_avx512(const uint64_t *hash, uint32_t rows, uint16_t tag[KEY_RUN_ROWS])
{
    for (uint32_t i = 0; i < rows; i += 8) {
        __mmask8 there = (__mmask8)_bzhi_u32(0xff, MIN(rows - i, 8u));
        __m128i tags = _mm512_cvtepi64_epi16(_mm512_srli_epi64(_mm512_maskz_loadu_epi64(there, hash + i), TAG_BIT));

        tags = _mm_mask_mov_epi16(tags, _mm_testn_epi16_mask(tags, tags), _mm_set1_epi16((short)tag_of(0)));
        _mm_storeu_si128((__m128i *)(void *)(tag + i), tags);
    }
}

AVX512 static void find_entries_avx512(struct wk_runs *r, uint32_t from)
{
    const void *const *bucket = r->bucket[from / KEY_RUN_ROWS % 2];
    void **entry = r->entry[from / KEY_RUN_ROWS % 2];
    uint32_t rows = rows_from(r, from);
    size_t last_byte = r->last_byte;
    uint16_t tag[KEY_RUN_ROWS];

    find_tags_avx512(r->hash + from, rows, tag);
    for (uint32_t i = 0; i < rows; i++) {
        const struct bucket *b = bucket[i];
        __m128i tags = _mm_loadu_si128((const __m128i *)(const void *)b->tag);
        uint32_t match = _mm_cmpeq_epi16_mask(tags, _mm_set1_epi16((short)tag[i]));
        struct entry *e = match ? bucket_entry(b, (uint32_t)__builtin_ctz(match)) : &nothing.entry;

        entry[i] = e;
        fetch_entry(e, last_byte);
    }
}

/* Eight keys at a time: the second word that each one's header should have, and where its value is. Returns who has more than 8 bytes. */
AVX512 static inline uint64_t expect_avx512(const struct key_run *keys, void *const *entry, uint64_t put, size_t before,
                                            uint64_t second[KEY_RUN_ROWS], void **values)
{
    const __m512i one = _mm512_set1_epi64(1), seven = _mm512_set1_epi64(7);
    __m512i put_8 = _mm512_set1_epi64((long long)put), before_8 = _mm512_set1_epi64((long long)before + 1);
    uint64_t more = 0;

    for (uint32_t i = 0; i < keys->rows; i += 8) {
        __mmask8 there = (__mmask8)_bzhi_u32(0xff, MIN(keys->rows - i, 8u));
        __m512i len = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(there, keys->len + i));
        __m512i room = _mm512_or_si512(_mm512_sub_epi64(_mm512_max_epu64(len, one), one), seven); /* key_room, less 1 */
        __m512i at = _mm512_add_epi64(_mm512_maskz_loadu_epi64(there, entry + i), _mm512_add_epi64(room, before_8));

        _mm512_storeu_si512(second + i, _mm512_or_si512(put_8, _mm512_slli_epi64(len, SECOND_KEY_LEN)));
        _mm512_mask_storeu_epi64(values + i, there, at);
        more |= (uint64_t)_mm512_cmpgt_epu64_mask(len, _mm512_set1_epi64(8)) << i;
    }
    return more;
}

/* As above: header and key of an entry are compared at once, a bit for each of their four words. */
AVX512 static uint64_t check_entries_avx512(const struct wk_runs *r, const struct key_run *keys, size_t size, void **values)
{
    const __m256i of_use = _mm256_set_epi64x(-1, -1, (long long)SECOND_MASK, -1);
    void *const *entry = r->entry[r->at / KEY_RUN_ROWS % 2];
    uint64_t second[KEY_RUN_ROWS], more, others;
    uint8_t differs[KEY_RUN_ROWS];
    __m512i words;

    more = expect_avx512(keys, entry, (uint64_t)size << SECOND_VALUE_LEN, sizeof(struct entry) + r->time_bytes, second, values);
    for (uint32_t i = 0; i < keys->rows; i++) {
        __m128i header = _mm_set_epi64x((long long)second[i], r->epoch);
        __m128i head = _mm_loadu_si128((const __m128i *)(const void *)keys->head[i]);
        __m256i wanted = _mm256_inserti128_si256(_mm256_castsi128_si256(header), head, 1);
        __m256i has = _mm256_loadu_si256((const __m256i *)entry[i]);

        differs[i] = _mm256_test_epi64_mask(_mm256_xor_si256(has, wanted), of_use);
    }
    words = _mm512_mask_mov_epi8(_mm512_set1_epi8(7), more, _mm512_set1_epi8(15)); /* a key of 8 bytes has no second word */
    others = _mm512_test_epi8_mask(_mm512_loadu_si512(differs), words);
    return _bzhi_u64(others, keys->rows);
}
#endif

/* Chosen once before main, read-only afterwards. */
static void (*find_entries_here)(struct wk_runs *, uint32_t) = find_entries_plain;
static uint64_t (*check_entries_here)(const struct wk_runs *, const struct key_run *, size_t, void **) = check_entries_plain;

__attribute__((constructor)) static void choose_forms(void)
{
#ifdef VECTORS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2")) {
        find_entries_here = find_entries_avx512;
        check_entries_here = check_entries_avx512;
    }
#endif
}

static struct entry *get_slow(struct table *t, uint64_t hash, const struct key *key, size_t size, struct err *err)
{
    struct group *g = wk_group_of(t, hash);
    uint64_t at = 0;
    struct entry *e;

    if (find_to_change(t, g, hash, key, true, &e, &at, err) != 0)
        return NULL;
    e = e ? wk_renew(t, g, at, e, size, size) : wk_insert(t, g, hash, key, size);
    if (!e)
        (void)wk_over_budget(t, entry_room(t, key->len, 0, size).bytes, err);
    return e;
}

/*
 * A new key of at most KEY_HEAD_BYTES; its value is zeroed.  Four words that nothing is read back from: a load that is wider
 * than the stores before it waits for them, and a call of memset costs more than all of it.
 */
INLINE void fill_short(uint64_t *e, uint64_t offset, uint32_t epoch, const uint64_t *head, uint64_t len, uint64_t size,
                       const struct entry_room *room)
{
    e[0] = epoch;
    e[1] = offset | len << SECOND_KEY_LEN | SECOND_FRESH | size << SECOND_VALUE_LEN | (uint64_t)room->cap << SECOND_CAP;
    e[2] = head[0];
    e[3] = head[1];
    if (room->bytes == LINE_BYTES)
        memset(e + 4, 0, LINE_BYTES / 2);
    else if (room->bytes > LINE_BYTES)
        memset(e + 4, 0, room->bytes - LINE_BYTES / 2);
}

/*
 * A new key where that is little work: there is room in page and index, and nothing of its tag where it is looked for.
 * NULL: the long way finds out.  The caller counts it for the table and the state. Keys of at most KEY_HEAD_BYTES.
 */
INLINE struct entry *insert_short(struct table *t, uint64_t hash, const uint64_t *head, uint32_t len, size_t size, uint32_t epoch,
                                  size_t *ret_bytes)
{
    struct group *g = wk_group_of(t, hash);
    struct entry_room room = entry_room(t, len, 0, size);
    uint64_t at = hash & g->mask;
    uint32_t free, distance = 0;
    struct entry *e;
    uint64_t offset;

    if (!g->index || !wk_index_holds(g->mask + 1, g->words + 1) || room.has_more ||
        (g->open_bytes < room.bytes && !group_open(g, room.bytes, epoch)))
        return NULL;
    for (;; at = (at + 1) & g->mask, distance++) {
        if (bucket_match(&g->index[at], tag_of(hash)))
            return NULL;
        free = bucket_match(&g->index[at], 0);
        if (free)
            break;
    }
    offset = (uint64_t)(g->open - (char *)g->tail);
    e = group_append(g, room.bytes);
    fill_short((uint64_t *)(void *)e, offset, epoch, head, len, size, &room);
    bucket_put(&g->index[at], match_first(free), tag_of(hash), next_of(hash, g->next_bit), distance, e);
    g->words++;
    g->keys++;
    *ret_bytes = room.bytes;
    return e;
}

/* New keys, of which a stream has many at its begin. The bits of all that need another look stay. */
static uint64_t insert_absent(const struct wk_runs *r, struct table *t, const struct key_run *keys, size_t size, void **values,
                              uint64_t others)
{
    void *const *entry = r->entry[r->at / KEY_RUN_ROWS % 2];
    uint64_t bytes = 0, made = 0;

    for (uint64_t left = t->cold ? 0 : others & ~keys->is_long; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        struct entry *e = NULL;
        size_t more = 0;

        if (entry[i] == &nothing.entry)
            e = insert_short(t, r->hash[r->at + i], keys->head[i], keys->len[i], size, r->epoch, &more);
        if (!e)
            continue;
        values[i] = value_of(t, e);
        bytes += more;
        made |= UINT64_C(1) << i;
    }
    t->keys += (uint64_t)__builtin_popcountll(made);
    t->state->appended += bytes;
    return others & ~made;
}

/* Keys of an older epoch become keys of this one: behind a barrier most are such. The bits of all that need another look stay. */
static uint64_t redate_older(const struct wk_runs *r, struct table *t, const struct key_run *keys, size_t size, uint64_t others)
{
    void *const *entry = r->entry[r->at / KEY_RUN_ROWS % 2];
    uint64_t put = (uint64_t)size << SECOND_VALUE_LEN, done;
    struct group *group[KEY_RUN_ROWS];
    struct entry *old[KEY_RUN_ROWS];
    uint32_t row[KEY_RUN_ROWS], n = 0;

    for (uint64_t left = others & ~keys->is_long; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left), len = keys->len[i];
        const uint64_t *head = keys->head[i];
        struct entry *e = entry[i];
        const uint64_t *key = (const uint64_t *)(const void *)(e + 1);
        uint64_t second;

        memcpy(&second, (const char *)e + 8, sizeof(second));
        if (e == &nothing.entry || (e->dead | ((second & SECOND_MASK) ^ (put | (uint64_t)len << SECOND_KEY_LEN)) | (key[0] ^ head[0]) |
            (key[len > 8] ^ head[len > 8])))
            continue;
        group[n] = wk_group_of(t, r->hash[r->at + i]);
        row[n] = i;
        old[n++] = e;
    }
    done = n > 0 ? wk_redate_all(t, group, old, n) : 0;
    for (; done; done &= done - 1)
        others &= ~(UINT64_C(1) << row[__builtin_ctzll(done)]);
    return others;
}

/*
 * The first change after a checkpoint marks the old entry dead, and that is counted in its page.  Heads of pages lie so that
 * they drive one another out of the cache.
 */
static void fetch_pages(const struct wk_runs *r, void *const *entry, uint64_t others)
{
    for (; others; others &= others - 1) {
        struct entry *e = entry[__builtin_ctzll(others)];

        if (e != &nothing.entry && e->born != r->epoch)
            __builtin_prefetch(page_of(e), 1, NEAR);
    }
}

/* A key that is long, absent or of an older epoch; by now a row before this one may have changed that. */
static struct entry *get_other(struct wk_runs *r, struct table *t, const struct key_run *keys, uint32_t i, size_t size,
                               struct err *err)
{
    struct key key = {.head = {keys->head[i][0], keys->head[i][1]}, .len = keys->len[i]};
    struct entry *e = r->entry[r->at / KEY_RUN_ROWS % 2][i];

    if (key.len > KEY_HEAD_BYTES)
        key.bytes = keys->text.data + keys->place[i];
    if (e == &nothing.entry || !is_current(e) || e->kind != ENTRY_PUT || !key_is(e, &key) || value_len_of(e) != size ||
        (e->born != r->epoch && !wk_redate(t, wk_group_of(t, r->hash[r->at + i]), e)))
        e = get_slow(t, r->hash[r->at + i], &key, size, err);
    CHECK(!e || value_len_of(e) == size);
    return e;
}

/* Of keys whose head is as it should be the rest is looked at; returns the bits of those that are not as usual. */
static uint64_t check_long(const struct wk_runs *r, const struct key_run *keys, uint64_t others)
{
    void *const *entry = r->entry[r->at / KEY_RUN_ROWS % 2];

    for (uint64_t left = keys->is_long & ~others; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left), len = keys->len[i];
        const uint8_t *has = (const uint8_t *)entry[i] + sizeof(struct entry), *wanted = keys->text.data + keys->place[i];
        uint32_t at = KEY_HEAD_BYTES;

        if (len < KEY_MORE)
            while (at + 8 < len && memcmp(has + at, wanted + at, 8) == 0)
                at += 8;
        if (at + 8 < len || memcmp(has + len - 8, wanted + len - 8, 8) != 0)
            others |= UINT64_C(1) << i;
    }
    return others;
}

static void begin(struct wk_runs *r, struct table *t, const uint64_t *hash, uint32_t rows)
{
    struct wk_state *s = t->state;

    r->state = s;
    r->number = (int)(t - s->tables);
    r->hash = hash;
    r->rows = rows;
    r->at = 0;
    r->epoch = s->epoch;
    r->time_bytes = t->time_bytes;
    r->last_byte = LINE_BYTES - 1;
    r->resized = s->resized;
    r->gone_now = &s->gone;
    find_buckets(r, t, 0);
    find_buckets(r, t, KEY_RUN_ROWS);
    find_entries_here(r, 0);
}

/* The bits of keys that are not as usual; the other values are there. */
static uint64_t next(struct wk_runs *r, const struct table *t, const struct key_run *keys, size_t size, void **values)
{
    CHECK(keys->rows == MIN(r->rows - r->at, (uint32_t)KEY_RUN_ROWS));
    if (r->resized != r->state->resized) { /* an index has moved */
        r->resized = r->state->resized;
        find_buckets(r, t, r->at + KEY_RUN_ROWS);
    }
    r->last_byte = MIN(entry_room(t, keys->len[0], 0, size).bytes - 1, LINE_BYTES); /* most are as the first */
    find_entries_here(r, r->at + KEY_RUN_ROWS);
    find_buckets(r, t, r->at + 2 * KEY_RUN_ROWS);
    return check_long(r, keys, check_entries_here(r, keys, size, values));
}

int wk_runs_begin(struct wk_runs *r, struct wk_state *s, int state, const uint64_t *hash, uint32_t rows, struct err *err)
{
    struct table *t = wk_table_of(s, state);

    if (!t->groups && !wk_table_begin(t))
        return wk_over_budget(t, s->group_count * sizeof(struct group), err);
    begin(r, t, hash, rows);
    return 0;
}

int wk_runs_next(struct wk_runs *r, const struct key_run *keys, size_t size, void **values, struct err *err)
{
    struct table *t = wk_table_of(r->state, r->number);
    uint64_t others;

    if (r->state->reading_count > 0)
        fetch_pages(r, r->entry[r->at / KEY_RUN_ROWS % 2], UINT64_MAX >> (64 - keys->rows));
    others = next(r, t, keys, size, values);
    if (others && !t->stored)
        others = redate_older(r, t, keys, size, others);
    if (others)
        others = insert_absent(r, t, keys, size, values, others);
    fetch_pages(r, r->entry[r->at / KEY_RUN_ROWS % 2], others);
    for (; others; others &= others - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(others);
        struct entry *e = get_other(r, t, keys, i, size, err);

        if (!e)
            return ERR_LIMIT;
        values[i] = value_of(t, e);
    }
    r->at += keys->rows;
    return 0;
}

bool wk_runs_begin_found(struct wk_runs *r, struct wk_state *s, int state, const uint64_t *hash, uint32_t rows)
{
    struct table *t = wk_table_of(s, state);

    if (!t->groups || t->time_bytes || t->stored)
        return false;
    begin(r, t, hash, rows);
    return true;
}

void wk_runs_next_found(struct wk_runs *r, const struct key_run *keys, size_t size, void **values)
{
    const struct table *t = wk_table_of(r->state, r->number);
    uint64_t others = next(r, t, keys, size, values);

    fetch_pages(r, r->entry[r->at / KEY_RUN_ROWS % 2], others);
    for (; others; others &= others - 1)
        values[__builtin_ctzll(others)] = NULL;
    r->gone = r->state->gone;
    r->at += keys->rows;
}

void *wk_runs_make(struct wk_runs *r, const struct key_run *keys, uint32_t i, size_t size)
{
    uint32_t run = r->at - keys->rows;
    struct table *t = wk_table_of(r->state, r->number);
    struct entry *e = NULL;
    size_t bytes;

    if ((keys->is_long >> i & 1) == 0)
        e = insert_short(t, r->hash[run + i], keys->head[i], keys->len[i], size, r->epoch, &bytes);
    if (!e)
        return NULL;
    t->keys++;
    t->state->appended += bytes;
    r->entry[run / KEY_RUN_ROWS % 2][i] = e;
    return value_of(t, e);
}

bool wk_runs_has(const struct wk_runs *r, uint32_t i)
{
    const struct entry *e = r->entry[(r->at - 1) / KEY_RUN_ROWS % 2][i];

    return e->dead == 0 && e->kind == ENTRY_PUT;
}
