/*
 * ckpt_meta.h - what a checkpoint or savepoint consists of: operators, states, files, sections.
 *
 * The JobManager keeps one per checkpoint as `_metadata`; a worker's acknowledgement is one too, holding what its
 * subtasks wrote.  A restoring worker reads `_metadata` itself, asks ckpt_plan which sections it needs, and reads
 * those by range.  Pure functions over memory; no I/O here.  Thread: any, one at a time per object.
 *
 * How sections make up the keyed state of an operator: an IMAGE holds all current entries of an interval of the hash
 * space as of checkpoint `to`; a DELTA what changed after checkpoint `from` up to `to`.  An entry of key hash h is
 * found in the newest image that covers h and the deltas with a greater `to`, in order; the last version wins.
 * Intervals, not key groups, so that parallelism and max parallelism may differ at restore.
 * States of the leveldb backend are in TABLEs instead, pieces of files that make up a LevelDB: of its MANIFEST (edge 0), and
 * of tables by their number (edge).  A MANIFEST replaces all tables of its interval that are older; a piece of a table may be
 * named by many checkpoints, its `to` is the first of them.
 *
 * _metadata, little-endian: magic "RASKCKPT", u32 version, u32 CRC32C, u64 payload length, payload (proto/ckpt.proto).
 * The CRC is of magic, version, length and payload.
 */
#ifndef CKPT_META_H
#define CKPT_META_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/types/schema.h"

#define CKPT_VERSION 1u
#define CKPT_INLINE_MAX 20480u           /* a record up to this size may stand in _metadata itself */
#define CKPT_META_MAX (256u << 20)       /* bytes of _metadata that are read */
#define CKPT_SECTION_MAX (192u << 20)    /* bytes of one section, decoded: a row of 64 MiB and company */
#define CKPT_OPERATOR_ID_BYTES 16
#define CKPT_NO_FILE UINT32_MAX
#define CKPT_TABLE_PIECE (2u << 20) /* bytes of a table in one section, but for its last */

/* And the id of a job: a file says that what is in the folder is its own. */
#define CKPT_CLAIMED "_claimed-" /* it began with it */
#define CKPT_RUNNING "_running-" /* its own checkpoints, and it has not ended */
#define CKPT_TIMERS "rask.timers." /* begin of the names of states that timers are kept in */

enum ckpt_kind { CKPT_CHECKPOINT = 1, CKPT_SAVEPOINT };
enum ckpt_codec { CKPT_PLAIN, CKPT_ZSTD };

enum ckpt_section_kind {
    CKPT_DELTA = 1, /* keyed */
    CKPT_IMAGE,     /* keyed */
    CKPT_LIST,      /* operator state: split among the new subtasks */
    CKPT_UNION,     /* operator state: everything to each */
    CKPT_BROADCAST, /* operator state: the same in each; one suffices */
    CKPT_INFLIGHT,  /* rows in the channel (edge, from_subtask, subtask) of the receiving operator */
    CKPT_TABLE,     /* keyed, of all states: a piece of a LevelDB table, as it is */
    CKPT_SECTION_KINDS
};

struct ckpt_section {
    enum ckpt_section_kind kind;
    uint8_t operator_id[CKPT_OPERATOR_ID_BYTES];
    const char *state;              /* borrowed: name; "" in flight and of tables */
    uint32_t subtask;               /* that wrote it; in flight: the receiving one, UINT32_MAX: any */
    /* keyed, table: interval of hash >> 32, both included; in flight: both the place in the channel's order */
    uint32_t hash_first, hash_last;
    uint64_t from, to;              /* checkpoints; image and others: from 0 */
    /* in flight, edge: ckpt_edge; table: number (0: MANIFEST), place of this piece in CKPT_TABLE_PIECE */
    uint32_t edge, from_subtask;
    uint64_t rows, raw_bytes;       /* entries; bytes of the payload */
    enum ckpt_codec codec;
    uint64_t stored_bytes;          /* the whole record: header, payload as stored, CRC */
    /* where the record is */
    uint32_t file;                  /* index into files; CKPT_NO_FILE: inline */
    uint64_t offset;
    rask_bytes data;                /* inline record, borrowed */
};

