/*
 * ops.h - the operator types that a graph may name, and their properties: the contract between the
 * API that writes a graph and the worker that instantiates it.
 *
 * `code` is an offset in the artifact.  Property values are text: integers in decimal, booleans
 * "true" and "false". Unknown types are legal in a graph (SQL, connectors); the worker refuses
 * those that it has not registered.
 */
#ifndef GRAPH_OPS_H
#define GRAPH_OPS_H

/*
 * Sources: no inputs; `out` set.  User: code = rask_source.  Built-in: property "connector":
 *   text        path
 *   csv         path, delimiter, quote (one character each), header, bad_rows (fail | skip | side), null_text (absent: empty field)
 *               side output 0 = rask_bad_row_schema when bad_rows is side
 *   collection  payload = { u64 length, batch_encode()'s bytes, zeros up to a multiple of 8 } ...
 *   sequence    first, last
 *   generator   code = rask_generate_fn; rows_per_second (0: unlimited), count (negative: without end)
 *   socket      host, port
 * Any: wanted (hexadecimal; bit i: column i is read by somebody; absent: all are).
 * The hidden node of type OP_SOURCE_ENUMERATOR has the same spec.
 */
#define OP_SOURCE            "source"
#define OP_SOURCE_ENUMERATOR "source_enumerator"

#define OP_MAP      "map"      /* code = rask_row_fn that emits one row */
#define OP_FLAT_MAP "flat_map" /* code = rask_row_fn */
#define OP_FILTER   "filter"   /* code = rask_test_fn */
#define OP_PROJECT  "project"  /* property columns: "2,0": those of the input that are the output's, in its order */
#define OP_PROCESS  "process"  /* code = rask_process_fn; schemas = its side outputs, in order */
#define OP_BATCH    "batch"    /* code = rask_operator; schemas = its side outputs */
#define OP_REDUCE   "reduce"   /* keyed; code = rask_reduce_fn */
#define OP_SUM      "sum"      /* keyed; properties column; merge: true: rows of a key are merged before they are sent (BIGINT, TIMESTAMP) */
#define OP_MIN      "min"
#define OP_MAX      "max"
#define OP_COUNT \
    "count" /* keyed; out = key columns in the order of key_columns, then the count (BIGINT) */
#define OP_EVENT_TIME "event_time" /* properties column, out_of_orderness_ms */

/*
 * Sinks: no `out`.  User: code = rask_sink.  Built-in: property "connector":
 *   print    stream (stdout | stderr)
 *   text     path
 *   csv      path
 *   files    path, format (csv | text), bucket, bucket_time (absent: processing time), roll_bytes, roll_ms, inactivity_ms,
 *            roll_at_checkpoint, prefix, suffix
 *   postgres, postgres-upsert   conninfo, table, key (columns with commas; upsert)
 *   discard
 */
#define OP_SINK "sink"

/* StreamEdge.custom: code = rask_partition_fn */
#define OP_PARTITION_CUSTOM "partition_custom"

#endif
