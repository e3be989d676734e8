/*
 * bucket.h - the folder that a row's file lies in: a template of the row's cells and its time.
 *
 *     country={country}/%Y-%m-%d--%H
 *
 * {column} is the cell as text, % directives are those of strftime: of the processing time in the host's time zone, or of a
 * TIMESTAMP column in UTC.  Cells cannot leave the folder: what is unsafe in a name is written as %XX.
 * Belongs to one subtask.
 */
#ifndef CONNECTORS_FILE_BUCKET_H
#define CONNECTORS_FILE_BUCKET_H

#include "common/base/mem.h"
#include "common/types/batch.h"

#define BUCKET_DEFAULT "%Y-%m-%d--%H" /* as Flink's DateTimeBucketAssigner */
enum { BUCKET_PIECES_MAX = 32, BUCKET_BYTES_MAX = 1024 };

struct bucket_piece { /* text with directives, or a column */
    const char *text; /* NULL: column */
    int column;
};
struct bucket_template {
    struct bucket_piece pieces[BUCKET_PIECES_MAX];
    uint32_t count;
    int time_column;    /* -1: processing time */
    bool per_row;       /* false: one folder for a whole batch */
    bool timed;         /* has directives */
};

/* text: "" is no folder; time_column NULL: processing time. Texts are copied to the arena. */
int bucket_parse(struct bucket_template *t, const rask_schema *schema, const char *text, const char *time_column,
                 struct arena *arena, struct err *err) MUST_CHECK;
/* Appends the folder of a row, without a slash at its end. now: processing time in ms. */
int bucket_of(const struct bucket_template *t, const rask_batch *b, uint32_t row, rask_ts now, struct bytes *out,
              struct err *err) MUST_CHECK;

#endif
