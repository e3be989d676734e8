/* info.c - `rask info`: the plan of a job, in the words of `flink info`. */
#include <stdio.h>

#include "client/client.h"
#include "common/graph/graph.h"

static const char help[] =
    "rask info [OPTIONS] FILE.c [FILE2.c ...] | FILE.so [--name value ...]\n"
    "Builds the graph of a job and prints it as JSON. Nothing runs.\n"
    "\n"
    "  -p, --parallelism N      parallelism of operators that set none\n"
    "  -c, --class, --entry FN  the entry point, instead of rask_job\n"
    "  --cflags FLAGS           for the compiler, behind the project's own\n"
    "  --libs FLAGS             for the linker, such as -lm\n"
    "  --sanitize               compile with AddressSanitizer and UBSan\n"
    "  -D key=value             a setting of the configuration\n";

static int plan(const struct cli_options *o, const struct conf *conf, struct err *err)
{
    struct graph_options options = {.client_parallelism = o->parallelism};
    struct cli_artifact artifact;
    Rask__Graph__StreamGraph *graph;
    struct arena arena;
    struct bytes out = {0};
    int64_t max = conf_int(conf, OPT_PIPELINE_MAX_PARALLELISM);
    int code = cli_artifact_get(o, &artifact, err);

    arena_init(&arena);
    options.default_parallelism = (uint32_t)conf_int(conf, OPT_PARALLELISM_DEFAULT);
    options.max_parallelism = max > 0 ? (uint32_t)max : 0;
    options.chaining_disabled = !conf_bool(conf, OPT_PIPELINE_OPERATOR_CHAINING_ENABLED);
    if (code == 0)
        code = cli_build_graph(o, &artifact, &arena, &graph, err);
    if (code == 0)
        code = graph_plan_json(graph, &options, &out, err);
    if (code == 0)
        printf("----------------------- Execution Plan -----------------------\n%s\n"
               "--------------------------------------------------------------\n\nNo description provided.\n",
               (char *)out.data);
    bytes_release(&out);
    cli_artifact_release(&artifact);
    arena_release(&arena);
    return code;
}

int cli_info(int argc, char **argv)
{
    struct cli_options o;
    struct conf *conf = NULL;
    struct err err = {0};
    int code = cli_parse(&o, CLI_OPT_BUILD, argc - 2, argv + 2, &err);

    if (code == 0 && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (code == 0 && o.file_count == 0)
        code = err_set(&err, ERR_INVALID, "which job? `rask info FILE.c`; --help tells more");
    if (code == 0 && o.sanitize)
        code = cli_reexec_sanitized(argv, &err);
    if (code == 0)
        code = cli_open_conf(&o, &conf, &err);
    if (code == 0)
        code = plan(&o, conf, &err);
    conf_free(conf);
    return code < 0 ? cli_fail(&err) : 0;
}
