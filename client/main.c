/* main.c - the program `rask`: picks the command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "common/base/check.h"

static const char usage[] =
    "rask COMMAND [OPTIONS] [ARGUMENTS]; `rask COMMAND --help` tells more\n"
    "\n"
    "  run       compiles a job and runs it, on a cluster or right here\n"
    "  info      prints the plan of a job as JSON\n"
    "  list      lists the jobs of a cluster\n"
    "  cancel    cancels a job\n"
    "  stop      takes a savepoint of a job and ends it there\n"
    "  savepoint takes a savepoint of a job, or removes one\n"
    "  checkpoint takes a checkpoint of a job now\n"
    "  logs      prints the log of a job's workers\n"
    "  state     lists, prints and checks what is in a checkpoint or savepoint\n"
    "  security  makes the certificates of a cluster\n"
    "  top       shows where the time of a job goes, once a second\n"
    "\n"
    "  --help, --version\n";

/* Commands of Flink that this version does not have. */
static const struct {
    const char *name, *why;
} missing[] = {
    {"run-application", "it went away in Flink 2; `rask run` starts a job"},
};

/* What was printed and did not arrive is a failure, too. */
static int end(int exit_code)
{
    struct err err = {0};

    return cli_flush(&err) < 0 && exit_code == 0 ? cli_fail(&err) : exit_code;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"run", cli_run}, {"info", cli_info}, {"list", cli_list}, {"cancel", cli_cancel}, {"logs", cli_logs},
                  {"top", cli_top}, {"security", cli_security}, {"savepoint", cli_savepoint}, {"stop", cli_stop},
                  {"checkpoint", cli_checkpoint}, {"state", cli_state}};

    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fputs(usage, stderr);
        return 1;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        printf("Version: %s\n", RASK_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (argc == 3 && strcmp(argv[2], "--version") == 0) {
            printf("Version: %s\n", RASK_VERSION);
            return 0;
        }
        return end(commands[i].run(argc, argv));
    }
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        if (strcmp(argv[1], missing[i].name) == 0) {
            fprintf(stderr, "rask: there is no `%s`: %s\n", argv[1], missing[i].why);
            return 1;
        }
    }
    fprintf(stderr, "rask: there is no command `%s`; the commands are run, info, list, cancel, stop, savepoint, checkpoint, logs, top, state and security\n", argv[1]);
    return 1;
}
