/* commands.c - what REST asks for. Pure; thread: the control loop. */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/dispatcher/dispatcher.h"

#define FILE_PART_MAX   (1u << 20)
#define FILE_NAME_BYTES 255

void jm_command_end(struct jm_command *command, const struct err *error)
{
    list_remove(&command->link);
    if (error) {
        command->err = *error;
        command->code = error->code;
    } else {
        command->code = 0;
    }
    command->done(command);
}

static void command_fail(struct jm_command *command, int code, const char *text)
{
    struct err err;

    err_set(&err, code, "%s", text);
    jm_command_end(command, &err);
}

static void fail_unknown_job(struct jm_command *command)
{
    struct err err;
    char id[ID_TEXT_MAX];

    err_set(&err, ERR_NOT_FOUND, "no job %s", id_format(&command->job_id, id));
    jm_command_end(command, &err);
}

static void do_submit(struct jm_dispatcher *d, struct jm_command *command)
{
    struct err err = {0};
    int code = jm_dispatcher_submit(d, command, &err);

    jm_command_end(command, code < 0 ? &err : NULL);
}

static void do_cancel(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_job *job = jm_dispatcher_job(d, &command->job_id);
    const struct jm_stored *stored = jm_store_find(d->store, &command->job_id);
    struct err err;
    char id[ID_TEXT_MAX];

    if (!job && !stored) {
        fail_unknown_job(command);
    } else if (stored && stored->entry->state != JM_JOB_CANCELED) {
        err_set(&err, ERR_STATE, "job %s is %s: it cannot be canceled any more",
                id_format(&command->job_id, id), jm_job_state_name(stored->entry->state));
        jm_command_end(command, &err);
    } else {
        if (job)
            jm_job_cancel(job);
        jm_command_end(command, NULL);
    }
}

static void on_put(void *arg, const struct err *error, const uint8_t hash[32])
{
    struct jm_command *command = arg;

    memcpy(command->hash, hash, sizeof(command->hash));
    jm_command_end(command, error);
}

static void do_watch(struct jm_dispatcher *d, struct jm_command *command)
{
    if (jm_dispatcher_job(d, &command->job_id)) {
        list_remove(&command->link);
        list_push_back(&d->watches, &command->link);
    } else if (jm_store_find(d->store, &command->job_id)) {
        jm_command_end(command, NULL);
    } else {
        fail_unknown_job(command);
    }
}

/* ---- one job, running or over ---- */

static void on_job_loaded(void *arg, const struct err *error, struct jm_job_snapshot *job)
{
    struct jm_command *command = arg;

    command->job = job;
    jm_command_end(command, error);
}

static void do_load_job(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_job *job = jm_dispatcher_job(d, &command->job_id);

    command->job = job ? jm_job_picture(job) : jm_store_cached(d->store, &command->job_id);
    if (command->job)
        jm_command_end(command, NULL);
    else if (jm_store_find(d->store, &command->job_id))
        jm_store_load(d->store, &command->job_id, on_job_loaded, command);
    else
        fail_unknown_job(command);
}

/* ---- files of TaskManagers and workers ---- */

static void on_file(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    const Rask__Control__ReadFileOk *ok = (const Rask__Control__ReadFileOk *)response;
    struct jm_command *command = arg;

    if (ok) {
        bytes_add(&command->result, ok->data.data, ok->data.len);
        command->size = ok->size;
    }
    jm_command_end(command, error);
}

static void on_files(void *arg, const struct err *error, const ProtobufCMessage *response)
{
    struct jm_command *command = arg;

    if (response) {
        size_t size = protobuf_c_message_get_packed_size(response);

        bytes_reserve(&command->result, size + 1);
        protobuf_c_message_pack(response, command->result.data + command->result.len);
        command->result.len += size;
    }
    jm_command_end(command, error);
}

static struct jm_taskmanager *find_taskmanager(struct jm_dispatcher *d, struct jm_command *command,
                                               const char *id_text)
{
    struct jm_taskmanager *tm = NULL;
    struct err err;
    struct id id;

    if (id_parse(id_text, &id))
        tm = jm_resource_find(d->resource, &id);
    if (!tm) {
        err_set(&err, ERR_NOT_FOUND, "no TaskManager %.64s is registered", id_text);
        jm_command_end(command, &err);
    }
    return tm;
}

