/*
 * scenario.h - what sim_main.c runs: each scenario builds its nodes, lets faults happen, and checks.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "test/sim/sim.h"

struct sim_scenario {
    const char *name, *what;
    void (*run)(struct sim *sim); /* failures by sim_fail; sim_main frees the simulation */
};
extern const struct sim_scenario sim_scenarios[]; /* scenarios.c; ends with a NULL name */

/* The names of all probes; ends with NULL. A new probe gets a line there. */
extern const char *const sim_probes_all[]; /* probes.c */

void scenario_mesh(struct sim *sim);          /* scenario_mesh.c */
void scenario_cluster(struct sim *sim);       /* cluster/scenario_cluster.c: with faults */
void scenario_cluster_quiet(struct sim *sim); /* without */
void scenario_credits(struct sim *sim);       /* cluster/scenario_credits.c */
void scenario_points(struct sim *sim);        /* cluster/scenario_points.c */

#endif
