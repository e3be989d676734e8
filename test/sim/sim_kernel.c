/*
 * sim_kernel.c - the queue of events, virtual time, the streams of random numbers and the trace.
 *
 * Knows nothing of nodes beyond the host that an event belongs to.  The hash folds in every event and every
 * line of the trace: two runs of a seed that differ anywhere have different hashes.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim_private.h"

#define RING_LINES     400
#define LINE_MAX_BYTES 600
#define SAME_TIME_MAX  1000000u /* events without time passing: something spins */
#define HASH_START     0xcbf29ce484222325u
#define HASH_PRIME     0x100000001b3u

/* ---- random numbers ---- */

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void sim_streams_init(struct sim_streams *s, uint64_t seed, uint64_t salt)
{
    for (uint64_t i = 0; i < STREAM_COUNT; i++) {
        uint64_t state = seed ^ (salt << 8 | (i + 1)) * 0xd6e8feb86659fd93u;

        s->state[i] = splitmix(&state);
    }
}

uint64_t sim_draw(struct sim_streams *s, enum sim_stream stream)
{
    return splitmix(&s->state[stream]);
}

uint64_t sim_draw_range(struct sim_streams *s, enum sim_stream stream, uint64_t low, uint64_t high)
{
    uint64_t draw = sim_draw(s, stream), span = high - low;

    CHECK(low <= high);
    return span == UINT64_MAX ? draw : low + draw % (span + 1);
}

bool sim_draw_chance(struct sim_streams *s, enum sim_stream stream, uint32_t of, uint32_t in)
{
    return sim_draw(s, stream) % in < of;
}

/* -log2 of a uniform number, linear between powers of two, times the mean: close enough, and integer. */
uint64_t sim_draw_exponential(struct sim_streams *s, enum sim_stream stream, uint64_t mean)
{
    uint64_t u = sim_draw(s, stream) | 1, zeros = (uint64_t)__builtin_clzll(u);
    uint64_t mantissa =
        zeros == 63 ? 0 : u << (zeros + 1) >> 48; /* 16 bits below the leading one */
    uint64_t log2_times_65536 = (zeros << 16) + (65535 - mantissa);

    /* the mean of -log2 is 1.4427 = 94548 / 65536 */
    return (uint64_t)((unsigned __int128)mean * log2_times_65536 / 94548);
}

uint64_t sim_rand(struct sim *sim)
{
    return sim_draw(&sim->streams, STREAM_SCENARIO);
}

uint64_t sim_range(struct sim *sim, uint64_t low, uint64_t high)
{
    return sim_draw_range(&sim->streams, STREAM_SCENARIO, low, high);
}

bool sim_chance(struct sim *sim, uint32_t of, uint32_t in)
{
    return sim_draw_chance(&sim->streams, STREAM_SCENARIO, of, in);
}

/* ---- the queue ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns;
    if (a->tie != b->tie)
        return a->tie < b->tie;
    return a->seq < b->seq;
}

static void place(struct sim *sim, struct sim_event *event, size_t position)
{
    sim->heap[position] = event;
    event->position = position;
}

static void sift_up(struct sim *sim, struct sim_event *event, size_t i)
{
    for (; i > 1 && before(event, sim->heap[i / 2]); i /= 2)
        place(sim, sim->heap[i / 2], i);
    place(sim, event, i);
}

static void sift_down(struct sim *sim, struct sim_event *event, size_t i)
{
    size_t child;

    while ((child = 2 * i) <= sim->heap_count) {
        if (child < sim->heap_count && before(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!before(sim->heap[child], event))
            break;
        place(sim, sim->heap[child], i);
        i = child;
    }
    place(sim, event, i);
}

void sim_event_cancel(struct sim *sim, struct sim_event *event)
{
    size_t i = event->position;
    struct sim_event *last;

    if (i == 0)
        return;
    CHECK(sim->heap[i] == event);
    event->position = 0;
    last = sim->heap[sim->heap_count--];
    if (last == event)
        return;
    if (i > 1 && before(last, sim->heap[i / 2]))
        sift_up(sim, last, i);
    else
        sift_down(sim, last, i);
}

void sim_event_add_at(struct sim *sim, struct sim_event *event, uint64_t at_ns)
{
    CHECK(event->fire != NULL && event->what != NULL);
    sim_event_cancel(sim, event);
    event->at_ns = MAX(at_ns, sim->now_ns);
    event->tie = sim_draw(&sim->streams, STREAM_TIE);
    event->seq = sim->seq++;
    if (sim->heap_count + 2 > sim->heap_cap) {
        sim->heap_cap = MAX(256u, sim->heap_cap * 2);
        sim->heap = mem_realloc(sim->heap, sim->heap_cap * sizeof(sim->heap[0]));
    }
    sim->heap_count++;
    sift_up(sim, event, sim->heap_count);
}

void sim_event_add(struct sim *sim, struct sim_event *event, uint64_t delay_ns)
{
    sim_event_add_at(sim, event, sim->now_ns + MIN(delay_ns, UINT64_MAX / 4));
}

/* ---- running ---- */

