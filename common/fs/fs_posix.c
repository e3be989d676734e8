/*
 * fs_posix.c - files of the operating system, each call on a thread of env_work.
 *
 * A file handle has one call under way at a time, so its calls keep their order.  Thread: the loop's,
 * but for the run_* functions, which touch only their op and its file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/env/env.h"
#include "common/fs/fs.h"

#define READ_MAX    (256u << 20)
#define TEMP_MARK   ".tmp-"
#define TEMP_DIGITS 16

struct fs_posix {
    struct fs fs; /* first */
    struct env *env;
    struct list ops; /* not yet done */
};

struct fs_file {
    char *path; /* owned */
    int fd;
    struct list queue; /* ops that wait for their turn */
    bool busy;
    bool direct; /* the op under way: what is appended goes past the page cache, in whole blocks */
};

struct op {
    struct env_work work;
    struct list node;       /* in fs_posix.ops */
    struct list queue_node; /* in fs_file.queue */
    struct fs_posix *fs;
    int (*run)(struct op *op);
    fs_cb *cb; /* NULL: forgotten */
    void *arg;
    char *path, *to;      /* owned */
    struct fs_file *file; /* borrowed; of open and close: owned by the op */
    enum fs_open_mode mode;
    uint64_t offset, tag;
    size_t len;
    uint8_t *data; /* owned: to be written, or what was read */
    struct fs_result result;
};

/* ---- on a thread of the pool ---- */

static int failed(struct op *op, const char *what)
{
    return err_errno(&op->result.err, errno, "cannot %s %s", what, op->path);
}

/* A pipe would hold this thread until somebody writes into it. (O_NONBLOCK means nothing to files.) */
static bool is_file(struct op *op, int fd, struct stat *ret)
{
    if (fstat(fd, ret) != 0)
        (void)failed(op, "stat");
    else if (S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode)) /* of a folder reading says what it is */
        return true;
    else
        err_set(&op->result.err, ERR_INVALID, "cannot open %s: it is no regular file", op->path);
    return false;
}

static int run_open(struct op *op)
{
    static const int flags[] = {
        [FS_READ] = O_RDONLY,
        [FS_CREATE] = O_RDWR | O_CREAT | O_TRUNC | O_APPEND,
        [FS_APPEND] = O_RDWR | O_CREAT | O_APPEND,
        [FS_CREATE_UNCACHED] = O_RDWR | O_CREAT | O_TRUNC | O_APPEND,
    };
    int fd = open(op->path, flags[op->mode] | O_CLOEXEC | O_NONBLOCK, 0666);
    struct stat st;

    if (fd < 0)
        return failed(op, "open");
    if (!is_file(op, fd, &st)) {
        close(fd);
        return op->result.err.code;
    }
    op->file = MEM_NEW(struct fs_file);
    op->file->fd = fd;
    op->file->path = mem_strdup(op->path);
    op->file->direct = op->mode == FS_CREATE_UNCACHED && fcntl(fd, F_SETFL, O_APPEND | O_DIRECT) == 0;
    list_init(&op->file->queue);
    return 0;
}

/* From now on all goes through the page cache. */
static void end_direct(struct fs_file *file)
{
    if (file->direct)
        (void)fcntl(file->fd, F_SETFL, O_APPEND);
    file->direct = false;
}

static int run_pread(struct op *op)
{
    end_direct(op->file);
    if (op->len > READ_MAX)
        return err_set(&op->result.err, ERR_LIMIT,
                       "cannot read %zu bytes of %s at once, the limit is %u", op->len, op->path,
                       READ_MAX);
    op->data = mem_realloc(NULL, op->len + 1);
    while (op->result.len < op->len) {
        ssize_t n = pread(op->file->fd, op->data + op->result.len, op->len - op->result.len,
                          (off_t)(op->offset + op->result.len));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(op, "read");
        if (n == 0)
            break;
        op->result.len += (size_t)n;
    }
    op->result.data = op->data;
    op->result.owner = &op->data;
    return 0;
}

