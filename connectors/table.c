/* table.c - which built-in sources and sinks there are. */
#include "connectors/connectors.h"
#include "connectors/support.h"

#define CONNECTOR(name, source, sink) &(const struct connector){name, source, sink}

const struct connector *const connectors_builtin[] = {
    CONNECTOR("text", &connectors_text_source, &connectors_text_sink),
    CONNECTOR("csv", &connectors_csv_source, &connectors_csv_sink),
    CONNECTOR("collection", &connectors_collection_source, NULL),
    CONNECTOR("sequence", &connectors_sequence_source, NULL),
    CONNECTOR("generator", &connectors_generator_source, NULL),
    CONNECTOR("socket", &connectors_socket_source, NULL),
    CONNECTOR("files", NULL, &connectors_files_sink),
    CONNECTOR("postgres", NULL, &connectors_postgres_sink),
    CONNECTOR("postgres-upsert", NULL, &connectors_postgres_upsert_sink),
    CONNECTOR("print", NULL, &connectors_print_sink),
    CONNECTOR("discard", NULL, &connectors_discard_sink),
    NULL,
};
