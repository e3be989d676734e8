/*
 * rest_private.h - a request on its way through the REST server: parameters, answer, commands to the JobManager.
 *
 * Handlers run on the REST thread and end every request with exactly one rest_ok/rest_error/..., now or in the
 * callback of a command.  Their JSON goes to r->w, which writes into r->body.
 */
#ifndef JM_REST_PRIVATE_H
#define JM_REST_PRIVATE_H

#include "common/base/json.h"
#include "common/base/mem.h"
#include "jobmanager/rest/http.h"
#include "jobmanager/rest/rest.h"

#define REST_PARAMS_MAX 6
#define REST_QUERY_MAX 32
#define REST_FILE_PART (1u << 20)     /* of a worker's or TaskManager's file, per answer or call */
#define REST_FILE_WHOLE (16u << 20)   /* of a TaskManager's file without ?offset: its last bytes */

struct rest_pair {
    const char *name, *value;
};
struct rest_request {
    struct rest *rest;
    struct http_request *http;
    char *path;                              /* decoded, normalised: "/jobs/overview" */
    struct rest_pair params[REST_PARAMS_MAX]; /* of the route: "jobid" */
    size_t param_count;
    struct rest_pair query[REST_QUERY_MAX];
    size_t query_count;
    struct arena arena;                      /* of this request */
    struct jm_cluster_snapshot *snapshot;    /* one reference */
    struct jm_job_snapshot *job;             /* of routes with :jobid; one reference */
    struct bytes body;
    struct json_writer w;
    void *state;                             /* the handler's own, in the arena */
};
typedef void rest_handler(struct rest_request *r);

enum rest_route_flags {
    REST_JOB = 1,        /* :jobid is looked up first; r->job is set */
    REST_UNKNOWN_500 = 2 /* an unknown job is 500 instead of 404, as in Flink */
};
struct rest_route {
    const char *method, *pattern;
    rest_handler *handle;
    unsigned flags;
};
extern const struct rest_route rest_routes[];
extern const size_t rest_route_count;

/* ---- router.c ---- */
/* Takes a request of the HTTP server and answers it. */
void rest_route(struct rest *rest, struct http_request *http);
const char *rest_param(const struct rest_request *r, const char *name); /* NULL: no such */
const char *rest_query(const struct rest_request *r, const char *name); /* the first; NULL: no such */
/* A number of the query; false: answered with 400. Absent: *ret is untouched. */
bool rest_query_u64(struct rest_request *r, const char *name, uint64_t max, uint64_t *ret);
bool rest_param_u64(struct rest_request *r, const char *name, uint64_t *ret);

