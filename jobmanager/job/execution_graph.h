/*
 * execution_graph.h - one entry per subtask of a job: its state, where it runs, its figures.
 *
 * Bookkeeping only: what a change of state means for the job is decided in job_master.c.  Thread:
 * the control loop.
 */
#ifndef JM_EXECUTION_GRAPH_H
#define JM_EXECUTION_GRAPH_H

#include "jobmanager/job/job_state.h"
#include "jobmanager/job/rates.h"

#define JM_NO_WORKER        UINT32_MAX
#define JM_ACCUMULATORS_MAX 1000

struct jm_counts { /* accumulators: name -> sum, in order of first sight */
    struct jm_accumulator *items;
    uint32_t count;
};
void jm_counts_add(struct jm_counts *counts, const char *name, int64_t value);
void jm_counts_clear(struct jm_counts *counts);

struct jm_subtask {
    struct jm_task_life life;
    uint32_t attempt; /* 0: the first */
    uint32_t worker; /* index of its worker; JM_NO_WORKER before slots were found */
    struct jm_metrics *metrics; /* owned; NULL before the first figures: large jobs have many tasks */
    struct jm_rates *rates; /* owned; NULL before the first pull and after the end */
    struct jm_counts final; /* accumulators, once it has ended */
};
struct jm_vertex {
    const Rask__Graph__JobVertex *spec; /* borrowed */
    uint32_t counts[JM_TASK_STATE_COUNT];
    struct jm_subtask *subtasks; /* spec->parallelism of them */
    int64_t start_ms, end_ms;    /* first DEPLOYING, last end; -1: not yet */
    uint32_t open;               /* subtasks that are not final */
};
struct jm_graph {
    const Rask__Graph__JobGraph *job; /* borrowed */
    struct jm_vertex *vertices;       /* job->n_vertices of them */
    uint32_t open, total;             /* subtasks, hidden ones included */
    uint32_t failed;                  /* those that are FAILED */
    int64_t made_ms;                  /* when it was begun */
    uint32_t made_vertices, made_subtasks; /* vertices whose subtasks are made, and subtasks of the next one */
};

/* Without its subtasks, which may be many: nothing else is done with it before jm_graph_make has made them. */
void jm_graph_init(struct jm_graph *graph, const Rask__Graph__JobGraph *job, int64_t now_ms);
/* Makes up to *left subtasks, which it counts down. True: all are made. */
bool jm_graph_make(struct jm_graph *graph, uint32_t *left);
void jm_graph_release(struct jm_graph *graph);
/* The next attempt of every subtask: CREATED, nowhere. All are final. */
void jm_graph_reset(struct jm_graph *graph, int64_t now_ms);
/* The next attempt of one: CREATED, on the worker that it has. It is final. */
void jm_graph_reset_task(struct jm_graph *graph, uint32_t vertex, uint32_t subtask, int64_t now_ms);
/* NULL when there is no such subtask. */
struct jm_subtask *jm_graph_subtask(struct jm_graph *graph, uint32_t vertex, uint32_t subtask);
void jm_graph_move(struct jm_graph *graph, uint32_t vertex, uint32_t subtask,
                   Rask__Control__TaskState to, int64_t now_ms);
Rask__Control__TaskState jm_vertex_state(const struct jm_vertex *vertex); /* Flink's aggregation */
void jm_graph_metrics(struct jm_graph *graph, const Rask__Control__TaskMetrics *metrics,
                      bool final);
/* "Source: a -> b (2/4)", in the arena */
char *jm_graph_task_name(const struct jm_graph *graph, uint32_t vertex, uint32_t subtask,
                         struct arena *arena);

#endif
