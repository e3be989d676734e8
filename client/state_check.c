/* state_check.c - `rask state check`: damage, files that nothing names, and whether a job could be restored. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/client_private.h"
#include "client/state.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_entry.h"
#include "common/ckpt/ckpt_rows.h"
#include "common/graph/graph.h"
#include "common/graph/op_states.h"
#include "common/graph/ops.h"
#include "common/types/schema_proto.h"

struct checker {
    const struct cli_state *s;
    uint32_t bad;
    uint64_t entries, bytes;
};

static void complain(struct checker *c, const struct err *err)
{
    c->bad++;
    fprintf(stderr, "%s\n", err->text);
}

/* ---- damage ---- */

static void check_file(struct checker *c, const struct ckpt_file *f)
{
    char *path = cli_state_path(c->s, f->path);
    const uint8_t *data = NULL;
    struct err err = {0};
    size_t len = 0;
    int rc = cli_file_map_large(path, &data, &len, &err);

    if (rc == 0 && len != f->size)
        rc = err_set(&err, ERR_CORRUPT, "%s: it has %zu bytes, and _metadata says %" PRIu64 ": cut off or another file", path, len,
                     f->size);
    if (rc == 0 && hash_crc32c(0, data, len) != f->crc)
        rc = err_set(&err, ERR_CORRUPT, "%s: it is damaged: its CRC32C is not the one in _metadata", path);
    if (rc == 0)
        rc = ckpt_file_check(data, len, path, NULL, &err);
    if (rc != 0)
        complain(c, &err);
    c->bytes += len;
    if (data)
        cli_file_unmap(data, len);
    mem_free(path);
}

static int check_rows(const struct ckpt_section *s, struct reader *r, struct err *err)
{
    rask_str schema;
    rask_bytes batch;
    bool whole = ckpt_rows_take_schema(r, &schema);

    while (whole && reader_left(r) > 0)
        whole = ckpt_rows_take_batch(r, &batch);
    return whole ? 0 : err_set(err, ERR_CORRUPT, "%" PRIu64 " rows in flight of subtask %u are cut off", s->rows, s->subtask);
}

static void check_section(struct checker *c, const struct ckpt_section *s)
{
    struct bytes room, payload;
    struct err err = {0};
    uint64_t rows = 0;
    struct reader r;
    int rc;

    bytes_init(&room);
    bytes_init(&payload);
    rc = cli_state_section(c->s, s, &room, &payload, &err);
    r = reader_of(payload.data, payload.len);
    while (rc == 0 && ckpt_is_of_state(s->kind) && reader_left(&r) > 0) {
        struct ckpt_entry e;

        rc = ckpt_entry_take(&r, &e, s->state, &err);
        rows++;
    }
    if (rc == 0 && s->kind == CKPT_INFLIGHT)
        rc = check_rows(s, &r, &err);
    if (rc == 0 && ckpt_is_of_state(s->kind) && rows != s->rows)
        rc = err_set(&err, ERR_CORRUPT, "state \"%s\": a section has %" PRIu64 " entries, and says %" PRIu64, s->state, rows,
                     s->rows);
    if (rc != 0)
        complain(c, &err);
    c->entries += rows;
    bytes_release(&room);
    bytes_release(&payload);
}

/* ---- what nothing names ---- */

/* Last components of all paths that a checkpoint names. */
static void add_names(struct map *names, const struct ckpt_meta *m)
{
    for (uint32_t i = 0; i < m->file_count; i++) {
        const char *slash = strrchr(m->files[i].path, '/');

        map_put_str(names, slash ? slash + 1 : m->files[i].path, names);
    }
}

