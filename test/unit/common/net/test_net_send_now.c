/* test_net_send_now.c - frames that another thread sends without the loop: order, rests, ends. */
#include "test/unit/loop.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define LARGE (16u << 20) /* does not fit into a socket */

struct pair {
    struct env *env;
    struct net_listener *listener;
    struct net_conn *left, *right; /* frames go to the right */
    int opened, frames, closed, released;
    uint64_t bytes;
    uint32_t next[2]; /* by stream: the number that comes next */
};

static void on_open(void *arg, struct net_conn *conn)
{
    (void)conn;
    ((struct pair *)arg)->opened++;
}

/* A payload is its number, again and again. */
static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct pair *p = arg;
    uint32_t first, last;

    (void)conn;
    assert_true(frame->stream < 2 && frame->length >= 4);
    memcpy(&first, frame->payload, 4);
    memcpy(&last, frame->payload + frame->length - 4, 4);
    assert_int_equal(first, p->next[frame->stream]);
    assert_int_equal(last, first);
    p->next[frame->stream]++;
    p->bytes += frame->length;
    p->frames++;
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct pair *p = arg;

    (void)why;
    if (conn == p->left)
        p->left = NULL;
    else
        p->right = NULL;
    p->closed++;
}

static const struct net_handler handler = {.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct pair *p = arg;

    p->right = conn;
    p->env->net->ops->set_handler(conn, &handler, p);
    p->opened++;
}

static const struct net_ops *ops(struct pair *p)
{
    return p->env->net->ops;
}

static void released(void *arg)
{
    __atomic_add_fetch(&((struct pair *)arg)->released, 1, __ATOMIC_RELAXED);
}

static struct net_frame frame_of(uint32_t stream, const struct net_iov *part)
{
    return (struct net_frame){.kind = NET_DATA, .stream = stream, .length = (uint32_t)part->len};
}

static bool now(struct pair *p, const struct net_iov *part)
{
    struct net_frame f = frame_of(0, part);

    return ops(p)->send_now(p->left, &f, part, 1, released, p);
}

static void later(struct pair *p, uint32_t stream, const struct net_iov *part)
{
    struct net_frame f = frame_of(stream, part);

    if (part->len > 1000 && ops(p)->checks(p->left))
        net_frame_seal(&f, part, 1);
    ops(p)->send_parts(p->left, &f, part, 1, released, p);
}

static void fill(uint32_t *words, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        words[i] = number;
}

static void pair_new(struct pair *p)
{
    uint32_t zero = 0;
    struct err err;

    memset(p, 0, sizeof(*p));
    p->env = loop_new(false);
    assert_int_equal(ops(p)->listen(p->env->net, "127.0.0.1:0", on_accept, p, &p->listener, &err), 0);
    p->left = ops(p)->connect(p->env->net, ops(p)->listener_address(p->listener), &handler, p);
    loop_until(p->env, &p->opened, 2);
    assert_false(now(p, &(struct net_iov){&zero, 4})); /* the loop has not said yet that it is done */
    later(p, 0, &(struct net_iov){&zero, 4});
    assert_false(now(p, &(struct net_iov){&zero, 4})); /* it would overtake */
    loop_until(p->env, &p->frames, 1);
    assert_int_equal(p->released, 1);
}

static void pair_free(struct pair *p)
{
    if (p->left)
        ops(p)->close(p->left);
    if (p->right)
        ops(p)->close(p->right);
    ops(p)->listener_close(p->listener);
    loop_settle(p->env);
    env_libevent_free(p->env);
}

static void test_a_frame_leaves_without_the_loop(void **state)
{
    uint32_t one[3], two[2];
    struct pair p;

    (void)state;
    pair_new(&p);
    fill(one, 3, 1);
    fill(two, 2, 2);
    assert_true(now(&p, &(struct net_iov){one, sizeof(one)}));
    assert_int_equal(p.released, 2);
    later(&p, 0, &(struct net_iov){two, sizeof(two)});
    loop_until(p.env, &p.frames, 3);
    assert_int_equal(p.released, 3);
    pair_free(&p);
}

static void test_what_does_not_fit_follows_and_nothing_overtakes_it(void **state)
{
    uint32_t *large = mem_alloc(LARGE), two[2];
    struct net_iov part = {large, LARGE};
    struct pair p;

    (void)state;
    pair_new(&p);
    fill(large, LARGE / 4, 1);
    fill(two, 2, 2);
    assert_true(now(&p, &part));
    assert_int_equal(p.released, 1); /* it is still read */
    assert_false(now(&p, &(struct net_iov){two, sizeof(two)}));
    later(&p, 0, &(struct net_iov){two, sizeof(two)});
    loop_until(p.env, &p.frames, 3);
    assert_int_equal(p.released, 3);
    assert_int_equal(p.bytes, 4 + LARGE + sizeof(two));
    fill(two, 2, 3);
    assert_true(now(&p, &(struct net_iov){two, sizeof(two)})); /* free again */
    loop_until(p.env, &p.frames, 4);
    pair_free(&p);
    mem_free(large);
}