struct ckpt_state {
    const char *name;
    uint32_t kind;              /* enum rask_state_kind */
    const rask_schema *key;     /* NULL: operator state */
    const rask_schema *map_key; /* map; of the engine's own, in whose form the value is: the row that it is of; NULL: none */
    const rask_schema *value;   /* NULL: opaque bytes */
    int64_t ttl_ms;
};
struct ckpt_operator {
    uint8_t id[CKPT_OPERATOR_ID_BYTES];
    const char *uid, *name; /* "" if none */
    uint32_t parallelism, max_parallelism;
    struct ckpt_state *states;
    uint32_t state_count;
};
struct ckpt_file {
    const char *path; /* relative to the folder of _metadata, or absolute */
    uint64_t size;
    uint32_t crc; /* CRC32C of the whole file */
};

struct ckpt_meta {
    uint8_t job[16];
    uint64_t checkpoint;
    enum ckpt_kind kind;
    int64_t created_ms, completed_ms;
    const char *job_name, *version;
    struct ckpt_operator *operators;
    struct ckpt_file *files;
    struct ckpt_section *sections;
    uint32_t operator_count, file_count, section_count;
    uint32_t operator_room, file_room, section_room; /* of the arrays */
    struct map *file_of;                             /* path -> its number + 1 */
    rask_bytes extra; /* the coordinator's own, opaque here; borrowed until packed */
    struct arena arena; /* of all texts, schemas and inline records above */
};

struct ckpt_meta *ckpt_meta_new(void);
void ckpt_meta_free(struct ckpt_meta *m);

/* ---- building; all arguments are copied ---- */

/* Operator `like` by its id: added, or the one that is there. Index. */
uint32_t ckpt_meta_operator(struct ckpt_meta *m, const struct ckpt_operator *like);
/* A state of an operator by name, added or there. Different kind or schemas: ERR_INVALID, and a text with both. */
int ckpt_meta_state(struct ckpt_meta *m, uint32_t op, const struct ckpt_state *like, struct err *err) MUST_CHECK;
/* A file by its path, added or there. Index. */
uint32_t ckpt_meta_file(struct ckpt_meta *m, const char *path, uint64_t size, uint32_t crc);
/* Its operator and state must be there already; section->file is an index of this m. */
void ckpt_meta_add(struct ckpt_meta *m, const struct ckpt_section *section);
/* All of a part (an acknowledgement): operators, files, sections. */
int ckpt_meta_merge(struct ckpt_meta *m, const struct ckpt_meta *part, struct err *err) MUST_CHECK;
/*
 * After all parts are merged: from the previous complete checkpoint of the job (or the one it was restored from, when
 * its files may be used on) those keyed sections and tables that m still needs: not yet covered by newer ones.  Only of operators
 * that m names (ckpt_meta_operator keeps one whose tasks have all finished).  Operator state and rows in flight are never
 * carried.  `path_of` turns a path of `before` into one of m (in the arena of m; NULL: the same).
 * Every delta of m must start at a checkpoint <= before->checkpoint (before NULL: there may be none): else ERR_INVALID.
 */
typedef const char *ckpt_path_fn(void *arg, struct arena *arena, const char *path);
int ckpt_meta_carry(struct ckpt_meta *m, const struct ckpt_meta *before, ckpt_path_fn *path_of, void *arg,
                    struct err *err) MUST_CHECK;

/* ---- bytes ---- */

void ckpt_meta_pack(const struct ckpt_meta *m, struct bytes *out);
/* Checked: magic, version, CRC, every index, interval and size. where: path, for messages. Owned result. */
int ckpt_meta_unpack(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err) MUST_CHECK;

/* ---- reading ---- */

