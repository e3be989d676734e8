/*
 * sim_fs.c - simulated disks that know what is written from what is synced.
 *
 * A disk belongs to a host; one more, under SIM_SHARED, to all.  Names live in two views: the current one, and the
 * durable one with a journal of changes that no folder sync has covered.  A power cut leaves the durable view, a
 * drawn prefix of that journal, and of each file's unsynced tail a drawn part.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim_private.h"

#define OP_MEAN_NS   (300 * SIM_US)
#define SYNC_MEAN_NS (3 * SIM_MS)
#define BYTES_PER_US 500 /* written */

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
struct change {
    struct list node; /* in sim_disk.journal */
    enum change_type type;
    char *path, *to;     /* owned */
    struct inode *inode; /* referenced; of a put */
    const struct sim_host *by;
};

struct sim_disk {
    struct sim *sim;
    struct map *now, *durable; /* path -> inode, referenced */
    struct list journal;
    uint64_t capacity, used; /* used: of all files, roughly */
    uint32_t errors_per_million;
};

/* ---- inodes and names ---- */

static struct inode *inode_new(bool folder)
{
    struct inode *inode = MEM_NEW(struct inode);

    inode->refs = 1;
    inode->folder = folder;
    return inode;
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

static void inode_unref(struct inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    bytes_release(&inode->data);
    bytes_release(&inode->old);
    mem_free(inode);
}

static void view_put(struct map *view, const char *path, struct inode *inode)
{
    inode_unref(map_put_str(view, path, inode_ref(inode)));
}

static void view_remove(struct map *view, const char *path)
{
    inode_unref(map_remove_str(view, path));
}

static bool under(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

static void view_rename(struct map *view, const char *from, const char *to)
{
    struct inode *inode = map_remove_str(view, from);

    if (inode == NULL)
        return;
    inode_unref(map_put_str(view, to, inode));
    if (!inode->folder)
        return;
    for (struct map_iter it = map_iter(view); map_next(&it);) { /* what lies in it moves along */
        char *moved;

        if (!under(it.key, from))
            continue;
        moved = mem_printf("%s%s", to, (const char *)it.key + strlen(from));
        inode = map_remove_str(view, it.key);
        inode_unref(map_put_str(view, moved, inode));
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
    inode_unref(c->inode);
    mem_free(c->path);
    mem_free(c->to);
    mem_free(c);
}

static void change(struct sim_disk *disk, enum change_type type, const char *path, const char *to,
                   struct inode *inode, const struct sim_host *by)
{
    struct change *c = MEM_NEW(struct change);

    c->type = type;
    c->path = mem_strdup(path);
    c->to = mem_strdup(to);
    c->inode = inode == NULL ? NULL : inode_ref(inode);
    c->by = by;
    list_push_back(&disk->journal, &c->node);
    apply(disk->now, c);
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = mem_strdup(path);

    parent[slash == NULL ? 0 : slash - path] = '\0';
    return parent; /* "" is the root */
}

static bool is_in(const char *path, const char *folder)
{
    char *parent = parent_of(path);
    bool yes = strcmp(parent, folder) == 0;

    mem_free(parent);
    return yes;
}

/* What a sync of the folder makes durable, in the order in which it happened. */
static void sync_folder(struct sim_disk *disk, const char *folder)
{
    if (strcmp(folder, "/") == 0)
        folder = "";
    LIST_FOREACH_SAFE (node, &disk->journal) {
        struct change *c = LIST_ENTRY(node, struct change, node);

        if (!is_in(c->path, folder) && !(c->type == CHANGE_RENAME && is_in(c->to, folder)))
            continue;
        apply(disk->durable, c);
        change_free(c);
    }
}

static bool folder_exists(struct sim_disk *disk, const char *path)
{
    struct inode *inode = *path == '\0' ? NULL : map_get_str(disk->now, path);

    return *path == '\0' || (inode != NULL && inode->folder);
}

static bool parent_exists(struct sim_disk *disk, const char *path)
{
    char *parent = parent_of(path);
    bool yes = folder_exists(disk, parent);

    mem_free(parent);
    return yes;
}

static void inode_sync(struct inode *inode)
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
    inode_sync(inode);
}

static void drop_orphans(struct map *view)
{
    bool again = true;

    while (again) {
        again = false;
        for (struct map_iter it = map_iter(view); map_next(&it);) {
            char *parent = parent_of(it.key);
            struct inode *folder = map_get_str(view, parent);

            if (*parent != '\0' && (folder == NULL || !folder->folder)) {
                view_remove(view, it.key);
                again = true;
            }
            mem_free(parent);
        }
    }
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

static bool is_shared(const char *path)
{
    return strcmp(path, SIM_SHARED) == 0 || under(path, SIM_SHARED);
}

uint8_t *sim_disk_durable(struct sim_node *node, const char *path, size_t *ret_len)
{
    struct sim_disk *disk = is_shared(path) ? node->sim->shared_disk : node->host->disk;
    struct inode *inode = map_get_str(disk->durable, path);
    uint8_t *copy;

    if (inode == NULL || inode->folder)
        return NULL;
    *ret_len = inode->durable_len;
    copy = mem_alloc(inode->durable_len + 1);
    if (inode->durable_len > 0)
        memcpy(copy, inode->data.data, inode->durable_len);
    return copy;
}

/* ---- operations ---- */

struct sim_fs {
    struct fs fs; /* first */
    struct sim_env *env;
    struct list ops, files;
};

struct fs_file {
    struct list node; /* in sim_fs.files */
    struct list queue;
    char *path;
    struct inode *inode; /* referenced */
    struct sim_disk *disk;
    bool busy;
};

enum op_type {
    OP_OPEN,
    OP_PREAD,
    OP_APPEND,
    OP_SYNC,
    OP_CLOSE,
    OP_READ_ALL,
    OP_WRITE_ALL,
    OP_RENAME,
    OP_UNLINK,
    OP_MKDIRS,
    OP_SYNC_DIR,
    OP_LIST,
    OP_STAT
};
static const char *const op_names[] = {
    "open",   "read",   "write to",      "sync",        "close", "read", "write",
    "rename", "remove", "create folder", "sync folder", "list",  "stat"};

struct op {
    struct sim_event event;
    struct list node, queue_node;
    struct sim_fs *fs;
    enum op_type type;
    struct sim_disk *disk;
    char *path, *to;
    struct fs_file *file;
    enum fs_open_mode mode;
    uint64_t offset;
    size_t len;
    uint8_t *data;
    fs_cb *cb;
    void *arg;
    struct fs_result result;
};

static int fails(struct op *op, int code, const char *why)
{
    return err_set(&op->result.err, code, "cannot %s %s: %s", op_names[op->type], op->path, why);
}

static int no_such_file(struct op *op)
{
    return fails(op, ERR_NOT_FOUND, "No such file or directory");
}

static int is_folder(struct op *op)
{
    return fails(op, ERR_INVALID, "Is a directory");
}

static uint64_t used_bytes(struct sim_disk *disk)
{
    uint64_t used = 0;

    for (struct map_iter it = map_iter(disk->now); map_next(&it);)
        used += ((struct inode *)it.value)->data.len;
    return used;
}

static bool is_full(struct sim_disk *disk, size_t more)
{
    return disk->capacity > 0 && used_bytes(disk) + more > disk->capacity;
}

static const struct sim_host *self(struct op *op)
{
    return op->fs->env->node->host;
}

static struct fs_file *file_new(struct op *op, struct inode *inode)
{
    struct fs_file *file = MEM_NEW(struct fs_file);

    file->path = mem_strdup(op->path);
    file->inode = inode_ref(inode);
    file->disk = op->disk;
    list_init(&file->queue);
    list_push_back(&op->fs->files, &file->node);
    return file;
}

static void file_free(struct fs_file *file)
{
    list_remove(&file->node);
    inode_unref(file->inode);
    mem_free(file->path);
    mem_free(file);
}

static int do_open(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL && op->mode == FS_READ)
        return no_such_file(op);
    if (inode != NULL && inode->folder && op->mode != FS_READ)
        return is_folder(op);
    if (inode == NULL) {
        if (!parent_exists(op->disk, op->path))
            return no_such_file(op);
        inode = inode_new(false);
        change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
        inode_unref(inode); /* the name holds it now */
    } else if (op->mode == FS_CREATE && inode->data.len > 0) {
        if (!inode->truncated) {
            bytes_clear(&inode->old);
            bytes_add(&inode->old, inode->data.data, inode->durable_len);
        }
        inode->truncated = true;
        bytes_clear(&inode->data);
        inode->durable_len = 0;
    }
    inode->writer = self(op);
    op->file = file_new(op, inode);
    return 0;
}

static int read_from(struct op *op, struct inode *inode, uint64_t offset, size_t len)
{
    if (inode->folder)
        return is_folder(op);
    if (offset < inode->data.len) {
        op->result.len = MIN(len, inode->data.len - (size_t)offset);
        op->data = mem_dup(inode->data.data + offset, op->result.len);
    } else {
        op->data = mem_alloc(1);
    }
    op->result.data = op->data;
    return 0;
}

static int do_append(struct op *op)
{
    struct inode *inode = op->file->inode;
    size_t len = op->len;
    bool full = is_full(op->disk, len);

    if (full)
        len = (size_t)sim_draw_range(&op->fs->env->node->streams, STREAM_DISK, 0, len) /
              2; /* a part fits */
    inode->writer = self(op);
    bytes_add(&inode->data, op->data, len);
    return full ? fails(op, ERR_NO_SPACE, "No space left on device") : 0;
}

static int do_read_all(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL)
        return no_such_file(op);
    if (inode->data.len > op->len)
        return err_set(&op->result.err, ERR_LIMIT,
                       "cannot read %s: it has %zu bytes, the limit here is %zu", op->path,
                       inode->data.len, op->len);
    return read_from(op, inode, 0, op->len);
}

static int do_write_all(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);
    char *parent;

