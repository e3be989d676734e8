/* fuzz_graph.c - a job's graph from any bytes: unpacked, validated, compiled, drawn. */
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/graph/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct graph_options options = {.default_parallelism = 2};
    Rask__Graph__StreamGraph *graph = NULL;
    Rask__Graph__JobGraph *job = NULL;
    struct json_writer w;
    struct arena arena;
    struct bytes text;

    arena_init(&arena);
    bytes_init(&text);
    if (graph_unpack(&arena, data, size, &graph, NULL) == 0 &&
        graph_compile(graph, &options, &arena, &job, NULL) == 0) {
        CHECK(graph_slots(job) > 0);
        CHECK(graph_plan_json(graph, &options, &text, NULL) == 0);
        bytes_clear(&text);
        jw_init(&w, &text);
        graph_rest_plan_json(job, "0", &w, NULL);
    }
    bytes_release(&text);
    arena_release(&arena);
    return 0;
}
