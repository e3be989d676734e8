/* test_state_plain.c - test_state.c for processors without vectors: the same tests on the loops that are left. */
#define WITHOUT_VECTORS
#include "taskmanager/worker/state/run.c"
#include "taskmanager/worker/state/index.c"
#include "test/unit/taskmanager/worker/state/test_state.c"
