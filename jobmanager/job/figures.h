/*
 * figures.h - named figures of one subtask, as its worker last said: of its operators, of latency markers.
 *
 * Immutable and reference counted: the graph holds one reference, each snapshot another.  Thread: any.
 */
#ifndef JM_FIGURES_H
#define JM_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/control.pb-c.h"

#define JM_FIGURES_MAX 4096 /* of one subtask; what a worker says beyond it is left out */

struct jm_figure {
    const char *name; /* by Flink's scheme, below the subtask: "count.numRecordsIn" */
    bool is_whole;
    int64_t whole;
    double value;
};
struct jm_figures {
    uint32_t refs; /* atomic */
    uint32_t count;
    struct jm_figure *at; /* owned, with the names */
};
/* With one reference; NULL: there are none. */
struct jm_figures *jm_figures_new(const Rask__Control__TaskMetrics *metrics);
struct jm_figures *jm_figures_ref(struct jm_figures *figures); /* NULL is legal, as below */
void jm_figures_unref(struct jm_figures *figures);

#endif
