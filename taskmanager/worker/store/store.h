/*
 * store.h - tables of entries on disk, behind the state table: what state needs of LevelDB, and no more.
 *
 * A store belongs to one state (one operator in one subtask).  Keys are ordered as bytes.  One thread writes at a time, the
 * store thread of the worker; any may read beside it.  What was committed is not durable: a store lives as long as its
 * process, checkpoints are made of its files.  Errors name the folder, and are ERR_IO or ERR_CORRUPT.
 */
#ifndef WK_STORE_H
#define WK_STORE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct wk_store;
struct wk_store_scan;

/* The files that a store consists of at a moment, held until wk_store_files_free. Tables never change. */
struct wk_store_file {
    uint32_t number; /* greater than 0; not used twice in the life of a store, and of those that are made of its files */
    uint64_t size;
};
struct wk_store_files {
    struct wk_store *store;
    struct wk_store_file *tables; /* owned */
    uint32_t count;
    struct bytes manifest; /* which tables are on which level: file number 0 */
    char *dir;             /* hard links, for reading alone: never opened as a store */
};

struct wk_store_job { /* work for the store thread, in order of submission */
    void (*run)(struct wk_store_job *job);
    struct wk_store_job *next;
};

struct wk_stores;
struct wk_store_ops {
    /* ---- of the worker ---- */
    /* label: part of the folder's name. Nothing is on disk yet. Never NULL. */
    struct wk_store *(*make)(struct wk_stores *stores, const char *label);
    /* Removes its folder. Nobody reads or writes any more. NULL is legal. */
    void (*free)(struct wk_store *store);
    void (*submit)(struct wk_stores *stores, struct wk_store_job *job);

    /* ---- a store made of files, before it is opened ---- */
    int (*receive)(struct wk_store *store, uint32_t file, uint64_t offset, const void *data, size_t len, struct err *err);

    /* memory_bytes: of buffers, caches and filters. An empty store if nothing was received. */
    int (*open)(struct wk_store *store, uint64_t memory_bytes, struct err *err);
    /* 1: value is replaced; 0: there is none. */
    int (*get)(struct wk_store *store, const void *key, size_t len, struct bytes *value, struct err *err);

    /* ---- the writer ---- */
    int (*put)(struct wk_store *store, const void *key, size_t len, const void *value, size_t value_len, struct err *err);
    int (*remove)(struct wk_store *store, const void *key, size_t len, struct err *err);
    int (*commit)(struct wk_store *store, struct err *err); /* all that was put and removed can be read */
    /* All that was committed goes to files, and those are held. */
    int (*freeze)(struct wk_store *store, struct wk_store_files *ret, struct err *err);

    /* ---- any thread ---- */
    int (*read)(const struct wk_store_files *files, uint32_t i, uint64_t offset, void *to, size_t len, struct err *err);
    void (*files_free)(struct wk_store_files *files);
    /* Entries as they are now, in order. Never NULL. */
    struct wk_store_scan *(*scan)(struct wk_store *store);
    void (*scan_seek)(struct wk_store_scan *scan, const void *key, size_t len); /* the first one at or behind */
    bool (*scan_at)(const struct wk_store_scan *scan, struct reader *ret_key, struct reader *ret_value); /* false: the end */
    void (*scan_next)(struct wk_store_scan *scan);
    int (*scan_free)(struct wk_store_scan *scan, struct err *err); /* the error that ended it */
};
struct wk_stores {
    const struct wk_store_ops *ops;
};
struct wk_store {
    struct wk_stores *stores;
};

/* dir: an existing folder, in which each store makes its own; copied. (stores_leveldb.c) */
struct wk_stores *wk_stores_leveldb_new(const char *dir);
void wk_stores_leveldb_free(struct wk_stores *stores); /* NULL is legal; no store is left */

#endif
