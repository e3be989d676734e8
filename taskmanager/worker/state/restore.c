/*
 * restore.c - state from the sections of a checkpoint or savepoint, fed in the order of ckpt_plan.
 *
 * Images come newest first and fill what is still bare of the hash space; an entry of an older image is taken only where
 * no newer one is, one of a delta only where no image is as new.  So it does not matter how the writers had divided the
 * hash space.  Before the task runs.
 */
#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

struct restored {
    struct ckpt_cover cover;
    uint64_t elements; /* of a list, seen so far */
    struct migration *migration; /* NULL: values are as they are declared */
    uint64_t *expected;          /* per group: entries that images will bring; NULL: none */
};
struct restore {
    uint32_t hash_first, hash_last; /* of this subtask */
    bool migrates;                  /* what is there cannot be the base of deltas */
    bool drops;                     /* it has states that are not declared */
    bool same;                      /* the parallelism is as it was: lists go back to who wrote them */
    struct formers formers;
    struct arena arena;             /* old schemas */
    struct restored tables[];
};

void wk_restore_free(struct wk_state *s)
{
    if (!s->restore)
        return;
    for (uint32_t i = 0; i < s->table_count; i++) {
        ckpt_cover_release(&s->restore->tables[i].cover);
        wk_migration_free(s->restore->tables[i].migration);
        mem_free(s->restore->tables[i].expected);
    }
    wk_formers_release(s, &s->restore->formers);
    arena_release(&s->restore->arena);
    mem_free(s->restore);
    s->restore = NULL;
}

/* ---- what is declared, and what is there ---- */

void wk_state_describe(const struct wk_state *s, struct ckpt_operator *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->id, s->options.operator_id, sizeof(ret->id));
    ret->uid = s->options.uid;
    ret->name = s->options.name;
    ret->parallelism = s->options.parallelism;
    ret->max_parallelism = s->options.max_parallelism;
    ret->states = s->described;
    ret->state_count = s->table_count;
}

/* Values may have changed in a way that keeps them readable. */
static int match(struct wk_state *s, uint32_t number, const struct ckpt_state *has, struct err *err)
{
    const rask_state *decl = &s->options.decl[number];
    enum schema_change change;
    int rc = ckpt_state_match(s->options.name, has, &s->described[number], &change, err);

    if (rc == 0 && change == SCHEMA_MIGRATE) {
        s->restore->migrates = true;
        s->restore->tables[number].migration = wk_migration_new(decl, schema_copy(&s->restore->arena, has->value));
    }
    return rc;
}

static int number_of(const struct wk_state *s, const char *name)
{
    for (uint32_t i = 0; i < s->table_count; i++)
        if (strcmp(s->options.decl[i].name, name) == 0)
            return (int)i;
    return -1;
}

int wk_state_restore_begin(struct wk_state *s, const struct ckpt_meta *m, const struct ckpt_operator *op, bool allow_dropped,
                           struct err *err)
{
    struct restore *r;

