/*
 * coord_tree.h - ZooKeeper's data model without its network: versioned nodes, owners of ephemeral ones, atomic multi.
 *
 * coord_none.c and the simulator's coordination service put their sessions and delays around it.
 * Not thread-safe; no callbacks but `changed`.
 */
#ifndef COORD_COORD_TREE_H
#define COORD_COORD_TREE_H

#include "common/coord/coord.h"

#define COORD_DATA_MAX (1u << 20) /* as ZooKeeper's jute.maxbuffer */

struct coord_tree;

enum coord_change { COORD_CHANGED_DATA, COORD_CHANGED_CHILDREN }; /* creation and deletion are both */
typedef void coord_changed_fn(void *arg, const char *path, enum coord_change change);

struct coord_tree *coord_tree_new(coord_changed_fn *changed, void *arg);
void coord_tree_free(struct coord_tree *t);

/* 0 or ERR_NOT_FOUND. Data is borrowed until the next multi. */
int coord_tree_get(struct coord_tree *t, const char *path, struct coord_result *ret) MUST_CHECK;
/* names is owned by the caller: coord_tree_free_names. */
int coord_tree_children(struct coord_tree *t, const char *path, struct coord_result *ret) MUST_CHECK;
void coord_tree_free_names(struct coord_result *result);
/* All or nothing. session owns the ephemeral nodes it creates (not 0). ret->version: of the node that the last
 * create or set was about. Codes as in coord_result, and ERR_STATE (children of an ephemeral, deleting a
 * parent), ERR_INVALID (path), ERR_LIMIT (data). */
int coord_tree_multi(struct coord_tree *t, const struct coord_op *ops, size_t op_count, uint64_t session,
                     struct coord_result *ret) MUST_CHECK;
void coord_tree_expire(struct coord_tree *t, uint64_t session); /* deletes what the session owns */

#endif
