/*
 * handlers_files.c - logs and output: the JobManager's own files from its log folder, a TaskManager's and a worker's
 * through the TaskManager that has them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

#define TEXT "text/plain; charset=UTF-8"
#define LOG_FILES_MAX 1000

static void view_file(struct json_writer *w, const char *name, int64_t size, int64_t modified_ms)
{
    jw_object(w, NULL);
    jw_string(w, "name", name);
    jw_int(w, "size", size);
    jw_int(w, "mtime", modified_ms);
    jw_object_end(w);
}

/* ---- the JobManager's own ---- */
void rest_get_jobmanager_logs(struct rest_request *r)
{
    const char *path = rest_log_dir(r->rest);
    DIR *dir = path ? opendir(path) : NULL;
    struct dirent *e;
    int shown = 0;

    jw_object(&r->w, NULL);
    jw_array(&r->w, "logs");
    while (dir && shown < LOG_FILES_MAX && (e = readdir(dir)) != NULL) {
        struct stat st;

        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        view_file(&r->w, e->d_name, (int64_t)st.st_size,
                  (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
        shown++;
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    if (dir)
        closedir(dir);
    rest_ok(r);
}

/* A regular file; symbolic links are not followed. */
static void answer_file(struct rest_request *r, const char *dir, const char *name)
{
    int folder = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD;
    int fd = folder == -1 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (folder >= 0)
        close(folder);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        rest_file(r, fd, 0, (uint64_t)st.st_size);
        return;
    }
    if (fd >= 0)
        close(fd);
    rest_fail(r, 404, "This file does not exist in JobManager log dir.");
}

void rest_get_jobmanager_log_file(struct rest_request *r)
{
    if (!rest_log_dir(r->rest))
        rest_fail(r, 404, "This file does not exist in JobManager log dir.");
    else
        answer_file(r, rest_log_dir(r->rest), rest_param(r, "filename")); /* the router lets no slash through */
}

void rest_get_jobmanager_log(struct rest_request *r)
{
    if (!rest_log_file(r->rest))
        rest_fail(r, 404, "This JobManager logs to standard error, not to a file.");
    else
        answer_file(r, NULL, rest_log_file(r->rest));
}

/* ---- of a TaskManager ---- */
static bool taskmanager_known(struct rest_request *r)
{
    const char *id = rest_param(r, "taskmanagerid");

    for (uint32_t i = 0; i < r->snapshot->taskmanager_count; i++)
        if (strcmp(r->snapshot->taskmanagers[i].id, id) == 0)
            return true;
    rest_fail_inside(r, "<Exception on server side:\nNo TaskExecutor registered under %s.\nEnd of exception on server side>",
                     id);
    return false;
}

static void files_listed(struct rest_request *r, struct jm_command *c)
{
    Rask__Control__ListFilesOk *list;

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    list = rask__control__list_files_ok__unpack(NULL, c->result.len, c->result.data);
    jw_object(&r->w, NULL);
    jw_array(&r->w, "logs");
    for (size_t i = 0; list && i < list->n_files; i++)
        view_file(&r->w, list->files[i]->name, (int64_t)list->files[i]->size, list->files[i]->modified_ms);
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    if (list)
        rask__control__list_files_ok__free_unpacked(list, NULL);
    rest_ok(r);
}

void rest_get_taskmanager_logs(struct rest_request *r)
{
    struct jm_command c = {.type = JM_LIST_FILES, .taskmanager_id = rest_param(r, "taskmanagerid")};

    if (taskmanager_known(r))
        rest_execute(r, &c, files_listed);
}

/* The file in parts; r->state is the command with the next offset. */
static void log_part_read(struct rest_request *r, struct jm_command *c)
{
    struct jm_command *next = r->state;

    if (c->code < 0) {
        if (c->code == ERR_NOT_FOUND) /* as Flink: of a JobManager this is 404, of a TaskManager 500 */
            rest_fail_inside(r, "<Exception on server side:\n%s\nEnd of exception on server side>", c->err.text);
        else
            rest_fail_command(r, c);
        return;
    }
    if (next->offset == 0 && r->body.len == 0 && c->size > REST_FILE_WHOLE) {
        next->offset = c->size - REST_FILE_WHOLE; /* the end is what one wants to see */
        rest_execute(r, next, log_part_read);
        return;
    }
    bytes_add(&r->body, c->result.data, c->result.len);
    next->offset += c->result.len;
    if (c->result.len && next->offset < c->size && r->body.len < REST_FILE_WHOLE)
        rest_execute(r, next, log_part_read);
    else
        rest_bytes(r, TEXT, NULL);
}

void rest_get_taskmanager_log(struct rest_request *r)
{
    struct jm_command *c = arena_alloc(&r->arena, sizeof(*c));
    const char *name = rest_param(r, "filename");

    if (!taskmanager_known(r))
        return;
    c->type = JM_READ_FILE;
    c->taskmanager_id = rest_param(r, "taskmanagerid");
    c->name = name ? name : "log";
    c->max = REST_FILE_PART;
    r->state = c;
    rest_execute(r, c, log_part_read);
}

/* ---- of a job's worker ---- */
static void worker_file_read(struct rest_request *r, struct jm_command *c)
{
    char headers[64];

    if (c->code < 0) {
        rest_fail_command(r, c);
        return;
    }
    snprintf(headers, sizeof(headers), "x-rask-size: %" PRIu64 "\r\n", c->size);
    bytes_add(&r->body, c->result.data, c->result.len);
    rest_bytes(r, "application/octet-stream", headers);
}

static void read_worker_file(struct rest_request *r, const char *name)
{
    struct jm_command c = {.type = JM_READ_FILE, .job_id = r->job->id, .name = name};
    uint64_t worker = 0, offset = 0, max = REST_FILE_PART;

    if (!rest_query_u64(r, "worker", UINT32_MAX, &worker) || !rest_query_u64(r, "offset", INT64_MAX, &offset) ||
        !rest_query_u64(r, "max", REST_FILE_PART, &max))
        return;
    if (worker >= r->job->worker_count) {
        rest_fail(r, 404, "The job has %u workers; there is no worker %" PRIu64 ".", r->job->worker_count, worker);
        return;
    }
    c.worker_index = (uint32_t)worker;
    c.offset = offset;
    c.max = (uint32_t)max;
    rest_execute(r, &c, worker_file_read);
}

void rest_get_job_output(struct rest_request *r)
{
    read_worker_file(r, "out");
}

void rest_get_job_log(struct rest_request *r)
{
    read_worker_file(r, "log");
}
