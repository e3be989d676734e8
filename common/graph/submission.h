/*
 * submission.h - the body of POST /jobs: a graph and the shared object that its functions are in.
 *
 *     offset  size
 *          0     8  "RASKJOB1"
 *          8     4  parallelism that the client asks for (-p); 0: none
 *         12     4  length of the graph (g)
 *         16     8  length of the artifact (a); 0: the graph needs none
 *         24     g  rask.graph.StreamGraph, packed
 *     24 + g     a  the shared object, whose SHA-256 the graph names
 *
 * Integers are little-endian; nothing follows.
 */
#ifndef GRAPH_SUBMISSION_H
#define GRAPH_SUBMISSION_H

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/err.h"

#define SUBMISSION_MAGIC  "RASKJOB1"
#define SUBMISSION_HEADER 24u

struct submission {
    uint32_t parallelism;
    const uint8_t *graph, *artifact; /* borrowed from the body */
    size_t graph_len, artifact_len;
};

/* The first SUBMISSION_HEADER bytes; graph and artifact follow. */
static inline void submission_header(const struct submission *s, struct bytes *out)
{
    bytes_add(out, SUBMISSION_MAGIC, 8);
    bytes_add_u32(out, s->parallelism);
    bytes_add_u32(out, (uint32_t)s->graph_len);
    bytes_add_u64(out, s->artifact_len);
}

static inline int MUST_CHECK submission_parse(const void *data, size_t len, struct submission *ret,
                                              struct err *err)
{
    struct reader r = reader_of(data, len);
    const uint8_t *magic = reader_take(&r, 8);
    uint64_t artifact;

    if (!magic || memcmp(magic, SUBMISSION_MAGIC, 8) != 0)
        return err_set(err, ERR_INVALID, "the body is no job submission: it does not begin with %s",
                       SUBMISSION_MAGIC);
    ret->parallelism = reader_u32(&r);
    ret->graph_len = reader_u32(&r);
    artifact = reader_u64(&r);
    ret->graph = reader_take(&r, ret->graph_len);
    ret->artifact_len = (size_t)artifact;
    ret->artifact = reader_take(&r, ret->artifact_len);
    if (r.bad || reader_left(&r) != 0)
        return err_set(err, ERR_INVALID,
                       "the job submission has another length than its header says");
    return 0;
}

#endif