static int write_fully(int fd, const uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, data + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

/* As much as can be; the rest, and where this disk cannot all of it, goes as ever. */
static size_t write_direct(struct op *op)
{
    bool blocks = op->len % FS_BLOCK_BYTES == 0 && (uintptr_t)op->data % FS_BLOCK_BYTES == 0;
    ssize_t n = blocks ? write(op->file->fd, op->data, op->len) : 0;

    if (n != (ssize_t)op->len)
        end_direct(op->file);
    return n > 0 ? (size_t)n : 0;
}

static int run_append(struct op *op)
{
    size_t done = op->file->direct ? write_direct(op) : 0;

    return write_fully(op->file->fd, op->data + done, op->len - done) == 0 ? 0 : failed(op, "write to");
}

static int run_sync(struct op *op)
{
    return fdatasync(op->file->fd) == 0 ? 0 : failed(op, "sync");
}

static int run_close(struct op *op)
{
    close(op->file->fd);
    return 0;
}

static int run_read_all(struct op *op)
{
    struct stat st;
    struct fs_file file = {.path = op->path};
    size_t max = op->len;
    int rc;

    file.fd = open(op->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.fd < 0)
        return failed(op, "open");
    op->file = &file;
    if (!is_file(op, file.fd, &st))
        rc = op->result.err.code;
    else if ((uint64_t)st.st_size > max)
        rc = err_set(&op->result.err, ERR_LIMIT,
                     "cannot read %s: it has %lld bytes, the limit here is %zu", op->path,
                     (long long)st.st_size, max);
    else
        op->len = (size_t)st.st_size, rc = run_pread(op);
    op->file = NULL;
    close(file.fd);
    return rc;
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc, saved;

    if (fd < 0)
        return -1;
    rc = fsync(fd);
    saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = mem_strdup(slash == NULL ? "." : slash == path ? "/" : path);

    if (slash != NULL && slash != path)
        parent[slash - path] = '\0';
    return parent;
}

static int sync_parent(const char *path)
{
    char *parent = parent_of(path);
    int rc = sync_folder(parent), saved = errno;

    mem_free(parent);
    errno = saved;
    return rc;
}

static int run_write_all(struct op *op)
{
    char *temp = mem_printf("%s" TEMP_MARK "%016llx", op->path, (unsigned long long)op->tag);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), rc = 0;

    if (fd < 0)
        rc = failed(op, "create");
    else if (write_fully(fd, op->data, op->len) != 0)
        rc = failed(op, "write");
    else if (fsync(fd) != 0)
        rc = failed(op, "sync");
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(temp, op->path) != 0)
        rc = failed(op, "put in place");
    if (rc != 0 && fd >= 0)
        unlink(temp);
    if (rc == 0 && sync_parent(op->path) != 0) {
        rc = failed(op, "sync the folder of");
        op->result.in_place = true;
    }
    mem_free(temp);
    return rc;
}

static int run_rename(struct op *op)
{
    if (rename(op->path, op->to) == 0)
        return 0;
    return err_errno(&op->result.err, errno, "cannot rename %s to %s", op->path, op->to);
}

static int run_link(struct op *op)
{
    unlink(op->to);
    if (link(op->path, op->to) == 0)
        return 0;
    return err_errno(&op->result.err, errno, "cannot link %s to %s", op->path, op->to);
}

static int run_unlink(struct op *op)
{
    return remove(op->path) == 0 ? 0 : failed(op, "remove");
}

static int run_mkdirs(struct op *op)
{
    struct stat st;

    for (char *p = op->path + 1; *op->path != '\0'; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(op->path, 0777) == 0) {
            if (sync_parent(op->path) != 0)
                return failed(op, "sync the folder of");
        } else if (errno != EEXIST) {
            return failed(op, "create folder");
        }
        *p = c;
        if (c == '\0')
            break;
    }
    if (stat(op->path, &st) != 0)
        return failed(op, "create folder");
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode) ? 0 : failed(op, "create folder");
}

