/*
 * fs.h - asynchronous whole-file and append operations, with written told apart from synced.
 *
 * Every call completes later through cb on the loop thread.  After a crash only what was synced (file
 * content by fs sync, names by dir sync) is promised.  Paths are bytes, absolute.
 * Calls on one file handle run in the order they were made.  Others may overtake each other: who
 * needs an order waits for the callback.  Errors name the path and what was being done to it.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct fs;
struct fs_file;

/* result: 0 or an error code with err filled. data/len: what was read (borrowed until cb returns). */
struct fs_result {
    int code;
    struct err err;
    struct fs_file *file;      /* open */
    const uint8_t *data;       /* read */
    size_t len;
    uint8_t **owner;           /* read, append_taken: fs_take */
    uint64_t size;             /* stat */
    bool in_place;             /* write_all that failed: the name is there, and may not outlive the host */
    char **names;              /* list: sorted, borrowed */
    size_t name_count;
};
typedef void fs_cb(void *arg, const struct fs_result *result);

/*
 * FS_CREATE truncates, FS_APPEND creates what is missing; both may be read too.  FS_CREATE_UNCACHED: as FS_CREATE, and what is
 * written is not kept in memory where the system can do so (append_taken): of files that are large and will hardly be read.
 */
#define FS_BLOCK_BYTES 4096u
enum fs_open_mode { FS_READ, FS_CREATE, FS_APPEND, FS_CREATE_UNCACHED };

/* What was read, or is appended and taken, becomes the caller's: mem_free. In the callback, once. */
static inline uint8_t *fs_take(const struct fs_result *result)
{
    uint8_t *data = *result->owner;

    *result->owner = NULL;
    return data;
}

struct fs_ops {
    void (*open)(struct fs *fs, const char *path, enum fs_open_mode mode, fs_cb *cb, void *arg);
    void (*pread)(struct fs *fs, struct fs_file *file, uint64_t offset, size_t len, fs_cb *cb, void *arg);
    void (*append)(struct fs *fs, struct fs_file *file, const void *data, size_t len, fs_cb *cb,
                   void *arg); /* data is copied */
    /* Data is taken: mem_free, or fs_take in the callback. Blocks of FS_BLOCK_BYTES that begin at a multiple of it in memory and
     * in the file (FS_CREATE_UNCACHED, nothing but such before, and the file not read) go from there to the disk. */
    void (*append_taken)(struct fs *fs, struct fs_file *file, uint8_t *data, size_t len, fs_cb *cb, void *arg);
    void (*sync)(struct fs *fs, struct fs_file *file, fs_cb *cb, void *arg);
    void (*close)(struct fs *fs, struct fs_file *file); /* after the calls made before it; the handle is gone */
    /* Whole files: read all of it (ERR_LIMIT if longer than max); or write to a temporary name, sync, rename, sync
     * the folder (atomic, durable). */
    void (*read_all)(struct fs *fs, const char *path, size_t max, fs_cb *cb, void *arg);
    void (*write_all)(struct fs *fs, const char *path, const void *data, size_t len, fs_cb *cb, void *arg);
    void (*rename)(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg);
    /* `to` becomes another name of the file, and no longer names what it did. Not possible everywhere, least of all between
     * disks: then `to` is gone. The name is not synced. */
    void (*link)(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg);
    void (*unlink)(struct fs *fs, const char *path, fs_cb *cb, void *arg); /* a file or an empty folder */
    void (*mkdirs)(struct fs *fs, const char *path, fs_cb *cb, void *arg); /* with parents; may exist; names durable */
    void (*sync_dir)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    void (*list)(struct fs *fs, const char *path, fs_cb *cb, void *arg); /* temporary names are left out */
    void (*stat)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    /* The callbacks of calls made with arg will not run (what they do to the disk still happens, and a file that
     * they open is closed). For an owner that is about to be freed. */
    void (*forget)(struct fs *fs, void *arg);
};
struct fs {
    const struct fs_ops *ops;
};

struct env;
struct fs *fs_posix_new(struct env *env); /* on env_work */
void fs_posix_stop(struct fs *fs); /* forgets all calls; what is under way still has to end in env_work */
void fs_posix_free(struct fs *fs);

#endif
