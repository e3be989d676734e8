/*
 * coord_tree.c - the data model behind coord_none and the simulated coordination service.
 * A multi applies its operations one by one and takes them back in reverse order when one fails.
 */
#include "common/coord/coord_tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define PATH_MAX_BYTES 1024

struct tree_node {
    char *path; /* owned */
    struct tree_node *parent;
    struct list children; /* in order of creation */
    struct list sibling;
    uint8_t *data; /* owned */
    size_t len;
    int64_t version;
    uint64_t owner; /* session; 0: persistent */
};

struct coord_tree {
    struct map *nodes; /* path -> tree_node */
    struct tree_node *root;
    coord_changed_fn *changed;
    void *arg;
};

struct undo {
    enum coord_op_type type;
    struct tree_node *node; /* of a delete: owned until the multi is through */
    uint8_t *data;          /* of a set: what was there */
    size_t len;
};

static struct tree_node *find(struct coord_tree *t, const char *path)
{
    return map_get_str(t->nodes, path);
}

static void node_free(struct tree_node *node)
{
    mem_free(node->path);
    mem_free(node->data);
    mem_free(node);
}

static void link_node(struct coord_tree *t, struct tree_node *node)
{
    list_push_back(&node->parent->children, &node->sibling);
    map_put_str(t->nodes, node->path, node);
}

static void unlink_node(struct coord_tree *t, struct tree_node *node)
{
    CHECK(list_empty(&node->children));
    list_remove(&node->sibling);
    map_remove_str(t->nodes, node->path);
}

static struct tree_node *node_new(const char *path, const void *data, size_t len)
{
    struct tree_node *node = MEM_NEW(struct tree_node);

    node->path = mem_strdup(path);
    node->data = mem_dup(data, len);
    node->len = len;
    list_init(&node->children);
    list_init(&node->sibling);
    return node;
}

struct coord_tree *coord_tree_new(coord_changed_fn *changed, void *arg)
{
    struct coord_tree *t = MEM_NEW(struct coord_tree);

    t->nodes = map_new();
    t->changed = changed;
    t->arg = arg;
    t->root = node_new("/", NULL, 0);
    map_put_str(t->nodes, "/", t->root);
    return t;
}

void coord_tree_free(struct coord_tree *t)
{
    if (t == NULL)
        return;
    for (struct map_iter it = map_iter(t->nodes); map_next(&it);)
        node_free(it.value);
    map_free(t->nodes);
    mem_free(t);
}