    if (inode != NULL && inode->folder)
        return is_folder(op);
    if (!parent_exists(op->disk, op->path))
        return no_such_file(op);
    if (is_full(op->disk, op->len))
        return fails(op, ERR_NO_SPACE, "No space left on device");
    inode = inode_new(false);
    bytes_add(&inode->data, op->data, op->len);
    inode_sync(inode);
    inode->writer = self(op);
    change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
    inode_unref(inode);
    parent = parent_of(op->path);
    sync_folder(op->disk, parent);
    mem_free(parent);
    return 0;
}

static bool has_children(struct sim_disk *disk, const char *path)
{
    for (struct map_iter it = map_iter(disk->now); map_next(&it);)
        if (under(it.key, path))
            return true;
    return false;
}

static int do_rename(struct op *op)
{
    struct inode *from = map_get_str(op->disk->now, op->path),
                 *to = map_get_str(op->disk->now, op->to);

    if (from == NULL || !parent_exists(op->disk, op->to) ||
        is_shared(op->path) != is_shared(op->to))
        return err_set(&op->result.err, from == NULL ? ERR_NOT_FOUND : ERR_INVALID,
                       "cannot rename %s to %s: %s", op->path, op->to,
                       from == NULL ? "No such file or directory" : "Invalid cross-device link");
    if (to != NULL && (to->folder != from->folder || has_children(op->disk, op->to)))
        return err_set(&op->result.err, ERR_EXISTS, "cannot rename %s to %s: File exists", op->path,
                       op->to);
    change(op->disk, CHANGE_RENAME, op->path, op->to, NULL, self(op));
    return 0;
}

