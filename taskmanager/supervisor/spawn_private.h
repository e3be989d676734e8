/* spawn_private.h - shared by the files of the production spawner. */
#ifndef TM_SPAWN_PRIVATE_H
#define TM_SPAWN_PRIVATE_H

#include <sys/types.h>

#include "common/base/list.h"
#include "common/base/mem.h"
#include "taskmanager/supervisor/spawn_posix.h"

#define SPAWN_MAGIC 0x53504e57u
#define SPAWN_ASK_MS 1000     /* from the request to end to SIGKILL */
#define SPAWN_TAIL_BYTES 4096 /* last log lines */
#define SPAWN_TAIL_LINES 20
#define SPAWN_FILES_MAX 1000  /* listed of the log folder */
#define SPAWN_LOGS_MAX 100    /* workers whose files are kept; those of the oldest ones go */

struct spawn {
    struct tm_spawner base;
    uint32_t magic;
    struct env *env;
    const struct conf *conf;
    char *program, *log_dir, *own_log, *tmp_dir, *local_dir, *user, *host; /* owned */
    struct list workers;
    struct list logs; /* struct spawn_log: workers that run or ran, the oldest first */
    uint32_t log_count;
    uint64_t page_bytes;
    struct env_log_rate passes_failed;
    uint32_t memory_works; /* under way; the last one frees a spawner that has ended meanwhile */
    bool ended;
};

/* Where a worker writes, or wrote. */
struct spawn_log {
    struct list in_spawn;
    char *stem; /* owned: the path without .log and .out */
    bool running;
};

struct spawn_worker {
    struct list in_spawn;
    struct spawn *spawn;
    pid_t pid;
    int fd;      /* our end of the start pipe */
    void *watch; /* on fd; NULL once it has ended */
    int statm;   /* its /proc/PID/statm; -1: not open */
    struct env_timer deadline;
    tm_exit_fn *on_exit;
    void *arg;
    struct spawn_log *log;    /* borrowed */
    char *log_path, *tmp_dir; /* owned */
    off_t log_start;          /* size of the log before it began */
    bool done;
    char *reason;             /* owned; of PIPE_DONE */
    char *report;             /* owned; of PIPE_CRASH: three texts behind each other */
    size_t report_len;
};

/* ---- spawn_logs_posix.c ---- */
/* The record of what a new worker writes; takes stem. Removes files of old workers when there are too many. */
struct spawn_log *spawn_log_add(struct spawn *s, char *stem);
/* LOG_DIR/rask-USER-worker-JOB-INDEX-HOST, owned by the caller. job: 32 hex digits. */
char *spawn_stem(const struct spawn *s, const char *job, uint32_t worker_index);
void spawn_log_ended(struct spawn_log *log); /* removes its .out when nothing was printed */
void spawn_logs_release(struct spawn *s);
/* Files that earlier TaskManagers of this user have left in the folder, beyond SPAWN_LOGS_MAX workers. */
void spawn_logs_remove_old(const struct spawn *s);

/* ---- spawn_files_posix.c ---- */
extern const struct tm_spawner_ops spawn_file_ops; /* memory, read_file and list_files are set */
int spawn_make_folder(const char *path, struct err *err) MUST_CHECK; /* with its parents */
/* For this user alone, in a folder that exists; never one that was there before. */
int spawn_make_private_folder(const char *path, struct err *err) MUST_CHECK;
void spawn_remove_folder(struct env *env, char *path);               /* on a thread of env_work; path is taken */
char *spawn_last_lines(const char *path, off_t from); /* owned by the caller; NULL: none */

#endif
