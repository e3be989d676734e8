/*
 * fs.h - asynchronous whole-file and append operations, with written told apart from synced.
 *
 * Every call completes later through cb on the loop thread.  After a crash only what was synced (file
 * content by fs sync, names by dir sync) is promised.  Paths are bytes, absolute.
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
    uint64_t size;             /* stat */
    char **names;              /* list: sorted, borrowed */
    size_t name_count;
};
typedef void fs_cb(void *arg, const struct fs_result *result);

enum fs_open_mode { FS_READ, FS_CREATE /* truncates */, FS_APPEND };

struct fs_ops {
    void (*open)(struct fs *fs, const char *path, enum fs_open_mode mode, fs_cb *cb, void *arg);
    void (*pread)(struct fs *fs, struct fs_file *file, uint64_t offset, size_t len, fs_cb *cb, void *arg);
    void (*append)(struct fs *fs, struct fs_file *file, const void *data, size_t len, fs_cb *cb,
                   void *arg); /* data is copied */
    void (*sync)(struct fs *fs, struct fs_file *file, fs_cb *cb, void *arg);
    void (*close)(struct fs *fs, struct fs_file *file);
    /* Whole files: read all of it; or write to a temporary name, sync, rename, sync the folder (atomic, durable). */
    void (*read_all)(struct fs *fs, const char *path, size_t max, fs_cb *cb, void *arg);
    void (*write_all)(struct fs *fs, const char *path, const void *data, size_t len, fs_cb *cb, void *arg);
    void (*rename)(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg);
    void (*unlink)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    void (*mkdirs)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    void (*sync_dir)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    void (*list)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
    void (*stat)(struct fs *fs, const char *path, fs_cb *cb, void *arg);
};
struct fs {
    const struct fs_ops *ops;
};

struct env;
struct fs *fs_posix_new(struct env *env); /* on env_work */
void fs_posix_free(struct fs *fs);

#endif
