/*
 * jobs.h - random jobs for the simulated cluster, and the one-thread interpreter that says what they must give.
 *
 * A job reads numbers in splits, drops and multiplies some, shuffles them, and adds up per key; its sink keeps, per key, the last
 * update and the number of updates, and checks that updates of a key come in order (each once).
 */
#ifndef SIM_CLUSTER_JOBS_H
#define SIM_CLUSTER_JOBS_H

#include "api/runtime.h"
#include "common/base/id.h"
#include "test/sim/sim.h"

#define JOBS_MAX 32
#define JOB_KEYS 64
#define JOB_SPLITS 6
#define JOB_COMMITS_MAX 4096

enum job_spread { SPREAD_NONE, SPREAD_REBALANCE, SPREAD_SHUFFLE, SPREAD_RESCALE, SPREAD_GLOBAL, SPREAD_COUNT };

struct job_spec {
    uint32_t index;        /* of the job; the sink finds its place by it. Of a twin: + JOBS_MAX */
    uint32_t splits;       /* <= JOB_SPLITS */
    uint64_t rows;         /* per split */
    uint32_t keys;         /* <= JOB_KEYS */
    uint32_t drop;         /* rows with value % 16 < drop are filtered out */
    uint32_t copies;       /* of each row that is left */
    uint32_t wide;         /* bytes of text in each row: some long, some short */
    uint32_t pause_us;     /* of a source between two polls: 0 as fast as it can */
    uint32_t poll_rows;    /* of one poll */
    uint32_t parallelism;  /* of the functions in the middle; 0: the job's */
    enum job_spread spread; /* between source and first function */
    bool order;            /* rows of a split and key are looked at after the shuffle: they come in order */
    bool second_shuffle;   /* sums are counted again per key */
    bool two_sources;      /* all of it twice */
    bool forward;          /* no shuffle at all: each reader's chain is a region; its sink gets the ones */
    bool unchained, second_group, no_flush_wait;
    bool fails;            /* a row makes its function fail */
    bool stumbles;         /* a row makes its function fail, in the first attempt */
    bool twin;             /* a second pipeline, in the same job, that has nothing to do with it */
    bool endless;          /* never ends by itself */
    bool from_local;        /* copies of its state are kept on the hosts of its workers */
    bool unaligned;         /* their barriers overtake rows, */
    uint32_t aligned_ms;    /* when they have waited for so long */
    uint32_t concurrent;    /* so many of them at a time */
    bool at_least_once;     /* barriers are not aligned: rows may count again */
    uint32_t checkpoint_ms; /* it takes checkpoints so often, restarts after failures, and its sink commits; 0: none */
};

struct job_result {
    uint64_t updates[JOB_KEYS];
    int64_t last[JOB_KEYS];
    int64_t newest[JOB_KEYS][JOB_SPLITS]; /* order: the last value seen, and one */
    uint64_t rows;
    uint64_t committed[JOB_COMMITS_MAX]; /* that were committed: twice is once */
    uint32_t commits, repeated;
    uint64_t aborted[JOB_COMMITS_MAX];
    uint32_t aborts;
    const char *wrong; /* what was found; NULL: nothing */
};

struct job_spec job_draw(struct sim *sim, uint32_t index);
/* How many times the parallelism of the job it needs in slots. */
uint32_t job_slot_factor(const struct job_spec *spec);
/* The packed StreamGraph, in `out`. id NULL: without one. hash: of the artifact, the program itself. */
void job_graph(const struct job_spec *spec, const struct id *id, const uint8_t hash[32], struct bytes *out);
/* What the interpreter says. */
void job_expect(const struct job_spec *spec, struct job_result *ret);
struct job_result *job_result(uint32_t index); /* what the sinks have seen; cleared by job_reset */
void job_reset(void);
/* NULL: exactly what was expected; else what differs. Text of static life until the next call. */
const char *job_compare(const struct job_spec *spec);
/* For the loader of simulated workers. */
void *job_code(uint64_t offset);

#endif
