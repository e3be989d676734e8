/*
 * tm_local.c - the folders in which workers keep copies of their jobs' state (taskmanager/worker/checkpoint/local.h): those of
 * jobs that are over go. They outlive workers, and with a resource-id the TaskManager; so each registration looks at all.
 * Thread: the loop.
 */
#include <string.h>

#include "common/fs/fs.h"
#include "taskmanager/supervisor/tm_private.h"

struct removal { /* of a flat folder */
    struct list in_tm;
    struct tm *tm;
    char *dir;       /* owned */
    size_t left;     /* files */
};

static struct fs *fs_of(const struct tm *tm)
{
    return tm->env->fs;
}

static void removal_free(struct removal *r)
{
    fs_of(r->tm)->ops->forget(fs_of(r->tm), r);
    list_remove(&r->in_tm);
    mem_free(r->dir);
    mem_free(r);
}

static void on_removed(void *arg, const struct fs_result *result)
{
    struct removal *r = arg;

    (void)result;
    if (--r->left > 0)
        return;
    fs_of(r->tm)->ops->unlink(fs_of(r->tm), r->dir, NULL, NULL);
    removal_free(r);
}

static void on_listed(void *arg, const struct fs_result *result)
{
    struct removal *r = arg;
    struct fs *fs = fs_of(r->tm);

    if (result->code != 0) { /* it is not there: no worker of the job had anything to copy */
        removal_free(r);
        return;
    }
    r->left = result->name_count + 1;
    for (size_t i = 0; i < result->name_count; i++) {
        char *path = mem_printf("%s/%s", r->dir, result->names[i]);

        fs->ops->unlink(fs, path, on_removed, r);
        mem_free(path);
    }
    on_removed(r, result);
}

static bool has_worker(const struct tm *tm, const struct id *job_id)
{
    for (struct map_iter it = map_iter(tm->workers); map_next(&it);)
        if (id_equal(&((const struct tm_worker *)it.value)->job_id, job_id))
            return true;
    return false;
}

void tm_local_job_over(struct tm *tm, const struct id *job_id)
{
    struct removal *r;
    char job[ID_TEXT_MAX];

    if (!tm->options.local_dir || has_worker(tm, job_id))
        return;
    ENV_PROBE(tm->env, "taskmanager: copies of a job's state are removed");
    r = MEM_NEW(struct removal);
    r->tm = tm;
    r->dir = mem_printf("%s/%s", tm->options.local_dir, id_format(job_id, job));
    list_push_back(&tm->removals, &r->in_tm);
    fs_of(tm)->ops->list(fs_of(tm), r->dir, on_listed, r);
}

/* ---- registration ---- */

static void on_folders(void *arg, const struct fs_result *result)
{
    struct tm *tm = MAGIC_CAST(arg, struct tm, TM_MAGIC);
    struct id id;

    for (size_t i = 0; i < result->name_count; i++)
        if (id_parse(result->names[i], &id) && !map_get(tm->local_jobs, id.bytes, sizeof(id.bytes)))
            tm_local_job_over(tm, &id);
}

void tm_local_registered(struct tm *tm, const Rask__Control__RegisterTaskManagerOk *ok)
{
    if (!tm->options.local_dir)
        return;
    map_free(tm->local_jobs);
    tm->local_jobs = map_new();
    for (size_t i = 0; i < ok->n_local_jobs; i++)
        map_put(tm->local_jobs, ok->local_jobs[i].data, ok->local_jobs[i].len, tm);
    fs_of(tm)->ops->list(fs_of(tm), tm->options.local_dir, on_folders, tm);
}

void tm_local_release(struct tm *tm)
{
    if (tm->options.local_dir)
        fs_of(tm)->ops->forget(fs_of(tm), tm);
    while (!list_empty(&tm->removals))
        removal_free(LIST_ENTRY(tm->removals.next, struct removal, in_tm));
    map_free(tm->local_jobs);
    tm->local_jobs = NULL;
}
