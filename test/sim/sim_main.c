/*
 * sim_main.c - runs scenarios over ranges of seeds.
 *
 *   sim [SCENARIO] [--seed N] [--seeds COUNT] [--verbose] [--require-probes]
 *
 * Every 20th seed is run twice: its hashes have to agree, or something in the tree does not follow the seed.
 * Status 0: all good; 1: a seed failed (its number, the reason and the end of its trace are printed), or with
 * --require-probes a probe was never reached.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "test/sim/scenario.h"

#define RUN_TWICE_EVERY 20
#define FAILURES_MAX    3

static struct {
    const char *scenario;
    uint64_t seed;
} now;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void watch_crashes(void) /* the sanitizer does, and says more */
{
}
#else
/* A crash names its seed, too. */
static void on_crash(int number)
{
    dprintf(STDERR_FILENO, "seed %" PRIu64 " failed: signal %d\nagain: sim %s --seed %" PRIu64 " --verbose\n", now.seed,
            number, now.scenario, now.seed);
    raise(number); /* SA_RESETHAND: ends it */
}

static void watch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &action, NULL);
}
#endif

static bool run_once(const struct sim_scenario *scenario, uint64_t seed, bool verbose,
                     uint64_t *ret_hash, uint64_t *events)
{
    struct sim *sim = sim_new(seed);

    now.scenario = scenario->name;
    now.seed = seed;
    sim_set_verbose(sim, verbose);
    scenario->run(sim);
    *ret_hash = sim_hash(sim);
    *events += sim_events(sim);
    return sim_free(sim);
}

/* The number of seeds that failed. */
static uint64_t run_seeds(const struct sim_scenario *scenario, uint64_t first, uint64_t count,
                          bool verbose)
{
    uint64_t failed = 0, events = 0, all = 0, ignored = 0;

    for (uint64_t i = 0; i < count && failed < FAILURES_MAX; i++) {
        uint64_t hash, again;
        bool good = run_once(scenario, first + i, verbose, &hash, &events);

        if (good && i % RUN_TWICE_EVERY == 0) {
            good = run_once(scenario, first + i, verbose, &again, &ignored);
            if (again != hash) {
                fprintf(stderr,
                        "seed %" PRIu64 " of %s: two runs differ (%016" PRIx64 ", %016" PRIx64
                        ")\n",
                        first + i, scenario->name, hash, again);
                good = false;
            }
        }
        all = (all ^ hash) * 0x100000001b3u;
        if (good)
            continue;
        failed++;
        fprintf(stderr, "again: sim %s --seed %" PRIu64 " --verbose\n", scenario->name, first + i);
    }
    printf("%-12s seeds %" PRIu64 "..%" PRIu64 " failed %" PRIu64 " events %" PRIu64
           " hash %016" PRIx64 "\n",
           scenario->name, first, first + count - 1, failed, events, all);
    return failed;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim [SCENARIO] [--seed N] [--seeds COUNT] [--verbose] [--require-probes]\nscenarios:\n");
    for (const struct sim_scenario *s = sim_scenarios; s->name != NULL; s++)
        fprintf(stderr, "  %-12s %s\n", s->name, s->what);
    return 2;
}

int main(int argc, char **argv)
{
    const char *wanted = NULL;
    uint64_t first = 1, count = 1, failed = 0;
    bool verbose = false, found = false, require_probes = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else if (strcmp(argv[i], "--require-probes") == 0)
            require_probes = true;
        else if (argv[i][0] != '-' && wanted == NULL)
            wanted = argv[i];
        else
            return usage();
    }
    watch_crashes();
    for (const struct sim_scenario *s = sim_scenarios; s->name != NULL; s++) {
        if (wanted != NULL && strcmp(s->name, wanted) != 0)
            continue;
        found = true;
        failed += run_seeds(s, first, count, verbose);
    }
    if (!found)
        return usage();
    sim_probes_print();
    if (require_probes && sim_probes_check(sim_probes_all) > 0)
        return 1;
    return failed == 0 ? 0 : 1;
}
