/*
 * tables.c - state on disk in checkpoints: its tables, piece by piece, those that no earlier checkpoint has; and back.
 *
 * A table has a number and never changes, so a piece of it is written once: `struct wk_tables` remembers where, for the
 * checkpoint that has it, and becomes the base of later ones when that is complete.  Savepoints have images instead, from a
 * scan of the store: the form that every backend reads.
 *
 * Restore: what one subtask wrote is made a store again.  It becomes the state's own if nothing about it has changed; else
 * what is this subtask's of it is read out.  Threads: snapshot.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/disk_private.h"

#define SECTION_BYTES (1u << 20)
#define KEY_HEAD 8u /* of a key in a store: name hash, hash >> 32 */
#define KEY_TAIL 4u /* its part */

struct piece {
    struct ckpt_section section; /* its texts are not used */
    char *path;                  /* absolute; owned */
    uint64_t size;
    uint32_t crc;
};
struct wk_tables {
    uint8_t operator_id[CKPT_OPERATOR_ID_BYTES];
    uint32_t subtask;
    uint32_t refs;  /* atomic */
    int is_written; /* atomic: nothing below changes any more */
    struct map *pieces; /* number << 32 | place -> struct piece */
};

/* ---- where pieces are ---- */

static struct wk_tables *tables_new(const struct wk_state *s)
{
    struct wk_tables *t = MEM_NEW(struct wk_tables);

    memcpy(t->operator_id, s->options.operator_id, sizeof(t->operator_id));
    t->subtask = s->options.subtask;
    t->refs = 1;
    t->pieces = map_new();
    return t;
}

struct wk_tables *wk_tables_ref(struct wk_tables *t)
{
    if (t)
        __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
    return t;
}

void wk_tables_unref(struct wk_tables *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (struct map_iter it = map_iter(t->pieces); map_next(&it);) {
        struct piece *p = it.value;

        mem_free(p->path);
        mem_free(p);
    }
    map_free(t->pieces);
    mem_free(t);
}

static uint64_t piece_key(const struct ckpt_section *s)
{
    return (uint64_t)s->edge << 32 | s->from_subtask;
}

static void note_piece(struct wk_tables *t, const struct ckpt_section *section, char *path, uint64_t size, uint32_t crc)
{
    struct piece *p = MEM_NEW(struct piece), *before;

    *p = (struct piece){.section = *section, .path = path, .size = size, .crc = crc};
    before = map_put_u64(t->pieces, piece_key(section), p);
    if (before) {
        mem_free(before->path);
        mem_free(before);
    }
}

/* Only what stands in a file of the shared folder: others go with their checkpoint. */
void wk_tables_written(struct wk_tables *t, const struct ckpt_meta *m, const char *prefix, const char *shared_dir)
{
    size_t skip = strlen(prefix);

    for (uint32_t i = 0; i < m->section_count && shared_dir; i++) {
        const struct ckpt_section *s = &m->sections[i];
        const struct ckpt_file *f = s->file == CKPT_NO_FILE ? NULL : &m->files[s->file];

        if (!f || s->kind != CKPT_TABLE || s->edge == 0 || s->subtask != t->subtask ||
            memcmp(s->operator_id, t->operator_id, sizeof(t->operator_id)) != 0)
            continue;
        if (strncmp(f->path, prefix, skip) == 0)
            note_piece(t, s, mem_printf("%s/%s", shared_dir, f->path + skip), f->size, f->crc);
        else if (f->path[0] == '/')
            note_piece(t, s, mem_strdup(f->path), f->size, f->crc);
    }
    __atomic_store_n(&t->is_written, 1, __ATOMIC_RELEASE);
}

/* ---- a snapshot, read out ---- */

struct wk_stored {
    struct wk_state *state; /* of the flush, which has a reference */
    struct flush *flush;
    uint64_t checkpoint;
    struct wk_tables *tables;  /* of this checkpoint; NULL: a savepoint */
    struct wk_tables **before; /* references: a piece that all of them have in the same place is named */
    uint32_t before_count;
    bool waited, manifest_out, hides; /* hides: images of these states that older checkpoints have are of no use */
    uint32_t table, place;            /* the next piece */
    uint32_t number;                  /* of the next state: of images */
    bool in_scan;
};

/* A piece may be named if it stays: the newest complete checkpoint has it, and what is under way names the same. */
static void take_before(struct wk_stored *stored, const struct wk_state *s, struct wk_tables *base)
{
    stored->before = mem_alloc_array(s->pending_count + 1u, sizeof(struct wk_tables *));
    stored->before[stored->before_count++] = wk_tables_ref(base);
    for (uint32_t i = 0; i < s->pending_count; i++)
        if (s->pending[i].tables)
            stored->before[stored->before_count++] = wk_tables_ref(s->pending[i].tables);
}

