/*
 * spawn_logs_posix.c - which files workers have left in the log folder, and how many are kept.
 * Thread: the loop.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "taskmanager/supervisor/spawn_private.h"

#define ROTATED_MAX 1000 /* FILE.log.1 and so on */
#define OLD_FILES_MAX 20000

static void remove_file(const char *stem, const char *suffix)
{
    char *path = mem_printf("%s%s", stem, suffix);

    unlink(path);
    mem_free(path);
}

static void remove_files(const char *stem)
{
    char *path;
    int gone = 0;

    remove_file(stem, ".log");
    remove_file(stem, ".out");
    for (int i = 1; i <= ROTATED_MAX && gone == 0; i++) {
        path = mem_printf("%s.log.%d", stem, i);
        gone = unlink(path);
        mem_free(path);
    }
}

static void log_free(struct spawn *s, struct spawn_log *log)
{
    list_remove(&log->in_spawn);
    s->log_count--;
    mem_free(log->stem);
    mem_free(log);
}

static void make_room(struct spawn *s)
{
    LIST_FOREACH_SAFE(node, &s->logs) {
        struct spawn_log *log = LIST_ENTRY(node, struct spawn_log, in_spawn);

        if (s->log_count < SPAWN_LOGS_MAX)
            break;
        if (log->running)
            continue;
        remove_files(log->stem);
        log_free(s, log);
    }
}

char *spawn_stem(const struct spawn *s, const char *job, uint32_t worker_index)
{
    return mem_printf("%s/rask-%s-worker-%s-%u-%s", s->log_dir, s->user, job, worker_index, s->host);
}

struct spawn_log *spawn_log_add(struct spawn *s, char *stem)
{
    struct spawn_log *log = MEM_NEW(struct spawn_log);

    LIST_FOREACH_SAFE(node, &s->logs) { /* a later epoch of a job goes on in the same files */
        struct spawn_log *other = LIST_ENTRY(node, struct spawn_log, in_spawn);

        if (!other->running && strcmp(other->stem, stem) == 0)
            log_free(s, other);
    }
    make_room(s);
    log->stem = stem;
    log->running = true;
    list_push_back(&s->logs, &log->in_spawn);
    s->log_count++;
    return log;
}

void spawn_log_ended(struct spawn_log *log)
{
    char *path = mem_printf("%s.out", log->stem);
    struct stat st;

    log->running = false;
    if (stat(path, &st) == 0 && st.st_size == 0)
        unlink(path);
    mem_free(path);
}

void spawn_logs_release(struct spawn *s)
{
    while (!list_empty(&s->logs))
        log_free(s, LIST_ENTRY(s->logs.next, struct spawn_log, in_spawn));
}

/* ---- what others have left ---- */

struct old_file {
    char *stem;
    int64_t modified_s;
};

static int newest_first(const void *a, const void *b)
{
    const struct old_file *x = a, *y = b;

    return x->modified_s < y->modified_s ? 1 : x->modified_s > y->modified_s ? -1 : strcmp(x->stem, y->stem);
}

void spawn_logs_remove_old(const struct spawn *s)
{
    char *start = mem_printf("rask-%s-worker-", s->user), *end = mem_printf("-%s.log", s->host);
    struct old_file *files = mem_alloc_array(OLD_FILES_MAX, sizeof(*files));
    size_t count = 0, end_len = strlen(end);
    DIR *dir = opendir(s->log_dir);
    struct dirent *entry;
    struct stat st;

    while (dir && count < OLD_FILES_MAX && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        if (len < end_len || strncmp(entry->d_name, start, strlen(start)) != 0 ||
            strcmp(entry->d_name + len - end_len, end) != 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        files[count].stem = mem_printf("%s/%.*s", s->log_dir, (int)len - 4, entry->d_name);
        files[count++].modified_s = st.st_mtim.tv_sec;
    }
    if (dir)
        closedir(dir);
    qsort(files, count, sizeof(*files), newest_first);
    for (size_t i = 0; i < count; i++) {
        if (i >= SPAWN_LOGS_MAX)
            remove_files(files[i].stem);
        mem_free(files[i].stem);
    }
    mem_free(files);
    mem_free(start);
    mem_free(end);
}