static int run_sync_dir(struct op *op)
{
    return sync_folder(op->path) == 0 ? 0 : failed(op, "sync folder");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_temporary(const char *name)
{
    size_t len = strlen(name), tail = sizeof(TEMP_MARK) - 1 + TEMP_DIGITS;

    return len > tail && strncmp(name + len - tail, TEMP_MARK, sizeof(TEMP_MARK) - 1) == 0 &&
           strspn(name + len - TEMP_DIGITS, "0123456789abcdef") == TEMP_DIGITS;
}

static int run_list(struct op *op)
{
    DIR *dir = opendir(op->path);
    struct dirent *entry;
    size_t cap = 0;

    if (dir == NULL)
        return failed(op, "list");
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_temporary(entry->d_name))
            continue;
        if (op->result.name_count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            op->result.names = mem_realloc(op->result.names, cap * sizeof(char *));
        }
        op->result.names[op->result.name_count++] = mem_strdup(entry->d_name);
    }
    if (errno != 0) {
        int rc = failed(op, "list");

        closedir(dir);
        return rc;
    }
    closedir(dir);
    if (op->result.name_count > 0)
        qsort(op->result.names, op->result.name_count, sizeof(char *), compare_names);
    return 0;
}

static int run_stat(struct op *op)
{
    struct stat st;

    if (stat(op->path, &st) != 0)
        return failed(op, "stat");
    op->result.size = S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size;
    return 0;
}

static void op_run(struct env_work *work)
{
    struct op *op = CONTAINER_OF(work, struct op, work);

    op->result.code = op->run(op);
}

/* ---- on the loop ---- */

static void file_free(struct fs_file *file)
{
    mem_free(file->path);
    mem_free(file);
}

static void op_free(struct op *op)
{
    for (size_t i = 0; i < op->result.name_count; i++)
        mem_free(op->result.names[i]);
    mem_free(op->result.names);
    mem_free(op->path);
    mem_free(op->to);
    mem_free(op->data);
    mem_free(op);
}

static void next_of_file(struct fs_file *file)
{
    struct list *next = list_pop_front(&file->queue);

    file->busy = next != NULL;
    if (next != NULL) {
        struct op *op = LIST_ENTRY(next, struct op, queue_node);

        env_work(op->fs->env, &op->work);
    }
}

static void op_done(struct env_work *work)
{
    struct op *op = CONTAINER_OF(work, struct op, work);
    bool heard = op->cb != NULL;

    list_remove(&op->node);
    if (op->run == run_close) {
        file_free(op->file);
    } else if (op->run == run_open && op->file != NULL) {
        if (heard) {
            op->result.file = op->file;
        } else {
            close(op->file->fd);
            file_free(op->file);
        }
    } else if (op->file != NULL) {
        next_of_file(op->file);
    }
    if (heard)
        op->cb(op->arg, &op->result);
    op_free(op);
}

static struct op *op_new(struct fs *fs, int (*run)(struct op *op), const char *path, fs_cb *cb,
                         void *arg)
{
    struct op *op = MEM_NEW(struct op);

    op->fs = CONTAINER_OF(fs, struct fs_posix, fs);
    op->run = run;
    op->path = mem_strdup(path);
    op->cb = cb;
    op->arg = arg;
    op->work.run = op_run;
    op->work.done = op_done;
    list_init(&op->queue_node);
    list_push_back(&op->fs->ops, &op->node);
    return op;
}

static void start(struct op *op)
{
    if (op->file == NULL) {
        env_work(op->fs->env, &op->work);
    } else if (op->file->busy) {
        list_push_back(&op->file->queue, &op->queue_node);
    } else {
        op->file->busy = true;
        env_work(op->fs->env, &op->work);
    }
}

