/*
 * claim.c - who owns the files of a checkpoint that a job begins with: one job at most.
 *
 * The mark is a file `_claimed-JOB` beside `_metadata` (for one of a job's own checkpoints beside all of them, for they share
 * files), durable before the job begins.  A job that claims looks for other marks, makes its own, and looks again: of two that
 * come at the same time, whatever JobManagers they belong to, at least one sees the other, and whoever does gives up.
 * A job marks its own checkpoints, too, from the first one until it is over, as `_running-JOB`: its newer ones share files with
 * the older, and it removes those.  That mark names the process of its JobManager: a job does not outlive that, and who can tell that
 * the process has ended takes the mark away and claims.  Workers that have not heard of it yet are no danger: they make new files
 * for checkpoints that nobody completes any more, and remove none.
 * Whoever cannot tell, and finds any other mark, leaves it to a user to take it away: files that are claimed may be named by
 * checkpoints of the job that claimed them, whatever has become of it.  Pure; thread: the control loop.
 */
#include <string.h>

#include "jobmanager/checkpoint/coordinator_private.h"

#define MARK_MAX   (64u << 10) /* bytes of one that are read */
#define PROCESS_IS "JobManager: "

static void on_listed(void *arg, const struct fs_result *result);

/* The folder that a job owns with a checkpoint: its own, or all of another job's, with which it shares files. Owned. */
static char *folder_of(const char *path)
{
    const char *folder = strrchr(path, '/') + 1;

    return strncmp(folder, "chk-", 4) == 0 ? mem_printf("%.*s", (int)(folder - 1 - path), path) : mem_strdup(path);
}

static char *mark_of(const struct jm_ckpt *c)
{
    return mem_printf("%s/" CKPT_CLAIMED "%s", c->claimed, c->job);
}

void jm_ck_claim_end(struct jm_ckpt *c, struct fs_sweep *sweep)
{
    char *mark = mark_of(c);

    fs_sweep_add(sweep, mark);
    mem_free(mark);
}

char *jm_ck_running_mark(const struct jm_ckpt *c)
{
    return mem_printf("%s/" CKPT_RUNNING "%s", c->dir, c->job);
}

/* The process is named because jobs end with it. Where another JobManager may take them over it must not be. */
char *jm_ck_mark_text(const struct jm_ckpt *c)
{
    char process[ENV_PROCESS_MAX];

    env_process(c->env, process);
    return mem_printf("%s%s\njob %s, \"%s\"\n", PROCESS_IS, process, c->job, c->options.job_name);
}

/* The JobManager of the mark has ended, for certain. */
static bool is_orphan(const struct jm_ckpt *c, const struct fs_result *mark)
{
    const size_t before = strlen(PROCESS_IS);
    const uint8_t *end = mark->code == 0 && mark->len > before && memcmp(mark->data, PROCESS_IS, before) == 0
                             ? memchr(mark->data, '\n', mark->len)
                             : NULL;
    char *process = end ? mem_printf("%.*s", (int)(end - mark->data - (ptrdiff_t)before), (const char *)mark->data + before) : NULL;
    bool gone = process && env_process_is_gone(c->env, process);

    mem_free(process);
    return gone;
}

static bool is_mark(const char *name, const char *kind, const char *except)
{
    return strncmp(name, kind, strlen(kind)) == 0 && (!except || strcmp(name + strlen(kind), except) != 0);
}

const char *jm_ck_mark(const struct fs_result *list, const char *except)
{
    for (size_t i = 0; list->code == 0 && i < list->name_count; i++)
        if (is_mark(list->names[i], CKPT_CLAIMED, except) || is_mark(list->names[i], CKPT_RUNNING, except))
            return list->names[i];
    return NULL;
}