static void test_close_flushes_the_rest(void **state)
{
    uint32_t *large = mem_alloc(LARGE);
    struct net_iov part = {large, LARGE};
    struct pair p;

    (void)state;
    pair_new(&p);
    fill(large, LARGE / 4, 1);
    assert_true(now(&p, &part));
    ops(&p)->close(p.left);
    p.left = NULL;
    assert_int_equal(p.released, 2); /* copied */
    memset(large, 0xff, LARGE);
    loop_until(p.env, &p.frames, 2);
    loop_until(p.env, &p.closed, 1);
    pair_free(&p);
    mem_free(large);
}

static void test_a_peer_that_is_gone_is_told_once(void **state)
{
    uint32_t *large = mem_alloc(LARGE);
    struct net_iov part = {large, LARGE};
    struct pair p;

    (void)state;
    pair_new(&p);
    fill(large, LARGE / 4, 1);
    assert_true(now(&p, &part));
    ops(&p)->close(p.right);
    p.right = NULL;
    (void)now(&p, &(struct net_iov){large, 4});
    loop_until(p.env, &p.closed, 1);
    loop_settle(p.env);
    assert_int_equal(p.closed, 1);
    assert_int_equal(p.released, 2);
    pair_free(&p);
    mem_free(large);
}

/* ---- a thread beside the loop ---- */

struct racer {
    struct pair *p;
    struct env_task tick; /* loop: sends frames of stream 1 */
    uint32_t frames, ticked;
    uint32_t *words; /* of stream 1 */
    uint32_t refused;
};

static void on_tick(struct env_task *task)
{
    struct racer *r = CONTAINER_OF(task, struct racer, tick);
    struct net_iov part = {r->words + (size_t)r->ticked * 64, 256};

    if (r->ticked == r->frames)
        return;
    fill(r->words + (size_t)r->ticked * 64, 64, r->ticked);
    r->ticked++;
    later(r->p, 1, &part);
}

/* The bytes of a frame are its own until they are released, wherever that is. */
struct owned {
    struct pair *p;
    struct net_iov part;
    uint32_t words[];
};

static void owned_free(void *arg)
{
    released(((struct owned *)arg)->p);
    mem_free(arg);
}

static void *race(void *arg)
{
    struct racer *r = arg;

    for (uint32_t i = 1; i <= r->frames; i++) {
        size_t count = i % 100 == 0 ? 400000 : 1 + i % 50;
        struct owned *o = mem_alloc(sizeof(*o) + count * 4);
        struct net_frame f;

        o->p = r->p;
        o->part = (struct net_iov){o->words, count * 4};
        f = frame_of(0, &o->part);
        fill(o->words, count, i);
        env_post(r->p->env, &r->tick);
        while (!ops(r->p)->send_now(r->p->left, &f, &o->part, 1, owned_free, o)) {
            r->refused++;
            sched_yield();
        }
    }
    return NULL;
}

static void test_a_thread_and_the_loop_send_at_once(void **state)
{
    enum { FRAMES = 5000 };
    struct racer r = {.tick = {.cb = on_tick}, .frames = FRAMES};
    pthread_t thread;
    struct pair p;

    (void)state;
    pair_new(&p);
    r.p = &p;
    r.words = mem_alloc((size_t)FRAMES * 256);
    assert_int_equal(pthread_create(&thread, NULL, race, &r), 0);
    while (p.next[0] <= FRAMES)
        loop_until(p.env, &p.frames, p.frames + 1);
    pthread_join(thread, NULL);
    loop_settle(p.env);
    env_unpost(p.env, &r.tick);
    assert_int_equal(p.next[1], r.ticked);
    assert_int_equal(p.released, 1 + FRAMES + (int)r.ticked);
    assert_true(r.ticked > 0);
    pair_free(&p);
    mem_free(r.words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_leaves_without_the_loop),
        cmocka_unit_test(test_what_does_not_fit_follows_and_nothing_overtakes_it),
        cmocka_unit_test(test_close_flushes_the_rest),
        cmocka_unit_test(test_a_peer_that_is_gone_is_told_once),
        cmocka_unit_test(test_a_thread_and_the_loop_send_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