static int do_unlink(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL)
        return no_such_file(op);
    if (has_children(op->disk, op->path))
        return fails(op, ERR_EXISTS, "Directory not empty");
    change(op->disk, CHANGE_REMOVE, op->path, NULL, NULL, self(op));
    return 0;
}

static int do_mkdirs(struct op *op)
{
    for (char *p = op->path + 1; *op->path != '\0'; p++) {
        char c = *p;
        struct inode *inode;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        inode = map_get_str(op->disk->now, op->path);
        if (inode == NULL) {
            inode = inode_new(true);
            change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
            inode_unref(inode);
        } else if (!inode->folder) {
            int rc = fails(op, ERR_INVALID, "Not a directory");

            *p = c;
            return rc;
        }
        *p = c;
        if (c == '\0')
            break;
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int do_list(struct op *op)
{
    size_t cap = map_size(op->disk->now);

    if (!folder_exists(op->disk, op->path))
        return no_such_file(op);
    op->result.names = mem_alloc_array(cap + 1, sizeof(char *));
    for (struct map_iter it = map_iter(op->disk->now); map_next(&it);)
        if (is_in(it.key, op->path))
            op->result.names[op->result.name_count++] = mem_strdup(strrchr(it.key, '/') + 1);
    if (op->result.name_count > 1)
        qsort(op->result.names, op->result.name_count, sizeof(char *), compare_names);
    return 0;
}

static int do_stat(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL)
        return folder_exists(op->disk, op->path) ? 0 : no_such_file(op);
    op->result.size = inode->data.len;
    return 0;
}

static int execute(struct op *op)
{
    if (op->type != OP_CLOSE && op->disk->errors_per_million > 0 &&
        sim_draw_chance(&op->fs->env->node->streams, STREAM_DISK, op->disk->errors_per_million,
                        1000000)) {
        SIM_PROBE("fs: input/output error");
        return fails(op, ERR_IO, "Input/output error");
    }
    switch (op->type) {
    case OP_OPEN:
        return do_open(op);
    case OP_PREAD:
        return read_from(op, op->file->inode, op->offset, op->len);
    case OP_APPEND:
        return do_append(op);
    case OP_SYNC:
        inode_sync(op->file->inode);
        return 0;
    case OP_CLOSE:
        return 0;
    case OP_READ_ALL:
        return do_read_all(op);
    case OP_WRITE_ALL:
        return do_write_all(op);
    case OP_RENAME:
        return do_rename(op);
    case OP_UNLINK:
        return do_unlink(op);
    case OP_MKDIRS:
        return do_mkdirs(op);
    case OP_SYNC_DIR:
        if (!folder_exists(op->disk, op->path))
            return no_such_file(op);
        sync_folder(op->disk, op->path);
        return 0;
    case OP_LIST:
        return do_list(op);
    case OP_STAT:
        return do_stat(op);
    }
    CHECK_UNREACHABLE("an op has a type");
}

static void op_free(struct op *op)
{
    list_remove(&op->node);
    list_remove(&op->queue_node);
    for (size_t i = 0; i < op->result.name_count; i++)
        mem_free(op->result.names[i]);
    mem_free(op->result.names);
    mem_free(op->path);
    mem_free(op->to);
    mem_free(op->data);
    mem_free(op);
}

static void launch(struct op *op);

static void fire_op(struct sim_event *event)
{
    struct op *op = CONTAINER_OF(event, struct op, event);
    struct fs_file *file = op->file;

    op->result.code = execute(op);
    sim_mix(op->fs->env->sim, (uint64_t)op->type << 32 | (uint32_t)op->result.code);
    if (op->type == OP_CLOSE) {
        file_free(file);
    } else if (op->type == OP_OPEN) {
        if (op->cb == NULL && op->file != NULL)
            file_free(op->file);
        else
            op->result.file = op->file;
    } else if (file != NULL) {
        struct list *next = list_pop_front(&file->queue);

        file->busy = next != NULL;
        if (next != NULL)
            launch(LIST_ENTRY(next, struct op, queue_node));
    }
    if (op->cb != NULL)
        op->cb(op->arg, &op->result);
    op_free(op);
}

static void launch(struct op *op)
{
    struct sim_env *env = op->fs->env;
    bool syncs = op->type == OP_SYNC || op->type == OP_SYNC_DIR || op->type == OP_WRITE_ALL;

    op->event.fire = fire_op;
    op->event.what = "disk";
    op->event.host = env->node->host;
    sim_event_add(
        env->sim, &op->event,
        sim_work_delay(env->node->host, &env->node->streams, STREAM_DISK,
                       (syncs ? SYNC_MEAN_NS : OP_MEAN_NS) + op->len / BYTES_PER_US * SIM_US));
}

static void start(struct fs *fs, struct op op, const void *data, fs_cb *cb, void *arg)
{
    struct sim_fs *sim_fs = CONTAINER_OF(fs, struct sim_fs, fs);
    struct sim_env *env = sim_fs->env;
    struct op *copy;

    if (env->muted)
        return;
    copy = mem_dup(&op, sizeof(op));
    copy->fs = sim_fs;
    copy->path = mem_strdup(op.file != NULL ? op.file->path : op.path);
    copy->to = mem_strdup(op.to);
    copy->disk = is_shared(copy->path) ? env->sim->shared_disk : env->node->host->disk;
    copy->data = data == NULL ? NULL : mem_dup(data, op.len);
    copy->cb = cb;
    copy->arg = arg;
    list_init(&copy->queue_node);
    list_push_back(&sim_fs->ops, &copy->node);
    if (op.file != NULL && op.file->busy) {
        list_push_back(&op.file->queue, &copy->queue_node);
        return;
    }
    if (op.file != NULL)
        op.file->busy = true;
    launch(copy);
}

static void fs_sim_open(struct fs *fs, const char *path, enum fs_open_mode mode, fs_cb *cb,
                        void *arg)
{
    start(fs, (struct op){.type = OP_OPEN, .path = (char *)path, .mode = mode}, NULL, cb, arg);
}

static void fs_sim_pread(struct fs *fs, struct fs_file *file, uint64_t offset, size_t len,
                         fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_PREAD, .file = file, .offset = offset, .len = len}, NULL, cb,
          arg);
}