struct wk_stored *wk_stored_freeze(struct wk_state *s, uint64_t checkpoint, enum wk_snapshot_kind kind)
{
    struct wk_stored *stored = MEM_NEW(struct wk_stored);
    struct wk_tables *base = wk_disk_base(s);

    stored->state = s;
    stored->checkpoint = checkpoint;
    stored->flush = wk_disk_freeze(s, kind);
    stored->hides = !base;
    if (kind != WK_SNAPSHOT_SAVEPOINT)
        stored->tables = tables_new(s);
    if (kind == WK_SNAPSHOT_INCREMENTAL && base)
        take_before(stored, s, base);
    return stored;
}

void wk_stored_free(struct wk_stored *stored)
{
    if (!stored)
        return;
    for (uint32_t i = 0; i < stored->before_count; i++)
        wk_tables_unref(stored->before[i]);
    mem_free(stored->before);
    wk_tables_unref(stored->tables);
    wk_flush_unref(stored->flush);
    mem_free(stored);
}

struct wk_tables *wk_stored_tables(const struct wk_stored *stored)
{
    return stored ? stored->tables : NULL;
}

static const struct piece *piece_before(const struct wk_stored *stored, const struct ckpt_section *s)
{
    const struct piece *first = NULL;

    for (uint32_t i = 0; i < stored->before_count; i++) {
        const struct piece *p = NULL;

        if (__atomic_load_n(&stored->before[i]->is_written, __ATOMIC_ACQUIRE))
            p = map_get_u64(stored->before[i]->pieces, piece_key(s));
        if (!p || (first && strcmp(p->path, first->path) != 0))
            return NULL;
        first = first ? first : p;
    }
    return first;
}

void wk_stored_describe(const struct wk_state *s, uint64_t checkpoint, enum ckpt_section_kind kind, struct ckpt_section *ret)
{
    const struct wk_state_options *o = &s->options;

    *ret = (struct ckpt_section){.kind = kind, .subtask = o->subtask, .to = checkpoint, .file = CKPT_NO_FILE, .state = ""};
    memcpy(ret->operator_id, o->operator_id, sizeof(ret->operator_id));
    wk_state_range(s, &ret->hash_first, &ret->hash_last);
}

static int next_piece(struct wk_stored *stored, struct ckpt_section *section, struct bytes *payload, struct wk_place *ret_place,
                      bool *ret_last, struct err *err)
{
    const struct wk_store_ops *ops = stored->state->options.stores->ops;
    const struct wk_store_files *files = &stored->flush->files;
    const struct wk_store_file *file = &files->tables[stored->table];
    uint64_t offset = (uint64_t)stored->place * CKPT_TABLE_PIECE, left = file->size - offset;
    uint32_t len = (uint32_t)MIN(left, CKPT_TABLE_PIECE);
    const struct piece *before;
    uint32_t table = stored->table;

    wk_stored_describe(stored->state, stored->checkpoint, CKPT_TABLE, section);
    section->edge = file->number;
    section->from_subtask = stored->place++;
    *ret_last = left == len;
    if (*ret_last) {
        stored->table++;
        stored->place = 0;
    }
    before = piece_before(stored, section);
    if (before) {
        *section = before->section;
        section->state = "";
        *ret_place = (struct wk_place){before->path, before->size, before->crc};
        return 2;
    }
    bytes_reserve(payload, len);
    payload->len = len;
    if (ops->read(files, table, offset, payload->data, len, err) == 0)
        return 1;
    wk_disk_explain(stored->state, err);
    return err->code;
}

static struct table *next_stored(struct wk_stored *stored)
{
    struct wk_state *s = stored->state;

    while (stored->number < s->table_count && !s->tables[stored->number].stored)
        stored->number++;
    return stored->number < s->table_count ? &s->tables[stored->number] : NULL;
}

/* An image without entries: what older checkpoints have of these states is replaced. */
static int next_hiding(struct wk_stored *stored, struct ckpt_section *section)
{
    struct table *t = next_stored(stored);

    if (!t)
        return 0;
    wk_stored_describe(stored->state, stored->checkpoint, CKPT_IMAGE, section);
    section->state = t->decl->name;
    stored->number++;
    return 1;
}

/* ---- savepoints: images from a scan ---- */

static void seek(const struct wk_store_ops *ops, struct wk_store_scan *scan, const struct table *t, uint32_t hash)
{
    uint32_t head[2] = {__builtin_bswap32(t->name_hash), __builtin_bswap32(hash)};

    ops->scan_seek(scan, head, sizeof(head));
}