/* -1: not there. */
int ckpt_meta_find_operator(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES]);
int ckpt_meta_find_state(const struct ckpt_operator *op, const char *name);
/* Whether a state of this name can go on as the one that the job declares now. ERR_INVALID: a text with both. (ckpt_match.c) */
int ckpt_state_match(const char *operator, const struct ckpt_state *has, const struct ckpt_state *now, enum schema_change *ret,
                     struct err *err) MUST_CHECK;
/*
 * Whether anything is kept of the operator in the state, or, NULL, in any and on the way to it. Tables may hold all of its states
 * but timers; what was removed since may count.
 */
bool ckpt_holds(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES], const char *state);
bool ckpt_is_of_timers(const char *state); /* by its name */
/* The job declares no state of this name any more: legal if m (NULL: that is not known) has nothing in it, else ERR_INVALID. */
int ckpt_state_gone(const struct ckpt_meta *m, const struct ckpt_operator *op, const char *state, struct err *err);
/* Of rows in flight: no edge of the job is that of the section. ERR_INVALID. */
int ckpt_edge_gone(const struct ckpt_meta *m, const struct ckpt_section *s, struct err *err);
/* Of rows in flight to the operator, whose schema has this text: whether their edge has the same now. ERR_INVALID: with both. */
int ckpt_rows_match(const char *operator, rask_str has, const rask_schema *now, struct err *err) MUST_CHECK;
/*
 * The keyed sections of an operator that meet the interval, and no more, in the order in which wk_state_restore wants
 * them: tables, images, newest first, then deltas, oldest first.  Pointers into m, in an array of the arena.
 */
uint32_t ckpt_plan(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES], uint32_t hash_first,
                   uint32_t hash_last, struct arena *arena, const struct ckpt_section ***ret);
/* Bytes of all files and inline records that sections of m name: what the checkpoint occupies; and `own`: without those
 * that lie outside its folder or are shared (path begins with "../"). */
uint64_t ckpt_meta_bytes(const struct ckpt_meta *m, uint64_t *ret_own);

static inline bool ckpt_is_keyed(enum ckpt_section_kind kind)
{
    return kind == CKPT_DELTA || kind == CKPT_IMAGE;
}
/* It belongs to an interval of the hash space. */
static inline bool ckpt_is_placed(enum ckpt_section_kind kind)
{
    return ckpt_is_keyed(kind) || kind == CKPT_TABLE;
}
/* It belongs to one state. */
static inline bool ckpt_is_of_state(enum ckpt_section_kind kind)
{
    return kind != CKPT_INFLIGHT && kind != CKPT_TABLE;
}
/* What to say behind an error of reading a checkpoint in `dir` that somebody named; "": nothing. */
const char *ckpt_gone_hint(const char *dir, int code);
const char *ckpt_kind_name(enum ckpt_section_kind kind); /* "delta" */
const char *ckpt_map_key_name(uint32_t state_kind);      /* what map_key is there */
const char *ckpt_state_kind_name(uint32_t kind);         /* of enum rask_state_kind: "value state" */

/* The name of an edge at its receiving operator, whatever its number in a job graph: source operator, side output, input. */
uint32_t ckpt_edge(const uint8_t source[CKPT_OPERATOR_ID_BYTES], int32_t side, uint32_t input);

/* The interval of hash >> 32 of groups first .. last of max_parallelism. */
static inline uint32_t ckpt_hash_first(uint32_t group, uint32_t max_parallelism)
{
    return (uint32_t)((((uint64_t)group << 32) + max_parallelism - 1) / max_parallelism);
}
static inline uint32_t ckpt_hash_last(uint32_t group, uint32_t max_parallelism)
{
    return (uint32_t)(((((uint64_t)group + 1) << 32) + max_parallelism - 1) / max_parallelism - 1);
}
/* The interval of a subtask. */
void ckpt_hash_range(uint32_t subtask, uint32_t parallelism, uint32_t max_parallelism, uint32_t *ret_first,
                     uint32_t *ret_last);

#endif
