/* stores_private.h - a store on LevelDB, as its files share it. Of programs, not of the core. */
#ifndef WK_STORES_PRIVATE_H
#define WK_STORES_PRIVATE_H

#include <pthread.h>

#include "common/base/check.h"
#include "taskmanager/worker/store/store.h"
#include "taskmanager/worker/store/values_posix.h"

#define FORM_KEY "\xff"        /* what a checkpoint says of those files; keys of entries are longer */

struct store {
    struct wk_store base;
    char *dir;
    bool made; /* the folder */
    uint64_t memory_bytes;
    pthread_rwlock_t lock;
    struct leveldb_t *db; /* NULL: not open */
    struct leveldb_options_t *options;
    struct leveldb_filterpolicy_t *filter;
    struct leveldb_cache_t *cache;
    struct leveldb_readoptions_t *read;
    struct leveldb_writeoptions_t *write;
    struct leveldb_writebatch_t *batch;
    size_t batch_bytes;
    struct values *values;
    struct sums *sums; /* of files of values, and of tables that a checkpoint has named */
    bool received, tagged;    /* made of files; of values with a tag */
    struct bytes room;        /* the writer's: a value with its tag */
    uint64_t value_bytes;     /* that were put into files since the last commit */
    uint32_t frozen; /* folders of links that were made */
    uint32_t scans;  /* open; atomic */
};

static inline struct store *store_of(struct wk_store *s)
{
    return CONTAINER_OF(s, struct store, base);
}
/* Takes LevelDB's text. */
int wk_store_failed(const struct store *s, char *text, struct err *err);

/* ---- entries_leveldb.c: of struct wk_store_ops ---- */
int wk_store_get(struct wk_store *base, const void *key, size_t len, struct bytes *value, struct err *err);
int wk_store_put(struct wk_store *base, const void *key, size_t len, const void *value, size_t value_len, struct err *err);
int wk_store_remove(struct wk_store *base, const void *key, size_t len, struct err *err);
int wk_store_commit(struct wk_store *base, struct err *err);

/* What was put and removed so far can be read. The writer. */
int wk_store_write_batch(struct store *s, struct err *err);
/* Whether what LevelDB has as a value is a place in a file of values. */
bool wk_store_place(const void *value, size_t len, struct value_place *ret);
int wk_store_no_file(const struct store *s, struct value_place place, struct err *err); /* that the place names */
/* What a checkpoint says of files of values: into the batch; and back, when a store has been made of files. */
void wk_store_put_form(struct store *s);
int wk_store_read_form(struct store *s, struct err *err);

#endif
