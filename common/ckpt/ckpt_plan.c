/*
 * ckpt_plan.c - which sections a checkpoint needs of the one before, and which ones a restore reads.
 * Thread: any, one at a time per object.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_cover.h"
#include "common/ckpt/ckpt_meta.h"

/* Sections of one state of one operator stand together, images before deltas. */
struct ranked {
    const struct ckpt_section *section;
    bool old; /* of the checkpoint before */
};

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_state(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int rc = memcmp(x->section->operator_id, y->section->operator_id, CKPT_OPERATOR_ID_BYTES);

    if (rc == 0)
        rc = strcmp(x->section->state, y->section->state);
    return rc ? rc : compare_u64((uintptr_t)x->section, (uintptr_t)y->section);
}

static bool same_state(const struct ranked *a, const struct ranked *b)
{
    return strcmp(a->section->state, b->section->state) == 0 &&
           memcmp(a->section->operator_id, b->section->operator_id, CKPT_OPERATOR_ID_BYTES) == 0;
}

/* What replaces others: an image the older sections of its state, a MANIFEST the older tables. */
static bool is_whole(const struct ckpt_section *s)
{
    return s->kind == CKPT_IMAGE || (s->kind == CKPT_TABLE && s->edge == 0);
}

/* The cover of those among `count` sections of one state. */
static void cover_of(struct ckpt_cover *cover, const struct ranked *r, uint32_t count)
{
    struct ckpt_span *spans = mem_alloc_array(count + 1, sizeof(*spans));
    uint32_t images = 0;

    memset(cover, 0, sizeof(*cover));
    for (uint32_t i = 0; i < count; i++) {
        const struct ckpt_section *s = r[i].section;

        if (is_whole(s))
            spans[images++] = (struct ckpt_span){s->hash_first, s->hash_last, s->to};
    }
    ckpt_cover_build(cover, spans, images);
    mem_free(spans);
}

static void rank_keyed(struct ranked *r, uint32_t *count, const struct ckpt_meta *in, bool old)
{
    for (uint32_t i = 0; i < in->section_count; i++)
        if (ckpt_is_placed(in->sections[i].kind))
            r[(*count)++] = (struct ranked){&in->sections[i], old};
}

/* The sections of one state: those from `from` up to what is returned. cover: what of it they replace; to be released. */
static uint32_t next_state(const struct ranked *r, uint32_t from, uint32_t count, struct ckpt_cover *cover)
{
    uint32_t end = from + 1;

    while (end < count && same_state(&r[from], &r[end]))
        end++;
    cover_of(cover, r + from, end - from);
    return end;
}

/*
 * Whether newer images replace all of a section between two hashes. A delta is replaced by an image of its own checkpoint;
 * tables, by a MANIFEST of a later one than `in`, the one that names them.
 */
static bool is_replaced(const struct ckpt_cover *cover, const struct ckpt_section *s, const struct ckpt_meta *in, uint32_t first,
                        uint32_t last)
{
    uint64_t to = s->kind == CKPT_TABLE ? in->checkpoint : s->kind == CKPT_IMAGE ? s->to : s->to - 1;

    return ckpt_cover_hides(cover, MAX(s->hash_first, first), MIN(s->hash_last, last), to);
}

static int check_base(const struct ckpt_meta *m, const struct ckpt_meta *before, struct err *err)
{
    uint64_t last = before ? before->checkpoint : 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (s->kind == CKPT_DELTA && s->from > last)
            return err_set(err, ERR_INVALID,
                           "checkpoint %" PRIu64 ": subtask %u wrote what changed of state \"%s\" since checkpoint %" PRIu64
                           ", but the one before is %" PRIu64,
                           m->checkpoint, s->subtask, s->state, s->from, last);
    }
    return 0;
}

struct carrying {
    struct ckpt_meta *m;
    const struct ckpt_meta *before;
    ckpt_path_fn *path_of;
    void *arg;
    uint32_t *files; /* of before -> of m, + 1 */
};

