/*
 * tm_local.c - the folders in which workers keep copies of their jobs' state (taskmanager/worker/checkpoint/local.h): those of
 * jobs that are over go. They outlive workers, and with a resource-id the TaskManager; so each registration looks at all.
 * Thread: the loop.
 */
#include "taskmanager/supervisor/tm_private.h"

static struct fs *fs_of(const struct tm *tm)
{
    return tm->env->fs;
}

void tm_local_init(struct tm *tm)
{
    fs_sweeper_init(&tm->copies, tm->env, "taskmanager", NULL, NULL, NULL, NULL);
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
    struct fs_sweep *sweep;
    char job[ID_TEXT_MAX], *dir;

    if (!tm->options.local_dir || has_worker(tm, job_id))
        return;
    ENV_PROBE(tm->env, "taskmanager: copies of a job's state are removed");
    dir = mem_printf("%s/%s", tm->options.local_dir, id_format(job_id, job));
    sweep = fs_sweep_new(&tm->copies);
    fs_sweep_add(sweep, dir);
    fs_sweep_go(sweep);
    mem_free(dir);
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
    fs_sweeper_release(&tm->copies);
    map_free(tm->local_jobs);
    tm->local_jobs = NULL;
}