void sim_mix(struct sim *sim, uint64_t value)
{
    sim->hash = (sim->hash ^ value) * HASH_PRIME;
    sim->hash ^= sim->hash >> 29;
}

void sim_mix_bytes(struct sim *sim, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++)
        sim->hash = (sim->hash ^ p[i]) * HASH_PRIME;
    sim_mix(sim, len);
}

bool sim_step(struct sim *sim)
{
    struct sim_event *event;

    if (sim->heap_count == 0 || sim->failure != NULL)
        return false;
    event = sim->heap[1];
    sim_event_cancel(sim, event);
    sim->same_time = event->at_ns > sim->now_ns ? 0 : sim->same_time + 1;
    sim->now_ns = event->at_ns;
    if (event->host != NULL && event->host->paused_until_ns > sim->now_ns) {
        sim_event_add_at(sim, event, event->host->paused_until_ns);
        return true;
    }
    sim->events++;
    sim_mix(sim, event->at_ns);
    sim_mix_bytes(sim, event->what, strlen(event->what));
    sim_mix(sim, event->host == NULL ? 0 : event->host->id);
    event->fire(event);
    if (sim->same_time > SAME_TIME_MAX)
        sim_fail(sim, "%u events at one instant, the last is '%s': something spins", SAME_TIME_MAX,
                 event->what);
    if (sim->check != NULL && sim->failure == NULL)
        sim->check(sim, sim->check_arg);
    return sim->failure == NULL;
}

bool sim_run_until(struct sim *sim, bool (*done)(void *arg), void *arg, uint64_t max_ns)
{
    uint64_t until = sim->now_ns + max_ns;

    while (sim->failure == NULL) {
        if (done != NULL && done(arg))
            return true;
        if (sim->heap_count == 0 || sim->heap[1]->at_ns > until) {
            sim->now_ns = until;
            return done == NULL;
        }
        sim_step(sim);
    }
    return false;
}

bool sim_run_for(struct sim *sim, uint64_t ns)
{
    return sim_run_until(sim, NULL, NULL, ns);
}

struct later {
    struct sim_event event;
    struct list node;
    struct sim *sim;
    void (*fn)(struct sim *sim, void *arg);
    void *arg;
};

static void fire_later(struct sim_event *event)
{
    struct later *l = CONTAINER_OF(event, struct later, event);

    list_remove(&l->node);
    l->fn(l->sim, l->arg);
    mem_free(l);
}

void sim_at(struct sim *sim, uint64_t delay_ns, void (*fn)(struct sim *sim, void *arg), void *arg)
{
    struct later *l = MEM_NEW(struct later);

    l->event.fire = fire_later;
    l->event.what = "scenario";
    l->sim = sim;
    l->fn = fn;
    l->arg = arg;
    list_push_back(&sim->later, &l->node);
    sim_event_add(sim, &l->event, delay_ns);
}

void sim_set_checker(struct sim *sim, void (*check)(struct sim *sim, void *arg), void *arg)
{
    sim->check = check;
    sim->check_arg = arg;
}

/* ---- the trace ---- */

static struct sim *running; /* whose trace is printed when a check fails */

static void print_ring(const struct sim *sim)
{
    for (size_t i = 0; i < RING_LINES; i++) {
        const char *line = sim->ring[(sim->ring_next + i) % RING_LINES];

        if (line != NULL)
            fprintf(stderr, "  %s\n", line);
    }
}

static void on_check_failed(const char *message)
{
    if (running == NULL)
        return;
    if (!running->verbose)
        print_ring(running);
    fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ns: %s\n", running->seed, running->now_ns,
            message);
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list ap;
    char **slot = &sim->ring[sim->ring_next % RING_LINES];

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sim_mix_bytes(sim, text, strlen(text));
    sim->ring_next++;
    mem_free(*slot);
    *slot = mem_printf("%6" PRIu64 ".%06" PRIu64 " %s", sim->now_ns / SIM_S,
                       sim->now_ns % SIM_S / SIM_US, text);
    if (sim->verbose)
        fprintf(stderr, "  %s\n", *slot);
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    va_list ap;

    if (sim->failure != NULL)
        return;
    va_start(ap, fmt);
    sim->failure = mem_vprintf(fmt, ap);
    va_end(ap);
    if (!sim->verbose)
        print_ring(sim);
    fprintf(
        stderr, "seed %" PRIu64 " failed at %" PRIu64 ".%06" PRIu64 " s, event %" PRIu64 ": %s\n",
        sim->seed, sim->now_ns / SIM_S, sim->now_ns % SIM_S / SIM_US, sim->events, sim->failure);
}

/* ---- probes, over all simulations of the process ---- */

static struct map *probes; /* name -> uint64_t */

void sim_probe(const char *name)
{
    uint64_t *count;

    if (probes == NULL)
        probes = map_new();
    count = map_get_str(probes, name);
    if (count == NULL) {
        count = MEM_NEW(uint64_t);
        map_put_str(probes, name, count);
    }
    ++*count;
}

uint64_t sim_probe_count(const char *name)
{
    uint64_t *count = probes == NULL ? NULL : map_get_str(probes, name);

    return count == NULL ? 0 : *count;
}