/* Ends: r is gone after each of them. */
void rest_ok(struct rest_request *r);                   /* 200 with r->body */
void rest_status(struct rest_request *r, int status);   /* with r->body */
void rest_bytes(struct rest_request *r, const char *content_type, const char *headers); /* 200 with r->body as it is */
void rest_file(struct rest_request *r, int fd, uint64_t offset, uint64_t len); /* text/plain; fd is taken */
void rest_fail(struct rest_request *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* 500 as Flink: "Internal server error." and the sentence. */
void rest_fail_inside(struct rest_request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From the code of a command: NOT_FOUND 404, UNAVAILABLE 503, INVALID, LIMIT, STATE 400, else 500. */
void rest_fail_command(struct rest_request *r, const struct jm_command *command);
void rest_abandon(struct rest_request *r); /* without an answer: its connection is gone */
void rest_fail_param(struct rest_request *r, const char *name); /* 400: cannot resolve path parameter */

/* ---- rest_libevent.c ---- */
const struct conf *rest_conf(const struct rest *rest);
struct jm *rest_jm(const struct rest *rest);
const char *rest_log_dir(const struct rest *rest);
const char *rest_log_file(const struct rest *rest);
/* The folder for uploads, made at the first call. NULL and err. */
const char *rest_upload_dir(struct rest *rest, struct err *err);
/* Host and Origin: false if foreign. *ret_allow: an origin to be named in the answer, or NULL. */
bool rest_peer_allowed(const struct rest *rest, const struct http_request *http, const char **ret_why);

/*
 * Executes a copy of *command (its done and arg are set here) and calls then(r, command) on the REST thread; what
 * the command borrows must live in r.  The command and its results are gone after then.
 */
typedef void rest_then(struct rest_request *r, struct jm_command *command);
void rest_execute(struct rest_request *r, const struct jm_command *command, rest_then *then);

/* ---- view.c: parts of answers ---- */
int64_t rest_now_ms(void);
void rest_view_metrics(struct json_writer *w, const struct jm_metrics *m);
void rest_view_task_counts(struct json_writer *w, const char *key, const uint32_t counts[JM_TASK_STATE_COUNT]);
/* "aggregated" of subtasks: metrics and status-duration. */
void rest_view_aggregated(struct json_writer *w, const struct jm_subtask_snapshot *const *subtasks, size_t count,
                          int64_t now);
void rest_view_subtask(struct json_writer *w, const struct jm_subtask_snapshot *s, int64_t now);
int64_t rest_subtask_start(const struct jm_subtask_snapshot *s); /* -1: not yet */
int64_t rest_subtask_end(const struct jm_subtask_snapshot *s);
int64_t rest_duration(int64_t start, int64_t end, int64_t now); /* -1 if not started */
const struct jm_vertex_snapshot *rest_vertex(struct rest_request *r); /* of :vertexid; NULL: answered */
const struct jm_taskmanager_snapshot *rest_taskmanager(struct rest_request *r); /* of :taskmanagerid */
const struct jm_subtask_snapshot *rest_subtask(struct rest_request *r, const struct jm_vertex_snapshot *v);

/* ---- multipart.c ---- */
struct rest_upload {
    const char *name; /* file name without its folder, NUL-terminated, in the arena */
    const uint8_t *data;
    size_t len;
};
/* The files of a multipart/form-data body. *ret_count may be over max: only max are stored. */
int rest_multipart(struct arena *arena, const char *content_type, const uint8_t *body, size_t len,
                   struct rest_upload *ret, size_t max, size_t *ret_count, struct err *err) MUST_CHECK;

/* ---- handlers ---- */
rest_handler rest_get_overview, rest_get_config, rest_get_jobs, rest_get_jobs_overview, rest_get_job, rest_get_job_plan,
    rest_get_job_config, rest_get_job_status, rest_get_job_exceptions, rest_get_job_accumulators, rest_get_job_result,
    rest_get_job_output, rest_get_job_log, rest_cancel_job, rest_post_job;
rest_handler rest_get_vertex, rest_get_vertex_subtask, rest_get_vertex_attempt, rest_get_vertex_times,
    rest_get_vertex_taskmanagers, rest_get_vertex_accumulators, rest_get_vertex_subtask_accumulators;
rest_handler rest_get_taskmanagers, rest_get_taskmanager, rest_get_taskmanager_logs, rest_get_taskmanager_log,
    rest_get_jobmanager_config, rest_get_jobmanager_logs, rest_get_jobmanager_log, rest_get_jobmanager_log_file;
rest_handler rest_get_vertex_metrics, rest_get_vertex_subtasks_metrics, rest_get_subtask_metrics,
    rest_get_vertex_backpressure, rest_get_job_metrics, rest_get_jobs_metrics, rest_get_taskmanager_metrics,
    rest_get_taskmanagers_metrics, rest_get_jobmanager_metrics;
rest_handler rest_get_checkpoints, rest_get_checkpoint_config, rest_get_checkpoint, rest_get_checkpoint_subtasks,
    rest_post_checkpoint, rest_get_triggered_checkpoint, rest_post_savepoint, rest_get_savepoint, rest_post_stop,
    rest_post_disposal, rest_get_disposal;
rest_handler rest_get_jars, rest_post_jar, rest_delete_jar, rest_run_jar, rest_plan_jar;

#endif
