/*
 * rask/testkit.h - drives operators, a source or a sink in a unit test of your own, without a cluster.
 *
 *     static rask_stream *under_test(rask_env *env, rask_stream *in, rask_stream *in2)
 *     {
 *         return rask_process(rask_key_by(in, "account"), &alarm);
 *     }
 *
 *     rask_kit *kit = rask_kit_new(under_test, &payment_schema, NULL);
 *     payment_emit(rask_kit_in(kit, 0), &(struct payment){RASK_STR("a"), 700});
 *     rask_kit_watermark(kit, 1000);
 *     assert(strcmp(rask_kit_text(kit, RASK_KIT_MAIN), "a,700\n") == 0);
 *     rask_kit_free(kit);
 *
 * The operators run in the engine's own task, as one subtask of one, keyed state included; time is virtual and stands
 * still unless the test moves it.  The function may build one operator or several behind each other; what it returns
 * is what the kit collects.  It must not start from built-in sources other than `in` and `in2`, nor end in built-in sinks.
 *
 * Link with -lrask-testkit and what `pkg-config --libs rask-testkit` adds.
 *
 * Errors: int functions return 0 or a negative code; after the first failure every one of them fails, and
 * rask_kit_error says why.  Ownership: what they return lives until rask_kit_clear or rask_kit_free.
 * Thread: a kit belongs to one thread.  Readable from C11 and C++17.
 */
#ifndef RASK_TESTKIT_H
#define RASK_TESTKIT_H

#include <rask/rask.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct rask_kit rask_kit;
/* Returns the stream that is tested. in, in2: NULL when rask_kit_new was given no schema for them. */
typedef rask_stream *rask_kit_build(rask_env *env, rask_stream *in, rask_stream *in2);

enum { RASK_KIT_MAIN = -1 }; /* beside the indexes of side outputs */

/* in, in2: schemas of the inputs, which must be static; NULL: no such input (both NULL: a source). Never NULL. */
rask_kit *rask_kit_new(rask_kit_build *build, const rask_schema *in, const rask_schema *in2);
void rask_kit_free(rask_kit *kit); /* closes the operators; NULL is legal */
/* A job parameter (rask_param_of, rask_param), before anything else is called. Copied. */
void rask_kit_param(rask_kit *kit, const char *name, const char *value);
/* Builds and opens; the other functions do it when it has not been done. */
int rask_kit_open(rask_kit *kit);
const char *rask_kit_error(const rask_kit *kit); /* "" while nothing failed */

/* ---- input ---- */

/* Rows are emitted here (count_emit ...) and given to the operator by the next call of any other function of the kit, in
 * one batch if they fit in one. Their event time is in rask_out's event_time, their row_kind too. NULL after a failure, or without such an input. */
rask_out *rask_kit_in(rask_kit *kit, int input);
int rask_kit_push(rask_kit *kit);                         /* gives them now */
int rask_kit_watermark(rask_kit *kit, rask_ts watermark); /* event time has come this far */
int rask_kit_barrier(rask_kit *kit, uint64_t checkpoint); /* operators: on_barrier; sinks: flush */
int rask_kit_idle(rask_kit *kit, bool idle);              /* on_status */
int rask_kit_end(rask_kit *kit);                          /* of all inputs: on_end, finish; sinks: finish, prepare, commit */
/* Processing time in ms; rask_kit_new starts at 0. Timers that are due then fire. */
void rask_kit_set_time(rask_kit *kit, rask_ts now);

/* ---- sources ---- */

/* Reads until at least so many rows have come since the last rask_kit_clear, or all splits are over; a source that waits
 * moves processing time on, one that waits for a descriptor is given ten seconds. */
int rask_kit_read(rask_kit *kit, uint64_t rows);
bool rask_kit_is_over(const rask_kit *kit); /* all splits were read to their ends */
/* As after a failure: open splits are closed and read again from the last position that the source set. */
int rask_kit_restart(rask_kit *kit);

/* ---- output; side: RASK_KIT_MAIN or the index of a side output ---- */

uint64_t rask_kit_rows(rask_kit *kit, int side);
rask_row rask_kit_row(rask_kit *kit, int side, uint64_t i); /* i < rask_kit_rows */
/* All rows, a line each, cells separated by commas: "the,1\nof,2\n". A null is "null". */
const char *rask_kit_text(rask_kit *kit, int side);
void rask_kit_clear(rask_kit *kit); /* forgets them */
/* The last watermark that came out; RASK_TS_MIN: none. */
rask_ts rask_kit_watermark_out(rask_kit *kit);
int64_t rask_kit_counter(rask_kit *kit, const char *name);     /* of the tested operator; 0 when it has none */
int64_t rask_kit_accumulator(rask_kit *kit, const char *name); /* likewise */
/* Keys for which a declared state of the tested operator has a value. */
uint64_t rask_kit_keys(rask_kit *kit, int state);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
