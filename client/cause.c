/* cause.c - see cause.h. */
#include "client/cause.h"

#include <string.h>

#define BUSY     500 /* ms per second: below it nobody is held back */
#define PRESSED  500 /* waits for somebody itself */
#define CROWDED  250 /* of busy: runnable, and no thread to run on */
#define UNEVEN   1.3 /* busiest subtask against the average */
#define HOT      0.2 /* share of one key group of many */

int64_t cli_worst(const struct cli_vertex *v, int64_t count)
{
    int64_t worst = -1;
    double most = 0;

    for (int64_t i = 0; i < count; i++) {
        double score = v[i].busy_max + v[i].fed_pressed_max;

        if (!v[i].known || v[i].busy_max < BUSY || v[i].pressed_max >= PRESSED || score <= most)
            continue;
        most = score;
        worst = i;
    }
    return worst;
}

enum cli_cause cli_cause_of(const struct cli_vertex *v)
{
    bool uneven = v->parallelism > 1 && v->busy_max >= UNEVEN * v->busy;

    if (!v->known || v->busy_max < BUSY)
        return CLI_CAUSE_NONE;
    if (v->ready_max >= CROWDED)
        return CLI_CAUSE_HOST;
    if (uneven && (v->fed_hot_share >= HOT || v->fed_hot_share * (double)v->parallelism >= 1))
        return CLI_CAUSE_KEY;
    return v->sink_share >= 0.5 || strncmp(v->name, "Sink: ", 6) == 0 ? CLI_CAUSE_SINK : CLI_CAUSE_OPERATOR;
}

const char *cli_cause_name(enum cli_cause cause)
{
    static const char *const names[] = {"", "slow operator", "skewed key group", "slow sink", "CPU-bound host"};

    return names[cause];
}
