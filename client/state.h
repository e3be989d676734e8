/* state.h - `rask state`: checkpoints and savepoints read, checked and printed, without a cluster and without the job. */
#ifndef CLIENT_STATE_H
#define CLIENT_STATE_H

#include "client/client.h"
#include "common/ckpt/ckpt_file.h"

/* A checkpoint on disk. */
struct cli_state {
    char *folder;           /* owned; that of _metadata */
    struct ckpt_meta *meta; /* owned */
};
/* path: its folder, or its _metadata. */
int cli_state_open(const char *path, struct cli_state *ret, struct err *err) MUST_CHECK;
void cli_state_close(struct cli_state *s);
/* Where a file of it is: absolute or below the folder. Owned by the caller. */
char *cli_state_path(const struct cli_state *s, const char *path);
/* The payload of a section, checked; room is of the caller. */
int cli_state_section(const struct cli_state *s, const struct ckpt_section *section, struct bytes *room, struct bytes *ret,
                      struct err *err) MUST_CHECK;

/* Prints the elements of a state. key: only those of the key that is printed so; NULL: all. */
int cli_state_print(const struct cli_state *s, const struct ckpt_operator *op, const struct ckpt_state *state, const char *key,
                    struct err *err) MUST_CHECK;
/* Rows in flight to an operator, and what they take (NULL is legal). */
uint64_t cli_state_in_flight(const struct ckpt_meta *m, const struct ckpt_operator *op, uint64_t *ret_bytes);
/* Whether everything is there and undamaged, what nothing names, and whether job (NULL: none) could be restored from it. */
int cli_state_check(const struct cli_state *s, const Rask__Graph__JobGraph *job, struct err *err) MUST_CHECK;

#endif
