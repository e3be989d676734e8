/*
 * spawn_files_posix.c - what the spawner reads of the system on the threads of env_work: memory, log files, folders.
 * Thread: run() functions on a pool thread, the rest on the loop.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf/work_folder.h"
#include "taskmanager/supervisor/spawn_private.h"

/* ---- memory ---- */

struct memory_work {
    struct env_work work;
    struct spawn *spawn;
    void *worker; /* compared, never followed: it may have ended */
    pid_t pid;
    uint64_t pss_bytes;
    tm_memory_fn *cb;
    void *arg;
};

/* Resident pages without the shared ones, where the kernel does not tell the proportional size. */
static uint64_t resident_of(pid_t pid)
{
    char path[64], text[128] = "";
    unsigned long long size = 0, resident = 0, shared = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fgets(text, sizeof(text), f) && sscanf(text, "%llu %llu %llu", &size, &resident, &shared) == 3 &&
        resident > shared)
        resident -= shared;
    fclose(f);
    return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static uint64_t pss_of(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return resident_of(pid);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "Pss: %llu kB", &kib) == 1)
            break;
    }
    fclose(f);
    return kib > 0 ? kib * 1024 : resident_of(pid);
}

static void memory_run(struct env_work *work)
{
    struct memory_work *m = CONTAINER_OF(work, struct memory_work, work);

    m->pss_bytes = pss_of(m->pid);
}

static void memory_done(struct env_work *work)
{
    struct memory_work *m = CONTAINER_OF(work, struct memory_work, work);
    struct spawn *s = m->spawn;

    s->memory_works--;
    LIST_FOREACH(node, &s->workers) { /* none once the spawner has ended */
        struct spawn_worker *w = LIST_ENTRY(node, struct spawn_worker, in_spawn);

        if (w == m->worker && w->pid == m->pid) {
            m->cb(m->arg, m->pss_bytes);
            break;
        }
    }
    mem_free(m);
    if (s->ended && s->memory_works == 0)
        mem_free(s);
}

/* One read of a file that stays open: the pages that it has, shared ones included. */
static bool memory_may_exceed_op(struct tm_spawner *base, void *worker, uint64_t bytes)
{
    struct spawn_worker *w = worker;
    char path[64], text[128] = "";
    const char *resident; /* the second number */

    (void)base;
    if (w->statm < 0) {
        snprintf(path, sizeof(path), "/proc/%d/statm", (int)w->pid);
        w->statm = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (w->statm < 0 || pread(w->statm, text, sizeof(text) - 1, 0) <= 0 || !(resident = strchr(text, ' ')))
        return true;
    return strtoull(resident, NULL, 10) > bytes / w->spawn->page_bytes;
}

static void memory_op(struct tm_spawner *base, void *worker, tm_memory_fn *cb, void *arg)
{
    struct memory_work *m = MEM_NEW(struct memory_work);
    struct spawn_worker *w = worker;

    m->work.run = memory_run;
    m->work.done = memory_done;
    m->spawn = CONTAINER_OF(base, struct spawn, base);
    m->worker = worker;
    m->pid = w->pid;
    m->cb = cb;
    m->arg = arg;
    m->spawn->memory_works++;
    env_work(m->spawn->env, &m->work);
}

/* ---- reading a file of the log folder ---- */

struct read_work {
    struct env_work work;
    char *path; /* owned */
    bool empty_if_missing; /* nothing was printed */
    uint64_t offset, size;
    uint32_t max;
    uint8_t *data; /* owned */
    size_t len;
    struct err err;
    tm_read_fn *cb;
    void *arg;
};

static void read_run(struct env_work *work)
{
    struct read_work *r = CONTAINER_OF(work, struct read_work, work);
    struct stat st;
    ssize_t got;
    int fd;

    fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT && r->empty_if_missing)
        return;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_errno(&r->err, fd < 0 ? errno : EINVAL, "%s", r->path);
        if (fd >= 0)
            close(fd);
        return;
    }
    r->size = (uint64_t)st.st_size;
    r->data = mem_alloc((size_t)r->max + 1);
    got = pread(fd, r->data, r->max, (off_t)MIN(r->offset, r->size));
    if (got < 0)
        err_errno(&r->err, errno, "%s", r->path);
    r->len = got > 0 ? (size_t)got : 0;
    close(fd);
}

static void read_done(struct env_work *work)
{
    struct read_work *r = CONTAINER_OF(work, struct read_work, work);

    r->cb(r->arg, r->err.code, r->err.text, r->data, r->len, r->size);
    mem_free(r->path);
    mem_free(r->data);
    mem_free(r);
}