static void posix_open(struct fs *fs, const char *path, enum fs_open_mode mode, fs_cb *cb,
                       void *arg)
{
    struct op *op = op_new(fs, run_open, path, cb, arg);

    op->mode = mode;
    start(op);
}

static void posix_pread(struct fs *fs, struct fs_file *file, uint64_t offset, size_t len, fs_cb *cb,
                        void *arg)
{
    struct op *op = op_new(fs, run_pread, file->path, cb, arg);

    op->file = file;
    op->offset = offset;
    op->len = len;
    start(op);
}

static void posix_append(struct fs *fs, struct fs_file *file, const void *data, size_t len,
                         fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_append, file->path, cb, arg);

    op->file = file;
    op->data = mem_dup(data, len);
    op->len = len;
    start(op);
}

static void posix_append_taken(struct fs *fs, struct fs_file *file, uint8_t *data, size_t len, fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_append, file->path, cb, arg);

    op->file = file;
    op->data = data;
    op->len = len;
    op->result.owner = &op->data;
    start(op);
}

static void posix_sync(struct fs *fs, struct fs_file *file, fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_sync, file->path, cb, arg);

    op->file = file;
    start(op);
}

static void posix_close(struct fs *fs, struct fs_file *file)
{
    struct op *op = op_new(fs, run_close, file->path, NULL, NULL);

    op->file = file;
    start(op);
}

static void posix_read_all(struct fs *fs, const char *path, size_t max, fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_read_all, path, cb, arg);

    op->len = max;
    start(op);
}

static void posix_write_all(struct fs *fs, const char *path, const void *data, size_t len,
                            fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_write_all, path, cb, arg);

    op->data = mem_dup(data, len);
    op->len = len;
    op->tag = env_rand_u64(op->fs->env);
    start(op);
}

static void posix_rename(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_rename, from, cb, arg);

    op->to = mem_strdup(to);
    start(op);
}

static void posix_link(struct fs *fs, const char *from, const char *to, fs_cb *cb, void *arg)
{
    struct op *op = op_new(fs, run_link, from, cb, arg);

    op->to = mem_strdup(to);
    start(op);
}

static void posix_unlink(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(op_new(fs, run_unlink, path, cb, arg));
}

static void posix_mkdirs(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(op_new(fs, run_mkdirs, path, cb, arg));
}

static void posix_sync_dir(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(op_new(fs, run_sync_dir, path, cb, arg));
}

static void posix_list(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(op_new(fs, run_list, path, cb, arg));
}

static void posix_stat(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    start(op_new(fs, run_stat, path, cb, arg));
}

static void posix_forget(struct fs *fs, void *arg)
{
    LIST_FOREACH (node, &CONTAINER_OF(fs, struct fs_posix, fs)->ops) {
        struct op *op = LIST_ENTRY(node, struct op, node);

        if (op->arg == arg)
            op->cb = NULL;
    }
}

static const struct fs_ops posix_ops = {
    .open = posix_open,
    .pread = posix_pread,
    .append = posix_append,
    .append_taken = posix_append_taken,
    .sync = posix_sync,
    .close = posix_close,
    .read_all = posix_read_all,
    .write_all = posix_write_all,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .mkdirs = posix_mkdirs,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .stat = posix_stat,
    .forget = posix_forget,
};

struct fs *fs_posix_new(struct env *env)
{
    struct fs_posix *fs = MEM_NEW(struct fs_posix);

    fs->fs.ops = &posix_ops;
    fs->env = env;
    list_init(&fs->ops);
    return &fs->fs;
}

void fs_posix_stop(struct fs *fs)
{
    LIST_FOREACH (node, &CONTAINER_OF(fs, struct fs_posix, fs)->ops)
        LIST_ENTRY(node, struct op, node)->cb = NULL;
}

void fs_posix_free(struct fs *fs)
{
    struct fs_posix *posix;

    if (fs == NULL)
        return;
    posix = CONTAINER_OF(fs, struct fs_posix, fs);
    CHECK(list_empty(&posix->ops));
    mem_free(posix);
}
