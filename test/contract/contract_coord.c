/*
 * contract_coord.c - the part of coord.h that a coordination without failures shows: versions, watches, multi.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "test/contract/contract.h"

struct client {
    struct world *w;
    struct coord *c;
    bool done, inside;
    int code, watched, states;
    int64_t version;
    char text[200];
    char watched_path[50];
    enum coord_session state;
};

static void on_result(void *arg, const struct coord_result *r)
{
    struct client *x = arg;

    assert_false(x->inside || x->done);
    x->done = true;
    x->code = r->code;
    x->version = r->version;
    snprintf(x->text, sizeof(x->text), "%.*s", (int)r->len,
             r->data == NULL ? "" : (const char *)r->data);
    for (size_t i = 0; i < r->name_count; i++)
        snprintf(x->text + strlen(x->text), sizeof(x->text) - strlen(x->text), "%s%s",
                 i > 0 ? " " : "", r->names[i]);
}

static void on_watch(void *arg, const char *path)
{
    struct client *x = arg;

    assert_false(x->inside);
    x->watched++;
    snprintf(x->watched_path, sizeof(x->watched_path), "%s", path);
}

static void on_state(void *arg, enum coord_session state)
{
    struct client *x = arg;

    assert_false(x->inside);
    x->state = state;
    x->states++;
}

static struct client client_on(void **state)
{
    struct world *w = *state;

    return (struct client){.w = w, .c = w->coord};
}

static int end_call(struct client *x)
{
    x->inside = false;
    assert_true(world_until_true(x->w, &x->done));
    return x->code;
}

static int get(struct client *x, const char *path, bool watch)
{
    x->done = false;
    x->inside = true;
    x->c->ops->get(x->c, path, watch ? on_watch : NULL, on_result, x);
    return end_call(x);
}

static int children(struct client *x, const char *path, bool watch)
{
    x->done = false;
    x->inside = true;
    x->c->ops->children(x->c, path, watch ? on_watch : NULL, on_result, x);
    return end_call(x);
}

static int multi(struct client *x, const struct coord_op *ops, size_t count)
{
    x->done = false;
    x->inside = true;
    x->c->ops->multi(x->c, ops, count, on_result, x);
    return end_call(x);
}

static int one(struct client *x, enum coord_op_type type, const char *path, const char *data,
               int64_t version)
{
    struct coord_op op = {
        .type = type, .path = path, .data = data, .len = strlen(data), .version = version};

    return multi(x, &op, 1);
}

static void nodes_and_versions(void **state)
{
    struct client x = client_on(state);

    assert_int_equal(get(&x, "/a", false), ERR_NOT_FOUND);
    assert_int_equal(one(&x, COORD_CREATE, "/a/b", "", -1), ERR_NOT_FOUND);
    assert_int_equal(one(&x, COORD_CREATE, "/a", "one", -1), 0);
    assert_int_equal(one(&x, COORD_CREATE, "/a", "one", -1), ERR_EXISTS);
    assert_int_equal(get(&x, "/a", false), 0);
    assert_string_equal(x.text, "one");
    assert_int_equal(x.version, 0);
    assert_int_equal(one(&x, COORD_SET, "/a", "two", 0), 0);
    assert_int_equal(x.version, 1);
    assert_int_equal(one(&x, COORD_SET, "/a", "three", 0), ERR_STALE);
    assert_int_equal(one(&x, COORD_SET, "/a", "four", -1), 0);
    assert_int_equal(one(&x, COORD_DELETE, "/a", "", 1), ERR_STALE);
    assert_int_equal(get(&x, "/a", false), 0);
    assert_string_equal(x.text, "four");
    assert_int_equal(x.version, 2);
    assert_int_equal(one(&x, COORD_CREATE, "/a/y", "", -1), 0);
    assert_int_equal(one(&x, COORD_CREATE_EPHEMERAL, "/a/x", "", -1), 0);
    assert_int_equal(one(&x, COORD_CREATE, "/a/x/z", "", -1), ERR_STATE);
    assert_int_equal(children(&x, "/a", false), 0);
    assert_string_equal(x.text, "x y");
    assert_int_equal(one(&x, COORD_DELETE, "/a", "", -1), ERR_STATE);
    assert_int_equal(one(&x, COORD_DELETE, "/a/x", "", -1), 0);
    assert_int_equal(children(&x, "/b", false), ERR_NOT_FOUND);
    assert_int_equal(one(&x, COORD_CREATE, "a", "", -1), ERR_INVALID);
    assert_int_equal(one(&x, COORD_CREATE, "/a/", "", -1), ERR_INVALID);
}

static void multi_is_all_or_nothing(void **state)
{
    struct client x = client_on(state);
    struct coord_op ops[] = {
        {COORD_CREATE, "/a", "1", 1, -1},    {COORD_CREATE, "/a/b", "2", 1, -1},
        {COORD_SET, "/a", "3", 1, 0},        {COORD_DELETE, "/a/b", NULL, 0, -1},
        {COORD_CHECK, "/a", NULL, 0, 1},     {COORD_SET, "/a", "4", 1, 1},
        {COORD_CHECK, "/none", NULL, 0, -1},
    };

    assert_int_equal(multi(&x, ops, 7), ERR_NOT_FOUND);
    assert_int_equal(get(&x, "/a", false), ERR_NOT_FOUND);
    assert_int_equal(multi(&x, ops, 6), 0);
    assert_int_equal(x.version, 2);
    assert_int_equal(get(&x, "/a", false), 0);
    assert_string_equal(x.text, "4");
    assert_int_equal(get(&x, "/a/b", false), ERR_NOT_FOUND);
    ops[0] = (struct coord_op){COORD_DELETE, "/a", NULL, 0, -1};
    ops[1] = (struct coord_op){COORD_CREATE, "/a", "new", 3, -1};
    ops[2] = (struct coord_op){COORD_CHECK, "/a", NULL, 0, 7};
    assert_int_equal(multi(&x, ops, 3), ERR_STALE);
    assert_int_equal(get(&x, "/a", false), 0);
    assert_string_equal(x.text, "4");
    assert_int_equal(multi(&x, ops, 2), 0);
    assert_int_equal(get(&x, "/a", false), 0);
    assert_int_equal(x.version, 0);
    assert_int_equal(multi(&x, ops, 0), 0);
}

static void watches_fire_once(void **state)
{
    struct client x = client_on(state);

    assert_int_equal(get(&x, "/a", true), ERR_NOT_FOUND);
    assert_int_equal(one(&x, COORD_CREATE, "/a", "", -1), 0);
    assert_true(world_until_count(x.w, &x.watched, 1));
    assert_string_equal(x.watched_path, "/a");
    assert_int_equal(one(&x, COORD_SET, "/a", "1", -1), 0);
    assert_int_equal(children(&x, "/a", true), 0);
    assert_int_equal(one(&x, COORD_SET, "/a", "2", -1), 0);
    world_settle(x.w);
    assert_int_equal(x.watched, 1);
    assert_int_equal(one(&x, COORD_CREATE, "/a/b", "1", -1), 0);
    assert_true(world_until_count(x.w, &x.watched, 2));
    assert_int_equal(get(&x, "/a/b", true), 0);
    assert_int_equal(one(&x, COORD_DELETE, "/a/b", "", -1), 0);
    assert_true(world_until_count(x.w, &x.watched, 3));
    assert_string_equal(x.watched_path, "/a/b");
    assert_int_equal(get(&x, "/a", true), 0);
    x.c->ops->forget(x.c, &x);
    assert_int_equal(one(&x, COORD_SET, "/a", "3", -1), 0);
    world_settle(x.w);
    assert_int_equal(x.watched, 3);
}

static void session_begins_connected(void **state)
{
    struct client x = client_on(state);

    x.state = COORD_EXPIRED;
    x.inside = true;
    x.c->ops->on_session(x.c, on_state, &x);
    x.inside = false;
    assert_true(world_until_count(x.w, &x.states, 1));
    assert_int_equal(x.state, COORD_CONNECTED);
    x.c->ops->on_session(x.c, NULL, NULL);
}

const struct contract contract_coord[] = {
    {"nodes_and_versions", nodes_and_versions},
    {"multi_is_all_or_nothing", multi_is_all_or_nothing},
    {"watches_fire_once", watches_fire_once},
    {"session_begins_connected", session_begins_connected},
    {NULL, NULL},
};