static void read_file_op(struct tm_spawner *base, const struct id *job_id, uint32_t worker_index, const char *name,
                         uint64_t offset, uint32_t max, tm_read_fn *cb, void *arg)
{
    struct spawn *s = CONTAINER_OF(base, struct spawn, base);
    struct read_work *r = MEM_NEW(struct read_work);
    size_t own_len = s->own_log ? strlen(s->own_log) : 0;
    char job[ID_TEXT_MAX], *stem;

    r->work.run = read_run;
    r->work.done = read_done;
    if (job_id) {
        stem = spawn_stem(s, id_format(job_id, job), worker_index);
        r->path = mem_printf("%s.%s", stem, name);
        mem_free(stem);
        r->empty_if_missing = strcmp(name, "out") == 0;
    } else if (strcmp(name, "log") == 0 && s->own_log) {
        r->path = mem_strdup(s->own_log);
    } else if (strcmp(name, "out") == 0 && own_len > 4) {
        r->path = mem_printf("%.*s.out", (int)own_len - 4, s->own_log);
    } else {
        r->path = mem_printf("%s/%s", s->log_dir, name);
    }
    r->offset = offset;
    r->max = max;
    r->cb = cb;
    r->arg = arg;
    env_work(s->env, &r->work);
}

/* ---- listing the log folder ---- */

struct list_work {
    struct env_work work;
    char *log_dir; /* owned */
    struct arena arena;
    Rask__Control__ListFilesOk files;
    struct err err;
    tm_list_fn *cb;
    void *arg;
};

static int by_name(const void *a, const void *b)
{
    const Rask__Control__FileInfo *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static void list_run(struct env_work *work)
{
    struct list_work *l = CONTAINER_OF(work, struct list_work, work);
    DIR *dir = opendir(l->log_dir);
    struct dirent *entry;
    struct stat st;

    rask__control__list_files_ok__init(&l->files);
    l->files.files = arena_alloc(&l->arena, SPAWN_FILES_MAX * sizeof(*l->files.files));
    if (!dir) {
        err_errno(&l->err, errno, "%s", l->log_dir);
        return;
    }
    while ((entry = readdir(dir)) != NULL && l->files.n_files < SPAWN_FILES_MAX) {
        Rask__Control__FileInfo *info;

        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        info = arena_alloc(&l->arena, sizeof(*info));
        rask__control__file_info__init(info);
        info->name = arena_strdup(&l->arena, entry->d_name);
        info->size = (uint64_t)st.st_size;
        info->modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        l->files.files[l->files.n_files++] = info;
    }
    closedir(dir);
    qsort(l->files.files, l->files.n_files, sizeof(*l->files.files), by_name);
}

static void list_done(struct env_work *work)
{
    struct list_work *l = CONTAINER_OF(work, struct list_work, work);

    l->cb(l->arg, l->err.code, l->err.text, &l->files);
    arena_release(&l->arena);
    mem_free(l->log_dir);
    mem_free(l);
}

static void list_files_op(struct tm_spawner *base, tm_list_fn *cb, void *arg)
{
    struct spawn *s = CONTAINER_OF(base, struct spawn, base);
    struct list_work *l = MEM_NEW(struct list_work);

    l->work.run = list_run;
    l->work.done = list_done;
    l->log_dir = mem_strdup(s->log_dir);
    arena_init(&l->arena);
    l->cb = cb;
    l->arg = arg;
    env_work(s->env, &l->work);
}

const struct tm_spawner_ops spawn_file_ops = {
    .memory_may_exceed = memory_may_exceed_op, .memory = memory_op, .read_file = read_file_op, .list_files = list_files_op};

/* ---- folders ---- */

int spawn_make_folder(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    int code = 0;

    for (char *at = copy + 1; code == 0; at++) {
        char end = *at;

        if (end != '/' && end != 0)
            continue;
        *at = 0;
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            code = err_errno(err, errno, "%s", copy);
        *at = end;
        if (end == 0)
            break;
    }
    mem_free(copy);
    if (code == 0 && access(path, W_OK | X_OK) < 0)
        code = err_errno(err, errno, "%s", path);
    return code;
}

int spawn_make_private_folder(const char *path, struct err *err)
{
    return mkdir(path, 0700) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

struct remove_work {
    struct env_work work;
    char *path;
};

static void remove_run(struct env_work *work)
{
    work_folder_remove(CONTAINER_OF(work, struct remove_work, work)->path);
}

static void remove_done(struct env_work *work)
{
    struct remove_work *r = CONTAINER_OF(work, struct remove_work, work);

    mem_free(r->path);
    mem_free(r);
}

void spawn_remove_folder(struct env *env, char *path)
{
    struct remove_work *r = MEM_NEW(struct remove_work);

    r->work.run = remove_run;
    r->work.done = remove_done;
    r->path = path;
    env_work(env, &r->work);
}

char *spawn_last_lines(const char *path, off_t from)
{
    char text[SPAWN_TAIL_BYTES + 1], *at;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int lines = 0;
    struct stat st;
    ssize_t got = -1;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        if (st.st_size < from)
            from = 0; /* it was rotated */
        from = MAX(from, st.st_size - SPAWN_TAIL_BYTES);
        got = pread(fd, text, SPAWN_TAIL_BYTES, from);
    }
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return NULL;
    text[got] = 0;
    for (at = text + got - 1; at > text; at--) {
        if (at[-1] == '\n' && ++lines >= SPAWN_TAIL_LINES)
            break;
    }
    return mem_strdup(at);
}