static void fs_sim_append(struct fs *fs, struct fs_file *file, const void *data, size_t len,
                          fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_APPEND, .file = file, .len = len}, len == 0 ? "" : data, cb,
          arg);
}

static void fs_sim_sync(struct fs *fs, struct fs_file *file, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_SYNC, .file = file}, NULL, cb, arg);
}

static void fs_sim_close(struct fs *fs, struct fs_file *file)
{
    start(fs, (struct op){.type = OP_CLOSE, .file = file}, NULL, NULL, NULL);
}

static void fs_sim_read_all(struct fs *fs, const char *path, size_t max, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_READ_ALL, .path = (char *)path, .len = max}, NULL, cb, arg);
}

static void fs_sim_write_all(struct fs *fs, const char *path, const void *data, size_t len,
                             fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_WRITE_ALL, .path = (char *)path, .len = len},
          len == 0 ? "" : data, cb, arg);
}

static void fs_sim_rename(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_RENAME, .path = (char *)from, .to = (char *)to}, NULL, cb,
          arg);
}

static void fs_sim_unlink(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_UNLINK, .path = (char *)path}, NULL, cb, arg);
}

static void fs_sim_mkdirs(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_MKDIRS, .path = (char *)path}, NULL, cb, arg);
}

static void fs_sim_sync_dir(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_SYNC_DIR, .path = (char *)path}, NULL, cb, arg);
}

