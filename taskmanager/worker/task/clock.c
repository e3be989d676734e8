/*
 * clock.c - see clock.h.  A sequence lock (Lameter 2005): every field is stored with release and loaded with acquire, so
 * who sees a field of a move sees its odd version.
 */
#include "taskmanager/worker/task/clock.h"

static void put(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

static uint64_t get(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

void wk_clock_init(struct wk_clock *c, uint64_t now_ns)
{
    *c = (struct wk_clock){.since_ns = now_ns, .phase = WK_PHASE_IDLE};
}

void wk_clock_move(struct wk_clock *c, enum wk_phase to, uint64_t now_ns)
{
    uint64_t *spent = &c->spent_ns[c->phase];

    if (c->phase == to)
        return;
    put(&c->version, c->version + 1);
    put(spent, *spent + (now_ns > c->since_ns ? now_ns - c->since_ns : 0));
    put(&c->since_ns, now_ns);
    put(&c->phase, to);
    put(&c->version, c->version + 1);
}

void wk_clock_read(const struct wk_clock *c, uint64_t now_ns, uint64_t ret_ns[WK_PHASE_COUNT])
{
    uint64_t version, since_ns, phase;

    do {
        version = get(&c->version);
        for (int i = 0; i < WK_PHASE_COUNT; i++)
            ret_ns[i] = get(&c->spent_ns[i]);
        since_ns = get(&c->since_ns);
        phase = get(&c->phase);
    } while (version % 2 || get(&c->version) != version);
    ret_ns[phase] += now_ns > since_ns ? now_ns - since_ns : 0;
}