void sim_probes_print(void)
{
    for (struct map_iter it = map_iter(probes); probes != NULL && map_next(&it);)
        printf("probe %-40s %" PRIu64 "\n", (const char *)it.key, *(uint64_t *)it.value);
}

int sim_probes_check(const char *const *all)
{
    struct map *known = map_new();
    int wrong = 0;

    for (; *all != NULL; all++) {
        map_put_str(known, *all, known);
        if (sim_probe_count(*all) > 0)
            continue;
        fprintf(stderr, "never reached: %s\n", *all);
        wrong++;
    }
    for (struct map_iter it = map_iter(probes); probes != NULL && map_next(&it);)
        if (map_get_str(known, it.key) == NULL) {
            fprintf(stderr, "not in the list of probes: %s\n", (const char *)it.key);
            wrong++;
        }
    map_free(known);
    return wrong;
}

static void free_probes(void) __attribute__((destructor));
static void free_probes(void)
{
    for (struct map_iter it = map_iter(probes); probes != NULL && map_next(&it);)
        mem_free(it.value);
    map_free(probes);
    probes = NULL;
}

/* ---- life ---- */

struct sim_link *sim_link(struct sim *sim, const struct sim_host *from, const struct sim_host *to)
{
    uint64_t key = (uint64_t)from->id << 32 | to->id;
    struct sim_link *link = map_get_u64(sim->links, key);

    if (link == NULL) {
        link = MEM_NEW(struct sim_link);
        map_put_u64(sim->links, key, link);
    }
    return link;
}

bool sim_is_cut(struct sim *sim, const struct sim_host *from, const struct sim_host *to)
{
    return sim_link(sim, from, to)->cut || sim_link(sim, to, from)->cut;
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = MEM_NEW(struct sim);

    sim->seed = seed;
    sim->hash = HASH_START;
    sim->delay_mean_ns = 200 * SIM_US;
    sim->buffers_before = net_buffers_live();
    sim->links = map_new();
    sim->buggify = map_new();
    sim->ring = mem_alloc_array(RING_LINES, sizeof(char *));
    list_init(&sim->nodes);
    list_init(&sim->hosts);
    list_init(&sim->later);
    list_init(&sim->conns);
    list_init(&sim->listeners);
    sim_streams_init(&sim->streams, seed, 0);
    sim->coord_host = MEM_NEW(struct sim_host);
    *sim->coord_host =
        (struct sim_host){.sim = sim, .name = mem_strdup("coord"), .slow = 1, .powered = true};
    list_push_back(&sim->hosts, &sim->coord_host->node);
    sim->host_count = 1;
    sim->shared_disk = sim_disk_new(sim);
    sim->coord = sim_coord_service_new(sim);
    running = sim;
    check_set_hook(on_check_failed);
    return sim;
}

static void free_values(struct map *m)
{
    for (struct map_iter it = map_iter(m); map_next(&it);)
        mem_free(it.value);
    map_free(m);
}

static void free_hosts_and_nodes(struct sim *sim)
{
    while (!list_empty(&sim->nodes)) {
        struct sim_node *node = LIST_ENTRY(list_pop_front(&sim->nodes), struct sim_node, node);

        mem_free(node->name);
        mem_free(node);
    }
    while (!list_empty(&sim->hosts)) {
        struct sim_host *host = LIST_ENTRY(list_pop_front(&sim->hosts), struct sim_host, node);

        sim_disk_free(host->disk);
        mem_free(host->name);
        mem_free(host);
    }
}

bool sim_free(struct sim *sim)
{
    bool good;

    LIST_FOREACH (node, &sim->nodes)
        sim_stop(LIST_ENTRY(node, struct sim_node, node));
    sim_net_drain(sim);
    if (net_buffers_live() != sim->buffers_before)
        sim_fail(sim, "%ld network buffers were not given back",
                 net_buffers_live() - sim->buffers_before);
    while (!list_empty(&sim->later)) {
        struct later *l = LIST_ENTRY(list_pop_front(&sim->later), struct later, node);

        sim_event_cancel(sim, &l->event);
        mem_free(l);
    }
    sim_coord_service_free(sim->coord);
    good = sim->failure == NULL;
    sim_disk_free(sim->shared_disk);
    free_hosts_and_nodes(sim);
    CHECK(sim->heap_count == 0);
    free_values(sim->links);
    free_values(sim->buggify);
    for (size_t i = 0; i < RING_LINES; i++)
        mem_free(sim->ring[i]);
    mem_free(sim->ring);
    mem_free(sim->heap);
    mem_free(sim->failure);
    if (running == sim)
        running = NULL;
    mem_free(sim);
    return good;
}

uint64_t sim_seed(const struct sim *sim)
{
    return sim->seed;
}

uint64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_hash(const struct sim *sim)
{
    return sim->hash;
}

uint64_t sim_events(const struct sim *sim)
{
    return sim->events;
}

bool sim_failed(const struct sim *sim)
{
    return sim->failure != NULL;
}

void sim_set_verbose(struct sim *sim, bool verbose)
{
    sim->verbose = verbose;
}
