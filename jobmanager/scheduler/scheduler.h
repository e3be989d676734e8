/*
 * scheduler.h - which subtask goes into which slot: a pure function.
 *
 * Slot sharing groups as in Flink: a group needs as many slots as its widest vertex; subtask i of
 * every vertex of the group goes into the group's slot i.  A group whose input comes over a FORWARD
 * edge from a group that is placed takes, for subtask i, a slot on the host of the upstream's
 * subtask i while there is one.
 */
#ifndef JM_SCHEDULER_H
#define JM_SCHEDULER_H

#include <stdint.h>

#include "proto/graph.pb-c.h"

struct jm_schedule {
    uint32_t vertex_count;
    uint32_t **slot_of; /* [vertex][subtask]: index of its slot; owned */
};
/* slot_count must be graph_slots(job). slot_host[i] < host_count: the host that offers slot i. */
void jm_schedule_make(const Rask__Graph__JobGraph *job, const uint32_t *slot_host,
                      uint32_t slot_count, uint32_t host_count, struct jm_schedule *ret);
void jm_schedule_release(struct jm_schedule *schedule);

#endif
