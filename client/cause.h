/*
 * cause.h - which vertex holds a job back, and why, in a word. Pure.
 *
 * Back pressure points upstream: the vertex to blame is busy, waits for nobody, and those that feed it wait for it.
 */
#ifndef CLIENT_CAUSE_H
#define CLIENT_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* Figures of a vertex; times are ms per second. Strings are borrowed. */
struct cli_vertex {
    const char *id, *name;
    int64_t parallelism, max_parallelism;
    bool known;               /* the figures below are there */
    double records_in, records_out; /* per second, all subtasks */
    double busy, idle, pressed; /* average over subtasks */
    double busy_max, pressed_max; /* of the subtask with the most */
    double ready_max;         /* of busy: had work and waited for a thread */
    double sink_share;        /* of the time that operators run, in sinks: 0..1 */
    double queue_in, queue_out; /* elements in all subtasks */
    double hot_share;         /* of the rows sent by key: the hottest group's; 0: none */
    /* of those that feed it */
    double fed_pressed_max, fed_hot_share;
    int64_t fed_by;           /* one of them that sends by key; -1: none */
};
enum cli_cause { CLI_CAUSE_NONE, CLI_CAUSE_OPERATOR, CLI_CAUSE_KEY, CLI_CAUSE_SINK, CLI_CAUSE_HOST };

/* Index of the vertex that holds the others back, -1: none does. */
int64_t cli_worst(const struct cli_vertex *vertices, int64_t count);
enum cli_cause cli_cause_of(const struct cli_vertex *vertex);
const char *cli_cause_name(enum cli_cause cause);

#endif
