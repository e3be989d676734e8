/*
 * net_buffer.c - memory that received payloads lie in, and a store that keeps it for the next ones.
 *
 * A payload may be freed on any thread, long after its connection.  A store has a lock, and lives as long as a buffer of it.
 */
#include <pthread.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/net_private.h"

/* Sizes are powers of two; what a payload does not fill of a large one is memory that nobody touches. */
enum { CLASS_MIN_BITS = 9, CLASS_MAX_BITS = 20, CLASSES = CLASS_MAX_BITS - CLASS_MIN_BITS + 1 };

struct net_buffers {
    pthread_mutex_t lock;
    size_t kept_bytes;               /* lock */
    uint32_t refs;                   /* lock: buffers that somebody has, and the owner until it closes */
    bool closed;                     /* lock */
    struct net_buffer *kept[CLASSES]; /* lock */
};

static long buffers_live; /* atomic; statistics alone */

static struct net_buffer *buffer_new(size_t cap, struct net_buffers *home)
{
    /* realloc, since the memory is about to be overwritten: mem_alloc would zero it first */
    struct net_buffer *buffer = mem_realloc(NULL, sizeof(*buffer) + cap);

    buffer->cap = cap;
    buffer->home = home;
    return buffer;
}

static struct net_buffer *buffer_begin(struct net_buffer *buffer)
{
    buffer->refs = 1;
    buffer->next = NULL;
    __atomic_add_fetch(&buffers_live, 1, __ATOMIC_RELAXED);
    return buffer;
}

struct net_buffer *net_buffer_new(size_t cap)
{
    return buffer_begin(buffer_new(cap, NULL));
}

struct net_buffer *net_buffer_ref(struct net_buffer *buffer)
{
    __atomic_add_fetch(&buffer->refs, 1, __ATOMIC_RELAXED);
    return buffer;
}

bool net_buffer_shared(struct net_buffer *buffer)
{
    return __atomic_load_n(&buffer->refs, __ATOMIC_ACQUIRE) > 1;
}

long net_buffers_live(void)
{
    return __atomic_load_n(&buffers_live, __ATOMIC_RELAXED);
}

/* ---- the store ---- */

static uint32_t class_of(size_t cap)
{
    uint32_t class = 0;

    while (cap > (size_t)1 << (CLASS_MIN_BITS + class))
        class++;
    return class;
}

struct net_buffers *net_buffers_new(void)
{
    struct net_buffers *s = MEM_NEW(struct net_buffers);

    pthread_mutex_init(&s->lock, NULL);
    s->refs = 1;
    return s;
}

struct net_buffer *net_buffers_get(struct net_buffers *s, size_t cap)
{
    uint32_t class = class_of(MIN(cap, (size_t)1 << CLASS_MAX_BITS));
    struct net_buffer *buffer;

    if (cap > (size_t)1 << CLASS_MAX_BITS)
        return net_buffer_new(cap);
    pthread_mutex_lock(&s->lock);
    s->refs++;
    buffer = s->kept[class];
    if (buffer) {
        s->kept[class] = buffer->next;
        s->kept_bytes -= buffer->cap;
    }
    pthread_mutex_unlock(&s->lock);
    return buffer_begin(buffer ? buffer : buffer_new((size_t)1 << (CLASS_MIN_BITS + class), s));
}

/* Lock held; it is released. */
static void store_unref(struct net_buffers *s)
{
    bool last = --s->refs == 0;

    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static void give_back(struct net_buffers *s, struct net_buffer *buffer)
{
    bool keep;

    pthread_mutex_lock(&s->lock);
    keep = !s->closed && s->kept_bytes + buffer->cap <= NET_BUFFERS_KEPT_MAX;
    if (keep) {
        uint32_t class = class_of(buffer->cap);

        buffer->next = s->kept[class];
        s->kept[class] = buffer;
        s->kept_bytes += buffer->cap;
    }
    store_unref(s);
    if (!keep)
        mem_free(buffer);
}

void net_buffer_unref(struct net_buffer *buffer)
{
    int left;

    if (buffer == NULL)
        return;
    left = __atomic_sub_fetch(&buffer->refs, 1, __ATOMIC_ACQ_REL);
    CHECK(left >= 0);
    if (left > 0)
        return;
    __atomic_sub_fetch(&buffers_live, 1, __ATOMIC_RELAXED);
    if (buffer->home)
        give_back(buffer->home, buffer);
    else
        mem_free(buffer);
}

void net_buffers_close(struct net_buffers *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    for (uint32_t i = 0; i < CLASSES; i++)
        for (struct net_buffer *b; (b = s->kept[i]) != NULL;) {
            s->kept[i] = b->next;
            mem_free(b);
        }
    s->kept_bytes = 0;
    store_unref(s);
}
