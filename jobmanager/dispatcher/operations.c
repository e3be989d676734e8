/*
 * operations.c - what takes its time: checkpoints and savepoints that are asked for, and their removal.
 *
 * Each has a trigger, by which REST asks what has come of it; those that ended are remembered for a while.  One that stops
 * or cancels its job has ended when the job is over; one that stops, too, when the job fails first and starts again.
 * Pure; thread: the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/dispatcher/dispatcher.h"

#define OPERATIONS_MAX 1000

struct jm_operation {
    struct list link;
    struct jm_dispatcher *d;
    struct id trigger, job_id;
    bool stops, cancels;
    bool waits; /* for the end of its job */
    bool ended;
    struct err err;
    char *path;
    uint64_t checkpoint;
};

static void operation_free(struct jm_operation *o)
{
    list_remove(&o->link);
    o->d->operation_count--;
    mem_free(o->path);
    mem_free(o);
}

static void end(struct jm_operation *o, const struct err *error)
{
    o->ended = true;
    o->waits = false;
    if (error)
        o->err = *error;
}

static struct jm_operation *find(struct jm_dispatcher *d, const struct id *trigger)
{
    LIST_FOREACH (at, &d->operations) {
        struct jm_operation *o = LIST_ENTRY(at, struct jm_operation, link);

        if (id_equal(&o->trigger, trigger))
            return o;
    }
    return NULL;
}

/* Room for one more: the oldest that has ended is forgotten. */
static bool make_room(struct jm_dispatcher *d)
{
    if (d->operation_count < OPERATIONS_MAX)
        return true;
    LIST_FOREACH_SAFE (at, &d->operations) {
        struct jm_operation *o = LIST_ENTRY(at, struct jm_operation, link);

        if (o->ended) {
            operation_free(o);
            return true;
        }
    }
    return false;
}

/* Its job failed between the savepoint and its end: it runs again. */
static void end_unstopped(struct jm_operation *o)
{
    struct err err;

    err_set(&err, ERR_STATE,
            "the savepoint \"%s\" is complete, but the job failed before it had stopped and starts again from it: what it "
            "does now is not in the savepoint. Stop it again",
            o->path ? o->path : "");
    end(o, &err);
}

static void on_checkpoint(void *arg, const struct err *error, uint64_t checkpoint, const char *path)
{
    struct jm_operation *o = arg;
    struct jm_job *job = jm_dispatcher_job(o->d, &o->job_id);

    o->checkpoint = checkpoint;
    o->path = path ? mem_strdup(path) : NULL;
    if (error || !job || !(o->stops || o->cancels)) {
        end(o, error);
        return;
    }
    o->waits = true;
    if (o->cancels)
        jm_job_cancel(job);
    else if (job->life.state == JM_JOB_RESTARTING)
        end_unstopped(o);
}

static void on_disposed(void *arg, const struct err *error)
{
    end(arg, error);
}

static int start_checkpoint(struct jm_operation *o, const struct jm_command *command, struct err *err)
{
    struct jm_job *job = jm_dispatcher_job(o->d, &o->job_id);
    char id[ID_TEXT_MAX];

    if (!job)
        return err_set(err, jm_store_find(o->d->store, &o->job_id) ? ERR_STATE : ERR_NOT_FOUND, "no job %s runs",
                       id_format(&o->job_id, id));
    o->stops = command->kind == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_SUSPEND ||
               command->kind == RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_TERMINATE;
    o->cancels = command->then_cancel;
    return jm_ckpt_request(job->ckpt, command->kind, command->full, command->target, on_checkpoint, o, err);
}

static int start_disposal(struct jm_operation *o, const struct jm_command *command, struct err *err)
{
    char *path = NULL;
    int code = jm_ckpt_path(command->target ? command->target : "", &path, err);

    if (code == 0)
        jm_ckpt_dispose(o->d->env, path, on_disposed, o);
    mem_free(path);
    return code;
}

void jm_operation_start(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_operation *o;
    struct err err;
    int code;

    if (!id_is_zero(&command->trigger) && find(d, &command->trigger)) {
        jm_command_end(command, NULL);
        return;
    }
    if (!make_room(d)) {
        err_set(&err, ERR_LIMIT, "%d checkpoints and savepoints that were asked for are under way", OPERATIONS_MAX);
        jm_command_end(command, &err);
        return;
    }
    if (id_is_zero(&command->trigger))
        command->trigger = env_rand_id(d->env);
    o = MEM_NEW(struct jm_operation);
    o->d = d;
    o->trigger = command->trigger;
    o->job_id = command->job_id;
    list_push_back(&d->operations, &o->link);
    d->operation_count++;
    code = command->type == JM_DISPOSE ? start_disposal(o, command, &err) : start_checkpoint(o, command, &err);
    if (code < 0)
        end(o, &err);
    jm_command_end(command, NULL);
}

void jm_operation_look(struct jm_dispatcher *d, struct jm_command *command)
{
    const struct jm_operation *o = find(d, &command->trigger);
    struct err err;
    char id[ID_TEXT_MAX];

    if (!o || !id_equal(&o->job_id, &command->job_id)) {
        err_set(&err, ERR_NOT_FOUND, "There is no operation with triggerId=%s.", id_format(&command->trigger, id));
        jm_command_end(command, &err);
        return;
    }
    command->ended = o->ended;
    command->operation_err = o->err;
    command->size = o->checkpoint;
    if (o->path)
        bytes_add_str(&command->result, o->path);
    jm_command_end(command, NULL);
}

void jm_operations_job_restarts(struct jm_dispatcher *d, const struct id *job_id)
{
    LIST_FOREACH (at, &d->operations) {
        struct jm_operation *o = LIST_ENTRY(at, struct jm_operation, link);

        if (o->waits && o->stops && id_equal(&o->job_id, job_id))
            end_unstopped(o);
    }
}

void jm_operations_job_over(struct jm_dispatcher *d, const struct id *job_id)
{
    LIST_FOREACH (at, &d->operations) {
        struct jm_operation *o = LIST_ENTRY(at, struct jm_operation, link);

        if (o->waits && id_equal(&o->job_id, job_id))
            end(o, NULL);
    }
}

void jm_operations_clear(struct jm_dispatcher *d)
{
    while (!list_empty(&d->operations))
        operation_free(LIST_ENTRY(d->operations.next, struct jm_operation, link));
}