/* The entry that a scan is at, if it is one of the table. The reader's texts are valid until the scan moves. */
static bool entry_at(const struct wk_store_ops *ops, const struct wk_store_scan *scan, const struct table *t, struct ckpt_entry *ret,
                     uint32_t *ret_hash)
{
    struct reader key, value;

    if (!ops->scan_at(scan, &key, &value) || reader_left(&key) < KEY_HEAD + KEY_TAIL ||
        __builtin_bswap32(reader_u32(&key)) != t->name_hash)
        return false;
    *ret_hash = __builtin_bswap32(reader_u32(&key));
    *ret = (struct ckpt_entry){.key_len = (uint32_t)(reader_left(&key) - KEY_TAIL)};
    ret->key = reader_take(&key, ret->key_len);
    ret->part = __builtin_bswap32(reader_u32(&key));
    ret->has_time = t->time_bytes > 0;
    if (ret->has_time)
        ret->time_ms = (int64_t)reader_u64(&value);
    ret->value_len = (uint32_t)reader_left(&value);
    ret->value = reader_take(&value, ret->value_len);
    return true;
}

static int next_scanned(struct wk_stored *stored, struct ckpt_section *section, struct bytes *payload)
{
    const struct wk_store_ops *ops = stored->state->options.stores->ops;
    struct wk_store_scan *scan = stored->flush->scan;
    struct table *t;

    for (; (t = next_stored(stored)) != NULL; stored->number++, stored->in_scan = false) {
        struct ckpt_entry e;
        uint32_t hash;

        wk_stored_describe(stored->state, stored->checkpoint, CKPT_IMAGE, section);
        section->state = t->decl->name;
        if (!stored->in_scan)
            seek(ops, scan, t, section->hash_first);
        for (; payload->len < SECTION_BYTES && entry_at(ops, scan, t, &e, &hash); ops->scan_next(scan)) {
            ckpt_entry_add(payload, &e);
            if (section->rows++ == 0)
                section->hash_first = hash;
            section->hash_last = hash;
        }
        stored->in_scan = true;
        if (section->rows > 0)
            return 1;
    }
    return 0;
}

int wk_stored_next(struct wk_stored *stored, struct ckpt_section *section, struct bytes *payload, struct wk_place *ret_place,
                   bool *ret_last, struct err *err)
{
    struct flush *f = stored->flush;
    int rc;

    *ret_last = false;
    if (!stored->waited) {
        wk_flush_wait(f);
        stored->waited = true;
    }
    if (f->err.code != 0) {
        *err = f->err;
        wk_disk_explain(stored->state, err);
        return err->code;
    }
    if (f->scan) {
        rc = next_scanned(stored, section, payload);
        if (rc == 0) {
            rc = stored->state->options.stores->ops->scan_free(f->scan, err);
            f->scan = NULL;
            if (rc != 0)
                wk_disk_explain(stored->state, err);
        }
        return rc;
    }
    if (!f->has_files)
        return 0; /* a savepoint that is over */
    if (!stored->manifest_out) {
        stored->manifest_out = true;
        wk_stored_describe(stored->state, stored->checkpoint, CKPT_TABLE, section);
        bytes_add(payload, f->files.manifest.data, f->files.manifest.len);
        return 1;
    }
    if (stored->table < f->files.count)
        return next_piece(stored, section, payload, ret_place, ret_last, err);
    return stored->hides ? next_hiding(stored, section) : 0;
}

/* ---- restore ---- */

struct former {
    uint32_t subtask, hash_first, hash_last;
    uint64_t to; /* of its MANIFEST */
    struct wk_store *store;
    struct wk_tables *pieces;
};

void wk_formers_release(struct wk_state *s, struct formers *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        wk_tables_unref(f->list[i].pieces);
        s->options.stores->ops->free(f->list[i].store);
    }
    mem_free(f->list);
    *f = (struct formers){0};
}

static struct former *former_of(struct wk_state *s, struct formers *f, const struct ckpt_section *section)
{
    struct former *new;

    for (uint32_t i = 0; i < f->count; i++)
        if (f->list[i].subtask == section->subtask && f->list[i].hash_first == section->hash_first &&
            f->list[i].hash_last == section->hash_last)
            return &f->list[i];
    if (f->count == f->room) {
        f->room = MAX(f->room * 2, 4u);
        f->list = mem_realloc(f->list, f->room * sizeof(*f->list));
    }
    new = &f->list[f->count++];
    *new = (struct former){.subtask = section->subtask, .hash_first = section->hash_first, .hash_last = section->hash_last,
                           .store = s->options.stores->ops->make(s->options.stores, "restored"), .pieces = tables_new(s)};
    return new;
}

