/*
 * sim_disk.c - simulated disks, and what a power cut leaves of them.
 *
 * A disk belongs to a host; one more, under SIM_SHARED, to all.  Names live in two views: the current one, and the
 * durable one with a journal of changes that no folder sync has covered.  A power cut leaves the durable view, a
 * drawn prefix of that journal, and of each file's unsynced tail a drawn part.
 */
#include "test/sim/sim_disk.h"

#include <string.h>

struct change {
    struct list node; /* in sim_disk.journal */
    enum change_type type;
    char *path, *to;     /* owned */
    struct inode *inode; /* referenced; of a put */
    const struct sim_host *by;
};

/* ---- inodes and names ---- */

struct inode *sim_inode_new(bool folder)
{
    struct inode *inode = MEM_NEW(struct inode);

    inode->refs = 1;
    inode->folder = folder;
    return inode;
}

struct inode *sim_inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

void sim_inode_unref(struct inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    bytes_release(&inode->data);
    bytes_release(&inode->old);
    mem_free(inode);
}

static void view_put(struct map *view, const char *path, struct inode *inode)
{
    sim_inode_unref(map_put_str(view, path, sim_inode_ref(inode)));
}

static void view_remove(struct map *view, const char *path)
{
    sim_inode_unref(map_remove_str(view, path));
}

bool sim_path_is_under(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

static void view_rename(struct map *view, const char *from, const char *to)
{
    struct inode *inode = map_remove_str(view, from);

    if (inode == NULL)
        return;
    sim_inode_unref(map_put_str(view, to, inode));
    if (!inode->folder)
        return;
    for (struct map_iter it = map_iter(view); map_next(&it);) { /* what lies in it moves along */
        char *moved;

        if (!sim_path_is_under(it.key, from))
            continue;
        moved = mem_printf("%s%s", to, (const char *)it.key + strlen(from));
        inode = map_remove_str(view, it.key);
        sim_inode_unref(map_put_str(view, moved, inode));
        mem_free(moved);
    }
}

static void apply(struct map *view, const struct change *c)
{
    if (c->type == CHANGE_PUT)
        view_put(view, c->path, c->inode);
    else if (c->type == CHANGE_REMOVE)
        view_remove(view, c->path);
    else
        view_rename(view, c->path, c->to);
}

static void change_free(struct change *c)
{
    list_remove(&c->node);
    sim_inode_unref(c->inode);
    mem_free(c->path);
    mem_free(c->to);
    mem_free(c);
}

void sim_disk_change(struct sim_disk *disk, enum change_type type, const char *path, const char *to,
                     struct inode *inode, const struct sim_host *by)
{
    struct change *c = MEM_NEW(struct change);

    c->type = type;
    c->path = mem_strdup(path);
    c->to = mem_strdup(to);
    c->inode = inode == NULL ? NULL : sim_inode_ref(inode);
    c->by = by;
    list_push_back(&disk->journal, &c->node);
    apply(disk->now, c);
}

char *sim_path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = mem_strdup(path);

    parent[slash == NULL ? 0 : slash - path] = '\0';
    return parent; /* "" is the root */
}

bool sim_path_is_in(const char *path, const char *folder)
{
    char *parent = sim_path_parent(path);
    bool yes = strcmp(parent, folder) == 0;

    mem_free(parent);
    return yes;
}

bool sim_disk_syncs_now(struct sim_disk *disk)
{
    return ++disk->syncs != disk->skipped_sync;
}

/* What a sync of the folder makes durable, in the order in which it happened. */
void sim_disk_sync_folder(struct sim_disk *disk, const char *folder)
{
    if (!sim_disk_syncs_now(disk))
        return;
    LIST_FOREACH_SAFE (node, &disk->journal) {
        struct change *c = LIST_ENTRY(node, struct change, node);

        if (!sim_path_is_in(c->path, folder) &&
            !(c->type == CHANGE_RENAME && sim_path_is_in(c->to, folder)))
            continue;
        apply(disk->durable, c);
        change_free(c);
    }
}

bool sim_disk_folder_exists(struct sim_disk *disk, const char *path)
{
    struct inode *inode = *path == '\0' ? NULL : map_get_str(disk->now, path);

    return *path == '\0' || (inode != NULL && inode->folder);
}

bool sim_disk_parent_exists(struct sim_disk *disk, const char *path)
{
    char *parent = sim_path_parent(path);
    bool yes = sim_disk_folder_exists(disk, parent);

    mem_free(parent);
    return yes;
}

void sim_inode_sync(struct inode *inode)
{
    inode->durable_len = inode->data.len;
    inode->truncated = false;
    bytes_clear(&inode->old);
}

/* ---- disks ---- */

struct sim_disk *sim_disk_new(struct sim *sim)
{
    struct sim_disk *disk = MEM_NEW(struct sim_disk);

    disk->sim = sim;
    disk->now = map_new();
    disk->durable = map_new();
    list_init(&disk->journal);
    return disk;
}

