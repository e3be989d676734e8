/*
 * sums.h - checksums of pieces of files as they were when they were written: what is read for a checkpoint is compared with them.
 *
 * A checkpoint has checksums of its own, of what was read; without these it would pass on what the local disk has damaged.
 * Pieces are SUM_PIECE bytes long, but for a file's last; of what is not known nothing is said.  Any thread.
 */
#ifndef WK_SUMS_H
#define WK_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "taskmanager/worker/store/store.h"

#define SUM_PIECE (2u << 20) /* as CKPT_TABLE_PIECE */

struct sums;

struct sums *wk_sums_new(void);
void wk_sums_free(struct sums *sums); /* NULL is legal */
/* So many bytes more of a file, from its begin in order. */
void wk_sums_add(struct sums *sums, uint32_t file, uint64_t offset, const void *data, size_t len);
bool wk_sums_known(struct sums *sums, uint32_t file);
/* false: a piece at this place, as long as this, was another one. */
bool wk_sums_fit(struct sums *sums, uint32_t file, uint64_t offset, const void *data, size_t len);
/* All other files are forgotten. */
void wk_sums_keep(struct sums *sums, const struct wk_store_file *files, uint32_t count);

#endif