    CHECK(!s->restore && s->epoch == 1);
    r = mem_alloc(sizeof(*r) + s->table_count * sizeof(r->tables[0]));
    arena_init(&r->arena);
    wk_state_range(s, &r->hash_first, &r->hash_last);
    r->same = op && op->parallelism == s->options.parallelism;
    s->restore = r;
    for (uint32_t i = 0; op && i < op->state_count; i++) {
        int number = number_of(s, op->states[i].name), rc = 0;

        r->drops |= number < 0;
        if (number >= 0)
            rc = match(s, (uint32_t)number, &op->states[i], err);
        else if (!allow_dropped)
            rc = ckpt_state_gone(m, op, op->states[i].name, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* An image that others hide in part makes an index larger than it need be, and no worse. */
void wk_state_restore_expect(struct wk_state *s, const struct ckpt_section *section)
{
    int number = number_of(s, section->state);
    uint32_t max = s->options.max_parallelism, first, last;
    struct restored *into;

    if (section->kind != CKPT_IMAGE || section->rows == 0 || number < 0)
        return;
    into = &s->restore->tables[number];
    if (!into->expected)
        into->expected = mem_alloc_array(s->group_count, sizeof(*into->expected));
    first = key_group_of((uint64_t)section->hash_first << 32, max);
    last = key_group_of((uint64_t)section->hash_last << 32, max);
    for (uint32_t g = MAX(first, s->first_group); g <= MIN(last, s->first_group + s->group_count - 1); g++)
        into->expected[g - s->first_group] += section->rows / (last - first + 1) + 1;
}

/* ---- sections ---- */

static int restore_entry(struct table *t, uint64_t hash, const struct ckpt_entry *in, struct err *err)
{
    rask_str key = {(const char *)in->key, in->key_len};
    struct entry *e;

    if (in->deleted)
        return wk_delete_entry(t, hash, key, in->part, err);
    e = wk_write_entry(t, hash, key, in->part, in->value_len, 0, NULL, err);
    if (!e)
        return ERR_LIMIT;
    if (in->value_len > 0)
        memcpy(value_of(t, e), in->value, in->value_len);
    if (t->time_bytes)
        *time_of(e) = in->has_time ? in->time_ms : t->state->now_ms;
    if (t->decl->ttl_ms > 0) {
        struct page *p = page_of(e);
        int64_t newest_ms = 0;

        if (t->time_bytes)
            newest_ms = *time_of(e);
        else
            (void)wk_container_newest(t->decl, in->part, (const char *)in->value, in->value_len, &newest_ms);
        p->newest_ms = MAX(p->newest_ms, newest_ms);
    }
    return 0;
}

/* Heads of lists and maps are read by their own code: they must be what it wrote. */
static bool is_sound(const struct table *t, const struct ckpt_entry *e)
{
    bool chunks = t->decl->kind == RASK_LIST || t->decl->kind == RASK_MAP;

    if (!chunks)
        return e->part == 0;
    return e->deleted || wk_container_check(t->decl, e->part, (const char *)e->value, e->value_len);
}

/* The first entry of a group makes its index. */
static void make_index(struct table *t, const struct restored *into, uint64_t hash)
{
    struct group *g;

    if (!into->expected || t->stored || (!t->groups && !wk_table_begin(t)))
        return;
    g = wk_group_of(t, hash);
    if (!g->index)
        wk_index_expect(t, g, into->expected[g - t->groups]);
}

/* What does not fit in memory goes to the store. */
static int settle(struct wk_state *s, struct err *err)
{
    if (!s->disk)
        return 0;
    wk_disk_settle(s);
    s->appended = 0;
    return wk_state_failed(s, err);
}

static int restore_keyed(struct wk_state *s, uint32_t number, const struct ckpt_section *section, struct reader *r,
                         struct err *err)
{
    struct restored *into = &s->restore->tables[number];
    struct table *t = &s->tables[number];
    bool image = section->kind == CKPT_IMAGE;

    if (image)
        ckpt_cover_fill(&into->cover, section->hash_first, section->hash_last, section->to);
    while (reader_left(r) > 0) {
        struct ckpt_entry e;
        uint64_t hash, covered;
        uint32_t place;
        int rc = ckpt_entry_take(r, &e, section->state, err);

        if (rc != 0)
            return rc;
        hash = hash_xxh3(e.key, e.key_len);
        place = (uint32_t)(hash >> 32);
        if (place < section->hash_first || place > section->hash_last || (image && e.deleted) || !is_sound(t, &e))
            return err_set(err, ERR_CORRUPT, "state \"%s\": an entry is not valid or lies outside its section", section->state);
        if (place < s->restore->hash_first || place > s->restore->hash_last)
            continue;
        covered = ckpt_cover_at(&into->cover, place);
        if (image ? covered != section->to : covered >= section->to)
            continue;
        rc = into->migration ? wk_migrate(into->migration, &e, err) : 0;
        if (image)
            make_index(t, into, hash);
        if (rc == 0)
            rc = restore_entry(t, hash, &e, err);
        if (rc != 0)
            return rc;
    }
    return settle(s, err);
}

struct formers *wk_restore_formers(struct wk_state *s)
{
    CHECK(s->restore);
    return &s->restore->formers;
}

bool wk_restore_is_plain(const struct wk_state *s)
{
    return !s->restore->migrates && !s->restore->drops;
}

uint64_t wk_restore_memory(const struct wk_state *s)
{
    return s->disk ? wk_disk_share(s) / 2 : s->budget->limit_bytes / 32;
}

int wk_restore_entry(struct wk_state *s, uint32_t number, uint32_t place, struct ckpt_entry *e, struct err *err)
{
    struct restored *into = &s->restore->tables[number];
    struct table *t = &s->tables[number];
    uint64_t hash = hash_xxh3(e->key, e->key_len);
    int rc = 0;

    if ((uint32_t)(hash >> 32) != place || !is_sound(t, e))
        return err_set(err, ERR_CORRUPT, "state \"%s\": an entry of a table is not valid", t->decl->name);
    if (into->migration)
        rc = wk_migrate(into->migration, e, err);
    if (rc == 0)
        rc = restore_entry(t, hash, e, err);
    return rc == 0 ? settle(s, err) : rc;
}

/* Whose is the next element of a list? A subtask that starts again alone gets what it had, and no more. */
static bool is_mine(const struct wk_state *s, struct restored *into, const struct ckpt_section *section)
{
    if (s->restore->same)
        return section->subtask == s->options.subtask;
    return into->elements++ % s->options.parallelism == s->options.subtask;
}

static int restore_elements(struct wk_state *s, uint32_t number, const struct ckpt_section *section, struct reader *r,
                            struct err *err)
{
    struct restored *into = &s->restore->tables[number];
    int rc = 0;

    while (reader_left(r) > 0 && rc == 0) {
        struct ckpt_entry e;

        rc = ckpt_entry_take(r, &e, section->state, err);
        if (rc == 0 && into->migration)
            rc = wk_migrate(into->migration, &e, err);
        if (rc != 0)
            return rc;
        if (section->kind == CKPT_BROADCAST)
            rc = wk_state_broadcast_put(s, (int)number, (rask_bytes){(const char *)e.key, e.key_len},
                                        (rask_bytes){(const char *)e.value, e.value_len}, err);
        else if (section->kind == CKPT_UNION || is_mine(s, into, section))
            rc = wk_state_list_add(s, (int)number, e.value, e.value_len, err);
    }
    return rc;
}

int wk_state_restore(struct wk_state *s, const struct ckpt_section *section, const void *payload, size_t len, struct err *err)
{
    int number = number_of(s, section->state);
    struct reader r = reader_of(payload, len);

    CHECK(s->restore);
    if (number < 0)
        return 0; /* dropped: restore_begin has allowed it */
    if (ckpt_is_keyed(section->kind) != (s->options.decl[number].kind < RASK_OPERATOR_LIST))
        return err_set(err, ERR_CORRUPT, "state \"%s\": a section is %s, and the state is a %s", section->state,
                       ckpt_kind_name(section->kind), ckpt_state_kind_name(s->options.decl[number].kind));
    return ckpt_is_keyed(section->kind) ? restore_keyed(s, (uint32_t)number, section, &r, err)
                                        : restore_elements(s, (uint32_t)number, section, &r, err);
}

void wk_state_restore_end(struct wk_state *s, uint64_t base)
{
    CHECK(s->restore);
    if (s->restore->migrates || s->hides_tables)
        base = 0;
    if (base == 0 && s->disk)
        wk_disk_completed(s, NULL);
    wk_restore_free(s);
    s->appended = 0;
    if (base == 0)
        return;
    s->base = base;
    s->base_epoch = s->epoch++;
    for (uint32_t i = 0; i < s->table_count; i++)
        for (uint32_t g = 0; s->tables[i].groups && g < s->group_count; g++)
            s->tables[i].groups[g].changed[1] = 0;
}
