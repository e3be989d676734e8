/*
 * sim_fs.c - the operations of fs.h on simulated disks: each takes its drawn time, and may fail.
 * What they do to the disk is in sim_disk.c.
 */
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim_disk.h"

#define OP_MEAN_NS   (300 * SIM_US)
#define SYNC_MEAN_NS (3 * SIM_MS)
#define BYTES_PER_US 500 /* written */

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
    OP_LINK,
    OP_UNLINK,
    OP_MKDIRS,
    OP_SYNC_DIR,
    OP_LIST,
    OP_STAT
};
static const char *const op_names[] = {
    "open",   "read",   "write to",      "sync",        "close", "read", "write",
    "rename", "link", "remove", "create folder", "sync folder", "list",  "stat"};

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
    file->inode = sim_inode_ref(inode);
    file->disk = op->disk;
    list_init(&file->queue);
    list_push_back(&op->fs->files, &file->node);
    return file;
}

static void file_free(struct fs_file *file)
{
    list_remove(&file->node);
    sim_inode_unref(file->inode);
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
        if (!sim_disk_parent_exists(op->disk, op->path))
            return no_such_file(op);
        inode = sim_inode_new(false);
        sim_disk_change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
        sim_inode_unref(inode); /* the name holds it now */
    } else if ((op->mode == FS_CREATE || op->mode == FS_CREATE_UNCACHED) && inode->data.len > 0) {
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
    op->result.owner = &op->data;
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
    if (!sim_disk_parent_exists(op->disk, op->path))
        return no_such_file(op);
    if (is_full(op->disk, op->len))
        return fails(op, ERR_NO_SPACE, "No space left on device");
    inode = sim_inode_new(false);
    bytes_add(&inode->data, op->data, op->len);
    if (sim_disk_syncs_now(op->disk))
        sim_inode_sync(inode);
    inode->writer = self(op);
    sim_disk_change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
    sim_inode_unref(inode);
    if (op->disk->failing_in_place > 0) {
        op->disk->failing_in_place--;
        op->result.in_place = true;
        return fails(op, ERR_IO, "the test lets its folder's sync fail");
    }
    parent = sim_path_parent(op->path);
    sim_disk_sync_folder(op->disk, parent);
    mem_free(parent);
    return 0;
}

static bool has_children(struct sim_disk *disk, const char *path)
{
    for (struct map_iter it = map_iter(disk->now); map_next(&it);)
        if (sim_path_is_under(it.key, path))
            return true;
    return false;
}

static int do_rename(struct op *op)
{
    struct inode *from = map_get_str(op->disk->now, op->path),
                 *to = map_get_str(op->disk->now, op->to);

    if (from == NULL || !sim_disk_parent_exists(op->disk, op->to) ||
        sim_path_is_shared(op->path) != sim_path_is_shared(op->to))
        return err_set(&op->result.err, from == NULL ? ERR_NOT_FOUND : ERR_INVALID,
                       "cannot rename %s to %s: %s", op->path, op->to,
                       from == NULL ? "No such file or directory" : "Invalid cross-device link");
    if (to != NULL && (to->folder != from->folder || has_children(op->disk, op->to)))
        return err_set(&op->result.err, ERR_EXISTS, "cannot rename %s to %s: File exists", op->path,
                       op->to);
    sim_disk_change(op->disk, CHANGE_RENAME, op->path, op->to, NULL, self(op));
    return 0;
}

static int do_link(struct op *op)
{
    struct inode *from = map_get_str(op->disk->now, op->path), *to = map_get_str(op->disk->now, op->to);
    bool apart = sim_path_is_shared(op->path) != sim_path_is_shared(op->to);

    if (!apart && to != NULL && !to->folder)
        sim_disk_change(op->disk, CHANGE_REMOVE, op->to, NULL, NULL, self(op));
    if (from == NULL || from->folder || (to != NULL && to->folder) || apart || !sim_disk_parent_exists(op->disk, op->to))
        return err_set(&op->result.err, from == NULL ? ERR_NOT_FOUND : ERR_INVALID, "cannot link %s to %s: %s", op->path,
                       op->to, from == NULL ? "No such file or directory" : "Invalid cross-device link");
    sim_disk_change(op->disk, CHANGE_PUT, op->to, NULL, from, self(op));
    return 0;
}

static int do_unlink(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL)
        return no_such_file(op);
    if (has_children(op->disk, op->path))
        return fails(op, ERR_EXISTS, "Directory not empty");
    sim_disk_change(op->disk, CHANGE_REMOVE, op->path, NULL, NULL, self(op));
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
            char *parent = sim_path_parent(op->path);

            inode = sim_inode_new(true);
            sim_disk_change(op->disk, CHANGE_PUT, op->path, NULL, inode, self(op));
            sim_inode_unref(inode);
            sim_disk_sync_folder(op->disk, parent);
            mem_free(parent);
        } else if (!inode->folder) {
            int rc = fails(op, ERR_NOT_FOUND, "Not a directory");

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

    if (!sim_disk_folder_exists(op->disk, op->path))
        return no_such_file(op);
    op->result.names = mem_alloc_array(cap + 1, sizeof(char *));
    for (struct map_iter it = map_iter(op->disk->now); map_next(&it);)
        if (sim_path_is_in(it.key, op->path))
            op->result.names[op->result.name_count++] = mem_strdup(strrchr(it.key, '/') + 1);
    if (op->result.name_count > 1)
        qsort(op->result.names, op->result.name_count, sizeof(char *), compare_names);
    return 0;
}

