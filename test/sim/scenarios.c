/* scenarios.c - the table of all scenarios. A new one is a file scenario_NAME.c and a line here. */
#include "test/sim/scenario.h"

#include <stddef.h>

const struct sim_scenario sim_scenarios[] = {
    {"mesh", "the simulator itself: connections, disks and a lock under every fault", scenario_mesh},
    {"quiet", "JobManager, TaskManagers and workers run random jobs; nothing breaks", scenario_cluster_quiet},
    {"cluster", "the same while processes, hosts, paths and clocks fail", scenario_cluster},
    {"points", "one job, and one fault at each event of its life", scenario_points},
    {"credits", "two workers lose each other at each message; a slow consumer", scenario_credits},
    {NULL, NULL, NULL},
};