static void view_clear(struct map *view)
{
    for (struct map_iter it = map_iter(view); map_next(&it);)
        view_remove(view, it.key);
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    view_clear(disk->now);
    view_clear(disk->durable);
    map_free(disk->now);
    map_free(disk->durable);
    while (!list_empty(&disk->journal))
        change_free(LIST_ENTRY(disk->journal.next, struct change, node));
    mem_free(disk);
}

void sim_disk_reset_faults(struct sim_disk *disk)
{
    disk->capacity = 0;
    disk->errors_per_million = 0;
    disk->skipped_sync = disk->failing_call = 0;
    disk->failing_in_place = 0;
}

static void tear(struct inode *inode, struct sim_streams *s)
{
    size_t keep;

    if (inode->truncated && sim_draw_chance(s, STREAM_DISK, 1, 2)) {
        bytes_clear(&inode->data);
        bytes_add(&inode->data, inode->old.data, inode->old.len);
    } else if (inode->data.len > inode->durable_len) {
        SIM_PROBE("fs: a crash tore an unsynced tail");
        keep = sim_draw_range(s, STREAM_DISK, inode->durable_len, inode->data.len);
        inode->data.len = keep;
        for (size_t i = MAX(inode->durable_len, keep - MIN(keep, 64)); i < keep; i++)
            if (sim_draw_chance(s, STREAM_DISK, 1,
                                8)) /* blocks that never got there read as zeros */
                inode->data.data[i] = 0;
    }
    sim_inode_sync(inode);
}

/* Every folder on its way is there. */
static bool is_reachable(struct map *view, const char *path)
{
    char *at = sim_path_parent(path);
    bool yes = true;

    while (yes && *at != '\0') {
        struct inode *folder = map_get_str(view, at);
        char *parent = sim_path_parent(at);

        yes = folder != NULL && folder->folder;
        mem_free(at);
        at = parent;
    }
    mem_free(at);
    return yes;
}

static void drop_orphans(struct map *view)
{
    for (struct map_iter it = map_iter(view); map_next(&it);)
        if (!is_reachable(view, it.key))
            view_remove(view, it.key);
}

void sim_disk_power_cut(struct sim_disk *disk, struct sim_streams *s, const struct sim_host *host)
{
    uint64_t left = 0;

    LIST_FOREACH (node, &disk->journal)
        left += LIST_ENTRY(node, struct change, node)->by == host;
    left = sim_draw_range(s, STREAM_DISK, 0, left);
    LIST_FOREACH_SAFE (node, &disk->journal) {
        struct change *c = LIST_ENTRY(node, struct change, node);

        if (c->by !=
            host) /* on shared storage: the others' changes are the storage's own business */
            ;
        else if (left > 0)
            left--;
        else {
            SIM_PROBE("fs: a crash lost a name");
            change_free(c);
            continue;
        }
        apply(disk->durable, c);
        change_free(c);
    }
    drop_orphans(disk->durable);
    view_clear(disk->now);
    for (struct map_iter it = map_iter(disk->durable); map_next(&it);) {
        struct inode *inode = it.value;

        if (inode->writer == host)
            tear(inode, s);
        view_put(disk->now, it.key, inode);
    }
}

void sim_disk_capacity(struct sim_node *node, uint64_t bytes)
{
    node->host->disk->capacity = bytes;
}

void sim_disk_errors(struct sim_node *node, uint32_t per_million)
{
    node->host->disk->errors_per_million = per_million;
}

static struct sim_disk *disk_at(struct sim_node *node, const char *path)
{
    return sim_path_is_shared(path) ? node->sim->shared_disk : node->host->disk;
}

uint64_t sim_disk_skip_sync(struct sim_node *node, const char *path, uint64_t number)
{
    struct sim_disk *disk = disk_at(node, path);

    disk->skipped_sync = number == 0 ? 0 : disk->syncs + number;
    return disk->syncs;
}

uint64_t sim_disk_fail_call(struct sim_node *node, const char *path, uint64_t number, int code)
{
    struct sim_disk *disk = disk_at(node, path);

    disk->failing_call = number == 0 ? 0 : disk->calls + number;
    disk->failing_code = code;
    return disk->calls;
}

void sim_disk_fail_in_place(struct sim_node *node, const char *path, uint32_t count)
{
    disk_at(node, path)->failing_in_place = count;
}

bool sim_path_is_shared(const char *path)
{
    return strcmp(path, SIM_SHARED) == 0 || sim_path_is_under(path, SIM_SHARED);
}

bool sim_disk_survives(struct sim_node *node, const char *path)
{
    struct sim_disk *disk = disk_at(node, path);

    return map_get_str(disk->durable, path) != NULL && map_get_str(disk->now, path) != NULL &&
           is_reachable(disk->durable, path);
}

uint8_t *sim_disk_durable(struct sim_node *node, const char *path, size_t *ret_len)
{
    struct sim_disk *disk = disk_at(node, path);
    struct inode *inode = map_get_str(disk->durable, path);
    uint8_t *copy;

    if (inode == NULL || inode->folder || !sim_disk_survives(node, path))
        return NULL;
    *ret_len = inode->durable_len;
    copy = mem_alloc(inode->durable_len + 1);
    if (inode->durable_len > 0)
        memcpy(copy, inode->data.data, inode->durable_len);
    return copy;
}