static void read_file(struct jm_dispatcher *d, struct jm_command *command,
                      const char *taskmanager_id)
{
    struct jm_taskmanager *tm = find_taskmanager(d, command, taskmanager_id);
    Rask__Control__ReadFile msg = RASK__CONTROL__READ_FILE__INIT;

    if (!tm)
        return;
    msg.has_job_id = !id_is_zero(&command->job_id);
    msg.job_id = rpc_id_data(&command->job_id);
    msg.has_worker_index = msg.has_job_id;
    msg.worker_index = command->worker_index;
    msg.name = (char *)command->name;
    msg.offset = command->offset;
    msg.max = MIN(command->max, FILE_PART_MAX);
    command->waits_for = tm->peer;
    rpc_call(tm->peer, RPC_READ_FILE, &msg.base, 0, on_file, command);
}

static void read_file_of(struct jm_dispatcher *d, struct jm_command *command,
                         const struct jm_job_snapshot *job)
{
    struct err err;

    if (command->worker_index < job->worker_count) {
        read_file(d, command, job->workers[command->worker_index].taskmanager_id);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "the job has %u workers: there is no worker %u", job->worker_count,
            command->worker_index);
    jm_command_end(command, &err);
}

static void on_file_job(void *arg, const struct err *error, struct jm_job_snapshot *job)
{
    struct jm_command *command = arg;

    if (error)
        jm_command_end(command, error);
    else
        read_file_of(command->dispatcher, command, job);
    jm_job_snapshot_unref(job);
}

static void do_read_file(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_job *job = jm_dispatcher_job(d, &command->job_id);
    struct jm_job_snapshot *picture;

    if (!command->name || !*command->name || strlen(command->name) > FILE_NAME_BYTES) {
        command_fail(command, ERR_INVALID, "a file's name has 1 to 255 bytes");
        return;
    }
    if (command->taskmanager_id) {
        read_file(d, command, command->taskmanager_id);
        return;
    }
    picture = job ? jm_job_picture(job) : jm_store_cached(d->store, &command->job_id);
    if (picture) {
        read_file_of(d, command, picture);
        jm_job_snapshot_unref(picture);
    } else if (jm_store_find(d->store, &command->job_id)) {
        jm_store_load(d->store, &command->job_id, on_file_job, command);
    } else {
        fail_unknown_job(command);
    }
}

static void do_list_files(struct jm_dispatcher *d, struct jm_command *command)
{
    struct jm_taskmanager *tm =
        find_taskmanager(d, command, command->taskmanager_id ? command->taskmanager_id : "");
    Rask__Control__ListFiles msg = RASK__CONTROL__LIST_FILES__INIT;

    if (!tm)
        return;
    command->waits_for = tm->peer;
    rpc_call(tm->peer, RPC_LIST_FILES, &msg.base, 0, on_files, command);
}

void jm_dispatcher_peer_closes(struct jm_dispatcher *d, const struct rpc_peer *peer)
{
    LIST_FOREACH_SAFE (at, &d->commands) {
        struct jm_command *command = LIST_ENTRY(at, struct jm_command, link);

        if (command->waits_for == peer)
            command_fail(command, ERR_CLOSED,
                         "the TaskManager came back over another connection: ask again");
    }
}

void jm_dispatcher_execute(struct jm_dispatcher *d, struct jm_command *command)
{
    command->dispatcher = d;
    command->waits_for = NULL;
    list_init(&command->link);
    list_push_back(&d->commands, &command->link);
    switch (command->type) {
    case JM_SUBMIT:
        do_submit(d, command);
        return;
    case JM_CANCEL:
        do_cancel(d, command);
        return;
    case JM_PUT_BLOB:
        jm_blobs_put(d->blobs, command->data, command->len, command->path, on_put, command);
        return;
    case JM_PLAN:
        jm_plan_start(d, command);
        return;
    case JM_READ_FILE:
        do_read_file(d, command);
        return;
    case JM_LIST_FILES:
        do_list_files(d, command);
        return;
    case JM_WATCH:
        do_watch(d, command);
        return;
    case JM_LOAD_JOB:
        do_load_job(d, command);
        return;
    case JM_CHECKPOINT:
    case JM_DISPOSE:
        jm_operation_start(d, command);
        return;
    case JM_OPERATION:
        jm_operation_look(d, command);
        return;
    }
    command_fail(command, ERR_INVALID, "no such command");
}