static int do_stat(struct op *op)
{
    struct inode *inode = map_get_str(op->disk->now, op->path);

    if (inode == NULL)
        return sim_disk_folder_exists(op->disk, op->path) ? 0 : no_such_file(op);
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
    if (op->type != OP_CLOSE && ++op->disk->calls == op->disk->failing_call)
        return fails(op, op->disk->failing_code, "the test lets this call fail");
    switch (op->type) {
    case OP_OPEN:
        return do_open(op);
    case OP_PREAD:
        return read_from(op, op->file->inode, op->offset, op->len);
    case OP_APPEND:
        return do_append(op);
    case OP_SYNC:
        if (sim_disk_syncs_now(op->disk))
            sim_inode_sync(op->file->inode);
        return 0;
    case OP_CLOSE:
        return 0;
    case OP_READ_ALL:
        return do_read_all(op);
    case OP_WRITE_ALL:
        return do_write_all(op);
    case OP_RENAME:
        return do_rename(op);
    case OP_LINK:
        return do_link(op);
    case OP_UNLINK:
        return do_unlink(op);
    case OP_MKDIRS:
        return do_mkdirs(op);
    case OP_SYNC_DIR:
        if (!sim_disk_folder_exists(op->disk, op->path))
            return no_such_file(op);
        sim_disk_sync_folder(op->disk, op->path);
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

/* Bytes that go to the disk or come from it. */
static uint64_t moved(const struct op *op)
{
    struct inode *inode = op->type == OP_READ_ALL ? map_get_str(op->disk->now, op->path) : NULL;

    return op->type != OP_READ_ALL ? op->len : inode ? MIN(inode->data.len, op->len) : 0;
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
                       (syncs ? SYNC_MEAN_NS : OP_MEAN_NS) + moved(op) / BYTES_PER_US * SIM_US));
}

/* "/a/b/../c" becomes "/a/c". */
static void climb(char *path)
{
    char *up;

    while ((up = strstr(path, "/../")) != NULL && up > path) {
        char *parent = up - 1;

        while (parent > path && *parent != '/')
            parent--;
        memmove(parent, up + 3, strlen(up + 3) + 1);
    }
}

static void start(struct fs *fs, struct op op, const void *data, fs_cb *cb, void *arg)
{
    struct sim_fs *sim_fs = CONTAINER_OF(fs, struct sim_fs, fs);
    struct sim_env *env = sim_fs->env;
    struct op *copy;

    if (env->muted) {
        mem_free(op.data);
        return;
    }
    copy = mem_dup(&op, sizeof(op));
    copy->fs = sim_fs;
    copy->path = mem_strdup(op.file != NULL ? op.file->path : op.path);
    climb(copy->path);
    if (strcmp(copy->path, "/") == 0) /* the root's name is empty here */
        copy->path[0] = '\0';
    copy->to = mem_strdup(op.to);
    copy->disk = sim_path_is_shared(copy->path) ? env->sim->shared_disk : env->node->host->disk;
    copy->data = data == NULL ? op.data : mem_dup(data, op.len);
    copy->result.owner = &copy->data;
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

static void fs_sim_append_taken(struct fs *fs, struct fs_file *file, uint8_t *data, size_t len, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_APPEND, .file = file, .len = len, .data = data}, NULL, cb, arg);
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

static void fs_sim_link(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg)
{
    start(fs, (struct op){.type = OP_LINK, .path = (char *)from, .to = (char *)to}, NULL, cb, arg);
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
    .append_taken = fs_sim_append_taken,
    .sync = fs_sim_sync,
    .close = fs_sim_close,
    .read_all = fs_sim_read_all,
    .write_all = fs_sim_write_all,
    .rename = fs_sim_rename,
    .link = fs_sim_link,
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

    LIST_FOREACH (node, &sim_fs->ops) {
        const struct op *op = LIST_ENTRY(node, struct op, node);

        if (op->cb != NULL && op->arg != NULL) /* what arg points to will not be told: it leaks, or is gone */
            sim_fail(sim_fs->env->sim, "%s was freed and did not forget a call about %s", sim_fs->env->node->name,
                     op->path == NULL ? "a file" : op->path);
    }
    finish(sim_fs, false);
    while (!list_empty(&sim_fs->files))
        file_free(LIST_ENTRY(sim_fs->files.next, struct fs_file, node));
    mem_free(sim_fs);
}
