/*
 * sim_disk.h - what a simulated disk holds: files with a synced part, names with a durable view.
 * Included by test/sim/sim_disk.c and sim_fs.c alone.
 */
#ifndef SIM_SIM_DISK_H
#define SIM_SIM_DISK_H

#include "test/sim/sim_private.h"

struct inode {
    int refs;
    bool folder;
    struct bytes data;
    size_t durable_len; /* data[0, durable_len) survives */
    struct bytes old;   /* before a truncation that was not synced */
    bool truncated;
    const struct sim_host *writer; /* whose crash loses what is not synced */
};

enum change_type { CHANGE_PUT, CHANGE_REMOVE, CHANGE_RENAME };
struct sim_disk {
    struct sim *sim;
    struct map *now, *durable; /* path -> inode, referenced */
    struct list journal;
    uint64_t capacity; /* 0: without bound */
    uint32_t errors_per_million;
    uint64_t syncs, skipped_sync; /* so far; the one that does nothing, 0: none */
    uint64_t calls, failing_call; /* likewise: the one that fails */
    int failing_code;
    uint32_t failing_in_place;
};

struct inode *sim_inode_new(bool folder); /* one reference */
struct inode *sim_inode_ref(struct inode *inode);
void sim_inode_unref(struct inode *inode);
void sim_inode_sync(struct inode *inode);
/* A sync is about to happen. False: it is the one that does nothing (sim_disk_skip_sync). */
bool sim_disk_syncs_now(struct sim_disk *disk);

/* A change of names: at once in the current view, in the journal until a sync of its folder. */
void sim_disk_change(struct sim_disk *disk, enum change_type type, const char *path, const char *to,
                     struct inode *inode, const struct sim_host *by);
void sim_disk_sync_folder(struct sim_disk *disk, const char *folder);
bool sim_disk_folder_exists(struct sim_disk *disk, const char *path);
bool sim_disk_parent_exists(struct sim_disk *disk, const char *path);

char *sim_path_parent(const char *path); /* "" for what lies in the root; owned by the caller */
bool sim_path_is_in(const char *path, const char *folder);
bool sim_path_is_under(const char *path, const char *folder);
bool sim_path_is_shared(const char *path);

#endif