int coord_tree_get(struct coord_tree *t, const char *path, struct coord_result *ret)
{
    struct tree_node *node = find(t, path);

    memset(ret, 0, sizeof(*ret));
    if (node == NULL)
        return ret->code = ERR_NOT_FOUND;
    ret->data = node->data;
    ret->len = node->len;
    ret->version = node->version;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int coord_tree_children(struct coord_tree *t, const char *path, struct coord_result *ret)
{
    struct tree_node *node = find(t, path);
    size_t count = 0;

    memset(ret, 0, sizeof(*ret));
    if (node == NULL)
        return ret->code = ERR_NOT_FOUND;
    LIST_FOREACH (child, &node->children)
        count++;
    ret->names = mem_alloc_array(count + 1, sizeof(char *));
    LIST_FOREACH (child, &node->children) {
        const char *full = LIST_ENTRY(child, struct tree_node, sibling)->path;

        ret->names[ret->name_count++] = mem_strdup(strrchr(full, '/') + 1);
    }
    ret->version = node->version;
    if (count > 1)
        qsort(ret->names, count, sizeof(char *), compare_names);
    return 0;
}

void coord_tree_free_names(struct coord_result *result)
{
    for (size_t i = 0; i < result->name_count; i++)
        mem_free(result->names[i]);
    mem_free(result->names);
    result->names = NULL;
    result->name_count = 0;
}

/* ---- multi ---- */

static bool path_is_valid(const char *path)
{
    size_t len = strlen(path);

    return len >= 2 && len < PATH_MAX_BYTES && path[0] == '/' && path[len - 1] != '/' &&
           strstr(path, "//") == NULL;
}

static struct tree_node *parent_of(struct coord_tree *t, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? t->root : map_get(t->nodes, path, (size_t)(slash - path));
}

static int apply_create(struct coord_tree *t, const struct coord_op *op, uint64_t owner,
                        struct undo *undo)
{
    struct tree_node *parent, *node;

    if (find(t, op->path) != NULL)
        return ERR_EXISTS;
    parent = parent_of(t, op->path);
    if (parent == NULL)
        return ERR_NOT_FOUND;
    if (parent->owner != 0)
        return ERR_STATE;
    node = node_new(op->path, op->data, op->len);
    node->parent = parent;
    node->owner = owner;
    link_node(t, node);
    undo->node = node;
    return 0;
}

static int apply_existing(struct coord_tree *t, const struct coord_op *op, struct undo *undo)
{
    struct tree_node *node = find(t, op->path);

    if (node == NULL)
        return ERR_NOT_FOUND;
    if (op->version >= 0 && op->version != node->version)
        return ERR_STALE;
    undo->node = node;
    if (op->type == COORD_SET) {
        undo->data = node->data;
        undo->len = node->len;
        node->data = mem_dup(op->data, op->len);
        node->len = op->len;
        node->version++;
    } else if (op->type == COORD_DELETE) {
        if (!list_empty(&node->children))
            return ERR_STATE;
        unlink_node(t, node);
    }
    return 0;
}

static int apply(struct coord_tree *t, const struct coord_op *op, uint64_t session,
                 struct undo *undo)
{
    undo->type = op->type;
    if (!path_is_valid(op->path))
        return ERR_INVALID;
    if (op->len > COORD_DATA_MAX)
        return ERR_LIMIT;
    if (op->type == COORD_CREATE || op->type == COORD_CREATE_EPHEMERAL)
        return apply_create(t, op, op->type == COORD_CREATE ? 0 : session, undo);
    return apply_existing(t, op, undo);
}

static void take_back(struct coord_tree *t, struct undo *undo)
{
    struct tree_node *node = undo->node;

    switch (undo->type) {
    case COORD_CREATE:
    case COORD_CREATE_EPHEMERAL:
        unlink_node(t, node);
        node_free(node);
        break;
    case COORD_SET:
        mem_free(node->data);
        node->data = undo->data;
        node->len = undo->len;
        node->version--;
        break;
    case COORD_DELETE:
        link_node(t, node);
        break;
    case COORD_CHECK:
        break;
    }
}

static void tell(struct coord_tree *t, const struct tree_node *node, enum coord_op_type type)
{
    if (t->changed == NULL || type == COORD_CHECK)
        return;
    t->changed(t->arg, node->path, COORD_CHANGED_DATA);
    if (type == COORD_SET)
        return;
    if (type == COORD_DELETE)
        t->changed(t->arg, node->path,
                   COORD_CHANGED_CHILDREN); /* watches of its own children end so */
    t->changed(t->arg, node->parent->path, COORD_CHANGED_CHILDREN);
}

int coord_tree_multi(struct coord_tree *t, const struct coord_op *ops, size_t op_count,
                     uint64_t session, struct coord_result *ret)
{
    struct undo *undo = mem_alloc_array(op_count + 1, sizeof(*undo));
    size_t n;
    int rc = 0;

    CHECK(session != 0);
    memset(ret, 0, sizeof(*ret));
    for (n = 0; n < op_count && rc == 0; n++)
        rc = apply(t, &ops[n], session, &undo[n]);
    if (rc != 0) {
        for (n--; n > 0; n--) /* the last one changed nothing */
            take_back(t, &undo[n - 1]);
        mem_free(undo);
        return ret->code = rc;
    }
    for (size_t i = 0; i < op_count; i++) {
        if (ops[i].type == COORD_SET || ops[i].type == COORD_CREATE ||
            ops[i].type == COORD_CREATE_EPHEMERAL)
            ret->version = undo[i].node->version;
        tell(t, undo[i].node, ops[i].type);
    }
    for (size_t i = 0; i < op_count;
         i++) { /* only now: a node may be named by several operations */
        mem_free(undo[i].data);
        if (ops[i].type == COORD_DELETE)
            node_free(undo[i].node);
    }
    mem_free(undo);
    return 0;
}

void coord_tree_expire(struct coord_tree *t, uint64_t session)
{
    CHECK(session != 0);
    for (struct map_iter it = map_iter(t->nodes); map_next(&it);) {
        struct tree_node *node = it.value;

        if (node->owner != session)
            continue;
        unlink_node(t, node);
        tell(t, node, COORD_DELETE);
        node_free(node);
    }
}
