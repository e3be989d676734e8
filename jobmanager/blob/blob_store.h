/*
 * blob_store.h - artifacts by the SHA-256 of their content, in files, counted by who uses them.
 *
 * A blob is written as it is hashed, in parts of 1 MiB, so no call is long and no artifact is in
 * memory twice.  One that nobody uses is removed JM_BLOB_GRACE_MS after it was put or given back.
 * Nothing survives a restart: the folder is this process's own.  Thread: the control loop.
 */
#ifndef JM_BLOB_STORE_H
#define JM_BLOB_STORE_H

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/env/env.h"
#include "common/fs/fs.h"

#define JM_BLOB_PART     (1u << 20)
#define JM_BLOB_MAX      (1ull << 30)
#define JM_BLOBS_MAX     10000
#define JM_BLOB_GRACE_MS 60000

struct jm_blobs {
    struct env *env;
    char *dir;         /* owned */
    struct map *blobs; /* hash -> struct jm_blob */
    uint64_t next_file;
    struct list puts, reads; /* under way */
    struct env_timer sweep_timer;
};
void jm_blobs_init(struct jm_blobs *blobs, struct env *env, const char *dir);
/* reads end with ERR_CLOSED, puts are never heard of again */
void jm_blobs_clear(struct jm_blobs *blobs);

typedef void jm_blob_put_fn(void *arg, const struct err *error, const uint8_t hash[32]);
/* data: borrowed until fn; or path: a file that is gone afterwards. */
void jm_blobs_put(struct jm_blobs *blobs, const void *data, size_t len, const char *path,
                  jm_blob_put_fn *fn, void *arg);

bool jm_blobs_ref(struct jm_blobs *blobs, const uint8_t hash[32]); /* false: not here */
void jm_blobs_unref(struct jm_blobs *blobs, const uint8_t hash[32]);

typedef void jm_blob_read_fn(void *arg, const struct err *error, const void *data, size_t len,
                             uint64_t size);
/* At most JM_BLOB_PART bytes from offset; data is borrowed until fn returns. */
void jm_blobs_read(struct jm_blobs *blobs, const uint8_t hash[32], uint64_t offset, size_t max,
                   jm_blob_read_fn *fn, void *arg);

#endif