static uint32_t report_unnamed(const char *folder, const struct map *names)
{
    DIR *dir = opendir(folder);
    struct dirent *d;
    uint32_t n = 0;

    while (dir && (d = readdir(dir)) != NULL) {
        size_t len = strlen(d->d_name);

        bool state = len >= 6 && strcmp(d->d_name + len - 6, ".state") == 0;

        if ((!state && strncmp(d->d_name, "_metadata.tmp-", 14) != 0) || map_get_str(names, d->d_name))
            continue;
        printf("%s/%s: nothing names it\n", folder, d->d_name);
        n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

/* Of the shared folder beside a checkpoint: what none of the checkpoints there names. */
static uint32_t report_shared(const struct cli_state *s)
{
    char *job = mem_printf("%s/..", s->folder), *shared = mem_printf("%s/shared", job);
    struct map *names = map_new();
    DIR *dir = opendir(job);
    struct dirent *d;
    bool whole = true;
    uint32_t n = 0;

    add_names(names, s->meta);
    while (dir && (d = readdir(dir)) != NULL) {
        char *path = mem_printf("%s/%s", job, d->d_name);
        struct cli_state other;
        struct err err = {0};

        if (strncmp(d->d_name, "chk-", 4) == 0) {
            if (cli_state_open(path, &other, &err) == 0) {
                add_names(names, other.meta);
                cli_state_close(&other);
            } else if (err.code != ERR_NOT_FOUND) {
                printf("%s\n", err.text);
                whole = false; /* it may name any of them */
            }
        }
        mem_free(path);
    }
    if (dir)
        closedir(dir);
    if (whole)
        n = report_unnamed(shared, names);
    map_free(names);
    mem_free(shared);
    mem_free(job);
    return n;
}

/* Whose the files are now; of one of a job's own checkpoints the mark is beside all of them. */
static void report_claims(const struct cli_state *s, const char *sub)
{
    char *folder = mem_printf("%s%s", s->folder, sub);
    DIR *dir = opendir(folder);
    struct dirent *d;

    while (dir && (d = readdir(dir)) != NULL) {
        if (strncmp(d->d_name, CKPT_CLAIMED, strlen(CKPT_CLAIMED)) == 0)
            printf("job %s has claimed it (%s/%s)\n", d->d_name + strlen(CKPT_CLAIMED), folder, d->d_name);
        if (strncmp(d->d_name, CKPT_RUNNING, strlen(CKPT_RUNNING)) == 0)
            printf("job %s has not ended, and removes it in time (%s/%s)\n", d->d_name + strlen(CKPT_RUNNING), folder, d->d_name);
    }
    if (dir)
        closedir(dir);
    mem_free(folder);
}

/* ---- the job ---- */

static const Rask__Graph__StreamNode *node_of(const Rask__Graph__StreamGraph *job, const struct ckpt_operator *op)
{
    for (size_t i = 0; i < job->n_nodes; i++)
        if (job->nodes[i]->has_operator_id && job->nodes[i]->operator_id.len == CKPT_OPERATOR_ID_BYTES &&
            memcmp(job->nodes[i]->operator_id.data, op->id, CKPT_OPERATOR_ID_BYTES) == 0)
            return job->nodes[i];
    return NULL;
}

static bool is_keyed(uint32_t kind)
{
    return kind < RASK_OPERATOR_LIST;
}

/* The columns that the operator's input is keyed by. NULL: none. */
static int key_of(struct arena *arena, const Rask__Graph__StreamNode *node, const rask_schema **ret, struct err *err)
{
    rask_schema *key = arena_alloc(arena, sizeof(*key));
    rask_field *fields = arena_alloc(arena, (node->n_key_columns + 1) * sizeof(*fields));
    const rask_schema *in;
    int rc;

    *ret = NULL;
    if (node->n_key_columns == 0 || !node->in)
        return 0;
    rc = schema_from_proto(arena, node->in, &in, err);
    *key = (rask_schema){RASK_ABI, (uint16_t)node->n_key_columns, "key", fields};
    for (size_t i = 0; i < node->n_key_columns && rc == 0; i++) {
        if (node->key_columns[i] >= in->columns)
            return err_set(err, ERR_PROTOCOL, "operator \"%s\" has no key column %u", node->name, node->key_columns[i]);
        fields[i] = in->fields[node->key_columns[i]];
    }
    *ret = key;
    return rc;
}

static int match_state(struct arena *arena, const struct ckpt_operator *op, const struct ckpt_state *has,
                       const Rask__Graph__StreamNode *node, const Rask__Graph__DeclaredState *decl, struct err *err)
{
    struct ckpt_state now = {.name = decl->name, .kind = decl->kind, .ttl_ms = decl->ttl_ms};
    enum schema_change change = SCHEMA_SAME;
    int rc = is_keyed(decl->kind) ? key_of(arena, node, &now.key, err) : 0;

    if (rc == 0 && decl->schema)
        rc = schema_from_proto(arena, decl->schema, &now.value, err);
    if (rc == 0 && decl->map_key)
        rc = schema_from_proto(arena, decl->map_key, &now.map_key, err);
    if (rc == 0)
        rc = ckpt_state_match(op->name, has, &now, &change, err);
    if (change == SCHEMA_MIGRATE)
        printf("operator \"%s\": state \"%s\" would be rewritten for its new schema\n", op->name, has->name);
    return rc;
}

/* What the engine itself keeps by key is found by the key that the operator has now. */
static int match_engine(struct arena *arena, const struct ckpt_operator *op, const struct ckpt_state *has, struct graph_op_state own,
                        const Rask__Graph__StreamNode *node, struct err *err)
{
    struct ckpt_state now = *has;
    enum schema_change change;
    int rc;

    now.kind = own.kind;
    now.map_key = own.row;
    rc = is_keyed(own.kind) ? key_of(arena, node, &now.key, err) : 0;

    return rc == 0 ? ckpt_state_match(op->name, has, &now, &change, err) : rc;
}

static int check_state(const struct ckpt_meta *m, struct arena *arena, const struct ckpt_operator *op, const struct ckpt_state *has,
                       const Rask__Graph__StreamNode *node, struct err *err)
{
    struct graph_op_state own[OP_STATES_MAX];
    uint32_t count = graph_op_states(node, arena, own);

    for (size_t k = 0; k < node->n_states; k++)
        if (strcmp(node->states[k]->name, has->name) == 0)
            return match_state(arena, op, has, node, node->states[k], err);
    for (uint32_t k = 0; k < count; k++)
        if (strcmp(own[k].name, has->name) == 0)
            return match_engine(arena, op, has, own[k], node, err);
    if (node->timers && ckpt_is_of_timers(has->name))
        return match_engine(arena, op, has, (struct graph_op_state){has->name, RASK_MAP, has->map_key}, node, err);
    return ckpt_state_gone(m, op, has->name, err);
}

/* ---- rows in flight, and the edges that they were on ---- */

static const Rask__Graph__StreamNode *operator_of(const Rask__Graph__JobGraph *job, uint32_t vertex, uint32_t op)
{
    return graph_node(job->stream, job->vertices[vertex]->operators[op]->node);
}

/* NULL: there is none. Splits of a source are never in flight. */
static const Rask__Graph__JobEdge *edge_of(const Rask__Graph__JobGraph *job, const struct ckpt_section *s)
{
    for (size_t i = 0; i < job->n_edges; i++) {
        const Rask__Graph__JobEdge *e = job->edges[i];
        const Rask__Graph__StreamNode *from = operator_of(job, e->source_vertex, e->source_operator);
        const Rask__Graph__StreamNode *to = operator_of(job, e->target_vertex, 0);

        if (from->operator_id.len == CKPT_OPERATOR_ID_BYTES && to->operator_id.len == CKPT_OPERATOR_ID_BYTES &&
            e->partitioner != RASK__GRAPH__PARTITIONER__SPLITS &&
            ckpt_edge(from->operator_id.data, e->side, e->input) == s->edge &&
            memcmp(to->operator_id.data, s->operator_id, CKPT_OPERATOR_ID_BYTES) == 0)
            return e;
    }
    return NULL;
}

static int match_rows(struct checker *c, struct arena *arena, const Rask__Graph__JobGraph *job, const struct ckpt_section *s,
                      struct err *err)
{
    const Rask__Graph__JobEdge *e = edge_of(job, s);
    const Rask__Graph__StreamNode *from = e ? operator_of(job, e->source_vertex, e->source_operator) : NULL;
    const Rask__Graph__Schema *message = !e          ? NULL
                                         : e->side < 0 ? from->out
                                                       : from->op->schemas[e->side];
    const rask_schema *now;
    struct bytes room, payload;
    rask_str has;
    struct reader r;
    int rc;

    if (!message)
        return ckpt_edge_gone(c->s->meta, s, err);
    bytes_init(&room);
    bytes_init(&payload);
    rc = schema_from_proto(arena, message, &now, err);
    if (rc == 0)
        rc = cli_state_section(c->s, s, &room, &payload, err);
    r = reader_of(payload.data, payload.len);
    if (rc == 0 && ckpt_rows_take_schema(&r, &has)) /* cut off: said already */
        rc = ckpt_rows_match(operator_of(job, e->target_vertex, 0)->name, has, now, err);
    bytes_release(&room);
    bytes_release(&payload);
    return rc;
}

/* One complaint for each channel's edge is enough: sections of one stand together. */
static void check_rows_in_flight(struct checker *c, const Rask__Graph__JobGraph *job)
{
    const struct ckpt_section *bad = NULL;
    struct arena arena;
    struct err err = {0};

    arena_init(&arena);
    for (uint32_t i = 0; i < c->s->meta->section_count; i++) {
        const struct ckpt_section *s = &c->s->meta->sections[i];

        if (s->kind != CKPT_INFLIGHT || (bad && bad->edge == s->edge))
            continue;
        if (match_rows(c, &arena, job, s, &err) != 0) {
            complain(c, &err);
            bad = s;
        }
    }
    arena_release(&arena);
}

static void check_operator(struct checker *c, const Rask__Graph__StreamGraph *job, const struct ckpt_operator *op)
{
    const Rask__Graph__StreamNode *node = node_of(job, op);
    struct err err = {0};
    struct arena arena;

    if (!node && op->state_count > 0 && ckpt_holds(c->s->meta, op->id, NULL)) {
        err_set(&err, ERR_INVALID, "operator \"%s\"%s%s has state, and the job has no such operator: restore with "
                    "--allowNonRestoredState to drop it, or give it its uid again", op->name, op->uid[0] ? ", uid " : "", op->uid);
        complain(c, &err);
    }
    arena_init(&arena);
    for (uint32_t i = 0; node && i < op->state_count; i++)
        if (check_state(c->s->meta, &arena, op, &op->states[i], node, &err) != 0)
            complain(c, &err);
    arena_release(&arena);
}

int cli_state_check(const struct cli_state *s, const Rask__Graph__JobGraph *job, struct err *err)
{
    struct checker c = {.s = s};
    struct map *names = map_new();
    uint32_t unnamed;

    for (uint32_t i = 0; i < s->meta->file_count; i++)
        check_file(&c, &s->meta->files[i]);
    for (uint32_t i = 0; i < s->meta->section_count && c.bad == 0; i++)
        check_section(&c, &s->meta->sections[i]);
    add_names(names, s->meta);
    unnamed = report_unnamed(s->folder, names);
    map_free(names);
    report_claims(s, "");
    if (s->meta->kind == CKPT_CHECKPOINT) {
        report_claims(s, "/..");
        unnamed += report_shared(s);
    }
    for (uint32_t i = 0; job && i < s->meta->operator_count; i++)
        check_operator(&c, job->stream, &s->meta->operators[i]);
    if (job)
        check_rows_in_flight(&c, job);
    if (c.bad > 0)
        return err_set(err, ERR_CORRUPT, "%s: %u problem%s", s->folder, c.bad, c.bad == 1 ? "" : "s");
    printf("%u files of %" PRIu64 " bytes, %u sections, %" PRIu64 " entries: whole%s\n", s->meta->file_count, c.bytes,
           s->meta->section_count, c.entries, job ? "; the job could be restored" : "");
    if (unnamed > 0)
        printf("%u file%s could be deleted\n", unnamed, unnamed == 1 ? "" : "s");
    return 0;
}