static void fs_sim_list(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_LIST, .path = (char *)path}, NULL, cb, arg);
}

static void fs_sim_stat(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_STAT, .path = (char *)path}, NULL, cb, arg);
}

static void fs_sim_forget(struct fs *fs, void *arg)
{
    LIST_FOREACH (node, &CONTAINER_OF(fs, struct sim_fs, fs)->ops) {
        struct op *op = LIST_ENTRY(node, struct op, node);

        if (op->arg == arg)
            op->cb = NULL;
    }
}

static const struct fs_ops sim_fs_ops = {
    .open = fs_sim_open,
    .pread = fs_sim_pread,
    .append = fs_sim_append,
    .sync = fs_sim_sync,
    .close = fs_sim_close,
    .read_all = fs_sim_read_all,
    .write_all = fs_sim_write_all,
    .rename = fs_sim_rename,
    .unlink = fs_sim_unlink,
    .mkdirs = fs_sim_mkdirs,
    .sync_dir = fs_sim_sync_dir,
    .list = fs_sim_list,
    .stat = fs_sim_stat,
    .forget = fs_sim_forget,
};

struct fs *sim_fs_new(struct sim_env *env)
{
    struct sim_fs *fs = MEM_NEW(struct sim_fs);

    fs->fs.ops = &sim_fs_ops;
    fs->env = env;
    list_init(&fs->ops);
    list_init(&fs->files);
    return &fs->fs;
}

/* What is under way happens or does not; nobody hears of it. */
static void finish(struct sim_fs *fs, bool perhaps)
{
    while (!list_empty(&fs->ops)) {
        struct op *op = LIST_ENTRY(fs->ops.next, struct op, node);

        op->cb = NULL;
        if (!perhaps || sim_draw_chance(&fs->env->node->streams, STREAM_CRASH, 1, 2))
            (void)execute(op);
        sim_event_cancel(fs->env->sim, &op->event);
        op_free(op);
    }
}

void sim_fs_mute(struct fs *fs)
{
    finish(CONTAINER_OF(fs, struct sim_fs, fs), true);
}

void sim_fs_free(struct fs *fs)
{
    struct sim_fs *sim_fs = CONTAINER_OF(fs, struct sim_fs, fs);

    finish(sim_fs, false);
    while (!list_empty(&sim_fs->files))
        file_free(LIST_ENTRY(sim_fs->files.next, struct fs_file, node));
    mem_free(sim_fs);
}
