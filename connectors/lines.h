/*
 * lines.h - bytes as they arrive, and batches of the lines in them.
 *
 * The bytes lie in reference-counted blocks; a batch's strings point into the block they were read to, so
 * a line is copied only when it straddles two blocks.  A block is used again once nobody else holds it.
 * A line ends with \n; one \r before it is cut.  Any other byte passes unchanged.
 * Belongs to one split; used in its reader's step.
 */
#ifndef CONNECTORS_LINES_H
#define CONNECTORS_LINES_H

#include "common/types/batch.h"

struct lines {
    struct pool *pool;   /* borrowed */
    rask_buffer *block;  /* one reference; NULL: none yet */
    uint32_t begin, end; /* bytes of the block that were added and not taken */
    uint32_t searched;   /* of them, this many are known to hold no \n */
    bool too_long;       /* the next line has more bytes than a row of the pool may have */
    uint64_t offset;     /* of begin, in the file or stream */
};

void lines_init(struct lines *l, struct pool *pool, uint64_t offset);
void lines_release(struct lines *l);

/* Where to read more bytes to, and at least one page of them; what was returned before is not valid any more. */
uint8_t *lines_room(struct lines *l, uint32_t *ret_len);
void lines_added(struct lines *l, uint32_t len);
static inline uint32_t lines_held(const struct lines *l)
{
    return l->end - l->begin;
}
static inline const char *lines_data(const struct lines *l)
{
    return (const char *)l->block->data + l->begin;
}
void lines_drop(struct lines *l, uint32_t len); /* takes len bytes away */

/* Drops everything up to and including the first \n; false: there was none, and all is dropped. */
bool lines_skip(struct lines *l);
/*
 * The next whole lines that begin before stream offset `limit`, as a batch of one STRING column, at most
 * RASK_BATCH_ROWS_MAX of them.  last: nothing follows, so what stands behind the last \n is a line.  NULL: none, see too_long.
 */
rask_batch *lines_take(struct lines *l, const rask_schema *schema, uint64_t limit, bool last);

#endif