static int carry_one(struct carrying *c, const struct ckpt_section *old, struct err *err)
{
    struct ckpt_section s = *old;
    int op = ckpt_meta_find_operator(c->m, s.operator_id), there = ckpt_meta_find_operator(c->before, s.operator_id);
    int state, rc;

    if (op < 0)
        return 0;
    state = ckpt_meta_find_state(&c->before->operators[there], s.state);
    rc = state < 0 ? 0 : ckpt_meta_state(c->m, (uint32_t)op, &c->before->operators[there].states[state], err);
    if (rc != 0)
        return rc;
    if (s.file != CKPT_NO_FILE) {
        const struct ckpt_file *f = &c->before->files[s.file];

        if (!c->files[s.file])
            c->files[s.file] =
                1 + ckpt_meta_file(c->m, c->path_of ? c->path_of(c->arg, &c->m->arena, f->path) : f->path, f->size, f->crc);
        s.file = c->files[s.file] - 1;
    }
    ckpt_meta_add(c->m, &s);
    return 0;
}

int ckpt_meta_carry(struct ckpt_meta *m, const struct ckpt_meta *before, ckpt_path_fn *path_of, void *arg, struct err *err)
{
    struct carrying c = {.m = m, .before = before, .path_of = path_of, .arg = arg};
    struct ckpt_section *keep; /* m's array moves while it grows */
    uint32_t count = 0, kept = 0;
    struct ranked *r;
    int rc = check_base(m, before, err);

    if (rc != 0 || !before)
        return rc;
    r = mem_alloc_array((size_t)m->section_count + before->section_count + 1, sizeof(*r));
    keep = mem_alloc_array(before->section_count + 1, sizeof(*keep));
    rank_keyed(r, &count, m, false);
    rank_keyed(r, &count, before, true);
    qsort(r, count, sizeof(*r), by_state);
    for (uint32_t from = 0, end; from < count; from = end) {
        struct ckpt_cover cover;

        end = next_state(r, from, count, &cover);
        for (uint32_t i = from; i < end; i++) {
            const struct ckpt_section *s = r[i].section;

            if (r[i].old && !is_replaced(&cover, s, before, 0, UINT32_MAX))
                keep[kept++] = *s;
        }
        ckpt_cover_release(&cover);
    }
    c.files = mem_alloc_array(before->file_count + 1, sizeof(*c.files));
    for (uint32_t i = 0; i < kept && rc == 0; i++)
        rc = carry_one(&c, &keep[i], err);
    mem_free(c.files);
    mem_free(keep);
    mem_free(r);
    return rc;
}

static uint32_t rank_of(enum ckpt_section_kind kind)
{
    return kind == CKPT_TABLE ? 0 : kind == CKPT_IMAGE ? 1 : 2;
}

/* Tables, images newest first, deltas oldest first; equals stay in the order of the file. */
static int by_feeding(const void *a, const void *b)
{
    const struct ckpt_section *x = *(const struct ckpt_section *const *)a, *y = *(const struct ckpt_section *const *)b;
    int rc;

    if (x->kind != y->kind)
        return compare_u64(rank_of(x->kind), rank_of(y->kind));
    rc = x->kind == CKPT_IMAGE ? compare_u64(y->to, x->to) : x->kind == CKPT_DELTA ? compare_u64(x->to, y->to) : 0;
    return rc ? rc : compare_u64((uintptr_t)x, (uintptr_t)y);
}

static bool meets(const struct ckpt_section *s, uint32_t first, uint32_t last)
{
    return s->hash_first <= last && s->hash_last >= first;
}

uint32_t ckpt_plan(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES], uint32_t hash_first, uint32_t hash_last,
                   struct arena *arena, const struct ckpt_section ***ret)
{
    struct ranked *r = mem_alloc_array(m->section_count + 1, sizeof(*r));
    const struct ckpt_section **wanted = arena_alloc(arena, ((size_t)m->section_count + 1) * sizeof(*wanted));
    uint32_t count = 0, n = 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (ckpt_is_placed(s->kind) && meets(s, hash_first, hash_last) &&
            memcmp(s->operator_id, id, CKPT_OPERATOR_ID_BYTES) == 0)
            r[count++] = (struct ranked){s, false};
    }
    qsort(r, count, sizeof(*r), by_state);
    for (uint32_t from = 0, end; from < count; from = end) {
        struct ckpt_cover cover;

        end = next_state(r, from, count, &cover);
        for (uint32_t i = from; i < end; i++) {
            const struct ckpt_section *s = r[i].section;

            if (!is_replaced(&cover, s, m, hash_first, hash_last))
                wanted[n++] = s;
        }
        ckpt_cover_release(&cover);
    }
    mem_free(r);
    qsort(wanted, n, sizeof(*wanted), by_feeding);
    *ret = wanted;
    return n;
}