int wk_state_restore_table(struct wk_state *s, const struct ckpt_section *section, const struct wk_place *place,
                           const void *payload, size_t len, struct err *err)
{
    struct former *f;

    if (!s->options.stores)
        return err_set(err, ERR_UNSUPPORTED, "operator \"%s\": its state is in tables of LevelDB, which this program has not",
                       s->options.name);
    if (section->edge == 0 && len == 0)
        return 0; /* there are none: it hides those of older checkpoints */
    f = former_of(s, wk_restore_formers(s), section);
    if (section->edge == 0)
        f->to = section->to;
    else if (place->path)
        note_piece(f->pieces, section, mem_strdup(place->path), place->size, place->crc);
    return s->options.stores->ops->receive(f->store, section->edge, (uint64_t)section->from_subtask * CKPT_TABLE_PIECE, payload,
                                           len, err);
}

/* Entries of one state in a store, as far as they are this subtask's and no newer store has their place. */
static int read_state(struct wk_state *s, struct table *t, struct former *f, const struct ckpt_cover *cover, const int *stop,
                      struct err *err)
{
    const struct wk_store_ops *ops = s->options.stores->ops;
    struct wk_store_scan *scan = ops->scan(f->store);
    uint32_t first, last, hash;
    struct ckpt_entry e;
    int rc = 0, rc2;

    wk_state_range(s, &first, &last);
    for (seek(ops, scan, t, first); rc == 0 && entry_at(ops, scan, t, &e, &hash) && hash <= last; ops->scan_next(scan)) {
        if (__atomic_load_n(stop, __ATOMIC_RELAXED))
            rc = err_set(err, ERR_CANCELED, "nobody waits for it any more");
        else if (ckpt_cover_at(cover, hash) == f->to)
            rc = wk_restore_entry(s, (uint32_t)(t - s->tables), hash, &e, err);
    }
    rc2 = ops->scan_free(scan, rc == 0 ? err : NULL);
    return rc ? rc : rc2;
}

static int read_former(struct wk_state *s, struct former *f, const struct ckpt_cover *cover, const int *stop, struct err *err)
{
    const struct wk_store_ops *ops = s->options.stores->ops;
    int rc = ops->open(f->store, wk_restore_memory(s), err);

    for (uint32_t i = 0; i < s->table_count && rc == 0; i++) {
        struct table *t = &s->tables[i];

        if (t->decl->kind >= RASK_OPERATOR_LIST)
            continue;
        if (!t->stored)
            t->name_hash = wk_disk_name_hash(t->decl->name);
        rc = read_state(s, t, f, cover, stop, err);
    }
    return rc;
}

static int read_formers(struct wk_state *s, struct formers *formers, const int *stop, struct err *err)
{
    struct ckpt_span *spans = mem_alloc_array(formers->count + 1u, sizeof(*spans));
    struct ckpt_cover cover = {0};
    int rc = 0;

    for (uint32_t i = 0; i < formers->count; i++)
        spans[i] = (struct ckpt_span){formers->list[i].hash_first, formers->list[i].hash_last, formers->list[i].to};
    ckpt_cover_build(&cover, spans, formers->count);
    for (uint32_t i = 0; i < formers->count && rc == 0; i++)
        rc = read_former(s, &formers->list[i], &cover, stop, err);
    ckpt_cover_release(&cover);
    mem_free(spans);
    return rc;
}

/* It is this subtask's, all of it and nothing else, and can be read as it is. */
static bool is_mine(const struct wk_state *s, const struct formers *formers)
{
    const struct former *f = formers->list;
    uint32_t first, last;

    wk_state_range(s, &first, &last);
    return s->disk && formers->count == 1 && f->subtask == s->options.subtask && f->hash_first == first && f->hash_last == last &&
           wk_restore_is_plain(s);
}

int wk_state_restore_tables(struct wk_state *s, const int *stop, struct err *err)
{
    struct formers *formers = wk_restore_formers(s);
    int rc = 0;

    if (formers->count == 0)
        return 0;
    if (is_mine(s, formers)) {
        struct former *f = formers->list;

        rc = wk_disk_adopt(s, f->store, f->pieces, err);
        f->store = NULL;
        __atomic_store_n(&f->pieces->is_written, 1, __ATOMIC_RELEASE);
    } else {
        rc = read_formers(s, formers, stop, err);
        s->hides_tables = !s->disk;
    }
    wk_formers_release(s, formers);
    return rc;
}
