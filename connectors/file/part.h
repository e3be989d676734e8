/*
 * part.h - one part file of the file sink, from its first row to its final name.
 *
 *     .part-<writer>-<n>.inprogress     being written, or closed and waiting for its checkpoint
 *     part-<writer>-<n>                 committed
 *
 * <writer> is drawn by each attempt of a subtask, so two attempts never write one file: a part that was open at a checkpoint
 * is copied up to the bytes of the checkpoint, and the attempt before may write into the old one as long as it likes.
 * Functions return 0 or an errno; *ret_path names the file.  Blocking; in the step of the subtask.
 */
#ifndef CONNECTORS_FILE_PART_H
#define CONNECTORS_FILE_PART_H

#include "common/base/bytes.h"

struct part {
    char *bucket;            /* folder below the sink's; "": none */
    char *inprogress, *final;
    int fd;
    uint64_t written;        /* bytes of the file */
    struct bytes text;       /* and those that are not in it yet */
    int64_t begun_ms, touched_ms;
    bool saved;              /* a checkpoint remembers it open */
};

/* Makes the folder, and an empty file that nobody had before. */
int part_begin(const char *folder, const char *bucket, const char *name, int64_t now_ms, struct part **ret,
               const char **ret_path);
int part_write_out(struct part *p);
int part_sync(struct part *p); /* writes out; file and name survive a crash */
/* The first len bytes of a file that an earlier attempt wrote become the begin of p. */
int part_take_over(struct part *p, const char *from, uint64_t len, const char **ret_path);
void part_free(struct part *p); /* closes; the file stays */

/*
 * What a checkpoint promises of a closed part, as bytes: rename it, or (an open one that was copied) remove it.
 * Either may be done again and again, by any process.
 */
void part_promise(struct bytes *out, const char *inprogress, const char *final, uint64_t len); /* final NULL: remove */
struct part_promise {
    char *inprogress, *final; /* owned; final NULL: remove */
    uint64_t len;
};
bool part_promise_read(const void *data, size_t len, struct part_promise *ret); /* false: no promise */
void part_promise_release(struct part_promise *p);
enum part_kept { PART_KEPT, PART_FAILED, PART_LOST, PART_SHORT };
/* FAILED: *ret_errno. LOST: it is under neither name. SHORT: bytes are missing. */
enum part_kept part_keep(const struct part_promise *p, int *ret_errno);

#endif