static void taken(const struct jm_ckpt *c, const char *mark, struct err *err)
{
    const char *job = strchr(mark, '-') + 1;

    if (is_mark(mark, CKPT_RUNNING, NULL))
        err_set(err, ERR_INVALID, "job %s has not ended, whose later checkpoints share its files: begin without a claim (-cm no_claim), "
                "or with a savepoint of that job, or stop it first; if it was lost with its JobManager, remove \"%s/%s\" first", job,
                c->claimed, mark);
    else
        err_set(err, ERR_INVALID, "job %s has claimed it, and removes its files when it does not need them any more: begin with "
                "another one; if that job is over, and no checkpoint of it is to be used, remove \"%s/%s\" first", job, c->claimed,
                mark);
}

static void on_own_unlinked(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result; /* what is left says so to the next one */
}

static void on_listed_again(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;
    const char *other = jm_ck_mark(result, c->job);
    struct err err = result->err;
    char *mark;

    if (result->code == 0 && !other) {
        c->claim_then(c, NULL);
        return;
    }
    if (other)
        taken(c, other, &err);
    mark = mark_of(c);
    c->env->fs->ops->unlink(c->env->fs, mark, on_own_unlinked, NULL);
    mem_free(mark);
    c->claim_then(c, &err);
}

static void on_marked(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;
    struct err err = result->err;

    if (result->code == 0) {
        c->env->fs->ops->list(c->env->fs, c->claimed, on_listed_again, c);
        return;
    }
    err_wrap(&err, "it cannot be claimed (with -cm no_claim it stays yours)");
    c->claim_then(c, &err);
}

/* ---- the mark of a JobManager that may be gone ---- */

static void refuse(struct jm_ckpt *c)
{
    struct err err;

    taken(c, c->other, &err);
    c->claim_then(c, &err);
}

static void on_orphan_unlinked(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;

    if (result->code < 0 && result->code != ERR_NOT_FOUND) {
        env_log(c->env, LOG_WARN, CK_MODULE, c->job, "the mark \"%s\" stays: %s", c->other, result->err.text);
        refuse(c);
        return;
    }
    c->env->fs->ops->list(c->env->fs, c->claimed, on_listed, c);
}

static void on_mark_read(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;
    char *path;

    if (!is_orphan(c, result)) {
        refuse(c);
        return;
    }
    env_log(c->env, LOG_INFO, CK_MODULE, c->job, "job %s was lost with its JobManager: its mark \"%s/%s\" is taken away",
            strchr(c->other, '-') + 1, c->claimed, c->other);
    path = mem_printf("%s/%s", c->claimed, c->other);
    c->env->fs->ops->unlink(c->env->fs, path, on_orphan_unlinked, c);
    mem_free(path);
}

static void look_at_mark(struct jm_ckpt *c, const char *mark)
{
    char *path = mem_printf("%s/%s", c->claimed, mark);

    mem_free(c->other);
    c->other = mem_strdup(mark);
    if (is_mark(mark, CKPT_RUNNING, NULL))
        c->env->fs->ops->read_all(c->env->fs, path, MARK_MAX, on_mark_read, c);
    else
        refuse(c);
    mem_free(path);
}

static void on_listed(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;
    const char *other = jm_ck_mark(result, c->job);
    char *mark, *text;

    if (other && c->claimed) {
        look_at_mark(c, other);
        return;
    }
    if (other)
        env_log(c->env, LOG_WARN, CK_MODULE, c->job, "job %s %s \"%s\", and may remove its files before this job has a checkpoint of "
                "its own", strchr(other, '-') + 1, is_mark(other, CKPT_RUNNING, NULL) ? "has not ended, and owns" : "has claimed",
                c->load_path);
    if (!c->claimed) {
        c->claim_then(c, NULL);
        return;
    }
    mark = mark_of(c);
    text = jm_ck_mark_text(c);
    c->env->fs->ops->write_all(c->env->fs, mark, text, strlen(text), on_marked, c);
    mem_free(mark);
    mem_free(text);
}

void jm_ck_claim(struct jm_ckpt *c, bool own, void (*then)(struct jm_ckpt *c, struct err *error))
{
    char *folder = folder_of(c->load_path);

    c->claim_then = then;
    c->env->fs->ops->list(c->env->fs, folder, on_listed, c);
    if (own)
        c->claimed = folder;
    else
        mem_free(folder);
}
