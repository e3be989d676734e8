/* coordinator_private.h - between the files of the checkpoint coordinator. */
#ifndef JM_COORDINATOR_PRIVATE_H
#define JM_COORDINATOR_PRIVATE_H

#include "common/base/map.h"
#include "common/ckpt/ckpt_meta.h"
#include "jobmanager/checkpoint/coordinator.h"
#include "common/fs/sweep.h"

#define CK_MODULE  "checkpoint"
#define KIND(name) RASK__CONTROL__CHECKPOINT_KIND__##name

enum pending_state { PENDING_PREPARING, PENDING_COLLECTING, PENDING_WRITING, PENDING_GIVEN_UP /* in ghosts */ };

struct pending { /* a checkpoint under way */
    struct list link;
    struct jm_ckpt *c;
    uint64_t id;
    enum pending_state state;
    struct jm_ckpt_entry *entry; /* one reference */
    char *dir;                   /* of _metadata */
    uint64_t begun_ns;
    uint32_t workers, acked;
    uint64_t *acked_set; /* bit by worker */
    struct ckpt_meta *meta;
    struct bytes packed;
    struct env_timer timeout;
    struct env_timer again; /* of writing _metadata */
    uint64_t doubt_ns;      /* since then there may be a _metadata that could not be written to the end; 0: there is none */
    jm_ckpt_done *done; /* NULL: nobody asked */
    void *arg;
    bool making;   /* a folder of it is being made */
    bool reported; /* in the book as failed already, its late subtasks are not known yet */
};

struct complete { /* a checkpoint that may be restored from */
    struct list link;
    uint64_t id;
    char *dir;
    struct ckpt_meta *meta;
    struct jm_ckpt_entry *entry;
    bool near;    /* its folder stands beside those of the job's own checkpoints */
    bool foreign; /* the user's (begun with, or to stop with): nothing of it is removed */
};

struct leftover { /* a folder that had to be removed, and somebody made files in it meanwhile */
    struct list link;
    char *path;
};
#define LEFTOVERS_MAX 100

struct wish { /* asked for, not begun yet */
    struct list link;
    Rask__Control__CheckpointKind kind;
    bool full;
    char *dir;
    jm_ckpt_done *done;
    void *arg;
};

struct jm_ckpt {
    struct jm_ckpt_options options;
    struct env *env;
    char job[ID_TEXT_MAX];
    struct jm_ckpt_settings settings;
    uint32_t retained;
    bool keep_failed, keep_canceled;
    bool incremental; /* else each is complete in itself */
    char *dir, *shared_dir, *savepoint_dir; /* owned; savepoint_dir NULL: not set */

    char *load_path, *claimed; /* owned; the checkpoint to begin with; folder of files that the job owns with it */
    char *other;               /* owned; a mark in that folder, that is looked at */
    struct ckpt_meta *loaded;  /* owned; while its claim is looked at */
    void (*claim_then)(struct jm_ckpt *c, struct err *error);
    bool loading, ignore_unclaimed;
    bool running;     /* an epoch that takes checkpoints */
    int made;         /* of what its checkpoints have in common: 1: shared_dir, 2: and the mark that the job has not ended */
    bool marked;      /* that mark has been written */
    uint64_t counter; /* of the last one begun */
    uint64_t given;   /* that jm_ckpt_latest named last; 0: none */
    uint64_t last_begun_ns, last_end_ns;
    uint64_t failed_in_row;
    bool due, wanted; /* an interval has passed; a task waits at its end */
    bool full_next;   /* files of earlier ones may be gone: the next names none of them */
    bool strays;      /* a checkpoint was given up: files of it may lie in shared_dir, and in leftovers */
    struct list leftovers;
    uint32_t leftover_count;
    struct env_timer timer;
    struct list pendings;  /* oldest first */
    struct list ghosts;    /* pendings that were given up while a folder of theirs was being made: removed when it is */
    bool over;             /* the job is, and no worker makes files any more */
    enum jm_job_state over_in;
    struct list completes; /* oldest first */
    struct list wishes;
    struct map *refs; /* absolute path of a file -> how many completes name it, as a pointer */
    struct fs_sweeper sweeper;
    struct jm_ckpt_book book;
    struct jm_ckpt_stats *picture;
    bool dirty;
};

bool jm_ck_stops(Rask__Control__CheckpointKind kind); /* the job, when it is complete */
void jm_ck_changed(struct jm_ckpt *c);
void jm_ck_turn_soon(struct jm_ckpt *c);
/* Given up: tells the workers when the epoch lives. counts: towards the tolerable ones. */
void jm_ck_pending_fail(struct pending *p, bool tell, bool counts, int code, const char *text);
void jm_ck_pending_free(struct pending *p);

/* claim.c */
/*
 * Whether the folder of what c begins with is another job's; if not, and own, it is c's then.  then is called later,
 * unless forgotten (c); with an error if it may not begin.
 */
void jm_ck_claim(struct jm_ckpt *c, bool own, void (*then)(struct jm_ckpt *c, struct err *error));
/* Of the names in a folder: the mark of its owner, other than job `except` (NULL: any). Borrowed; NULL: it has none. */
const char *jm_ck_mark(const struct fs_result *list, const char *except);
char *jm_ck_running_mark(const struct jm_ckpt *c); /* its path, owned: of c's own checkpoints while the job is not over */
char *jm_ck_mark_text(const struct jm_ckpt *c);    /* what is in c's marks, owned */
void jm_ck_claim_end(struct jm_ckpt *c, struct fs_sweep *sweep); /* the mark goes with the sweep */

/* load.c */
int jm_ck_load_start(struct jm_ckpt *c, struct err *err) MUST_CHECK;

/* finish.c */
void jm_ck_finish(struct pending *p); /* every worker has acknowledged */
void jm_ck_complete_free(struct complete *done);
void jm_ck_ref_files(struct jm_ckpt *c, const char *dir, const struct ckpt_meta *m);
bool jm_ck_folder_in_use(const struct jm_ckpt *c, const char *dir);
void jm_ck_retain(struct jm_ckpt *c); /* removes what is more than retained */
void jm_ck_sweep_pending(struct pending *p);
void jm_ck_left_busy(void *arg, const char *folder); /* of a sweep */
void jm_ck_leftover_free(struct leftover *l);

#endif
