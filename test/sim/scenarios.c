/* scenarios.c - the table of all scenarios. A new one is a file scenario_NAME.c and a line here. */
#include "test/sim/scenario.h"

const struct sim_scenario sim_scenarios[] = {
    {NULL, NULL, NULL},
};
