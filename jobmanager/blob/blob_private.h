/* blob_private.h - between the files of the blob store. */
#ifndef JM_BLOB_PRIVATE_H
#define JM_BLOB_PRIVATE_H

#include "jobmanager/blob/blob_store.h"

struct jm_blob {
    uint64_t file; /* number in its name */
    uint64_t size;
    uint32_t refs;
    uint64_t used_ns; /* put, or given back */
};
struct jm_blob_read {
    struct list link;
    struct jm_blobs *store;
    struct fs *fs;
    struct fs_file *file;
    uint64_t offset, size;
    size_t max;
    jm_blob_read_fn *fn;
    void *arg;
};

char *jm_blob_path(struct jm_blobs *blobs, uint64_t file); /* the caller's */
void jm_blob_remove_file(struct jm_blobs *blobs, uint64_t file);
/* false: there already, the new file is not needed. */
bool jm_blob_keep(struct jm_blobs *blobs, const uint8_t hash[32], uint64_t file, uint64_t size);
void jm_blob_puts_drop(struct jm_blobs *blobs);

#endif
