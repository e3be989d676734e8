/* frames.c - see frames.h. */
#include "taskmanager/worker/exchange/frames.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#define SPARE_FRAMES_MAX 64u
#define SPARE_BYTES_MAX (2u << 20)

void wk_frames_init(struct wk_frames *frames)
{
    pthread_mutex_init(&frames->lock, NULL);
    list_init(&frames->spare);
    frames->count = 0;
    frames->bytes = 0;
}

static void frame_drop(struct wk_frame *f)
{
    bytes_release(&f->payload);
    mem_free(f->parts);
    mem_free(f);
}

void wk_frames_release(struct wk_frames *frames)
{
    for (struct list *n; (n = list_pop_front(&frames->spare));)
        frame_drop(LIST_ENTRY(n, struct wk_frame, node));
    pthread_mutex_destroy(&frames->lock);
}

static size_t kept_bytes(const struct wk_frame *f)
{
    return sizeof(*f) + f->payload.cap + f->part_room * sizeof(f->parts[0]);
}

struct wk_frame *wk_frame_new(struct wk_frames *frames, uint8_t kind, uint32_t stream)
{
    struct wk_frame *f = NULL;
    struct list *n;

    pthread_mutex_lock(&frames->lock);
    n = list_pop_front(&frames->spare);
    if (n) {
        f = LIST_ENTRY(n, struct wk_frame, node);
        frames->count--;
        frames->bytes -= kept_bytes(f);
    }
    pthread_mutex_unlock(&frames->lock);
    if (!f)
        f = MEM_NEW(struct wk_frame);
    list_init(&f->node);
    f->home = frames;
    f->frame = (struct net_frame){.kind = kind, .stream = stream};
    return f;
}

void wk_frame_free(void *frame)
{
    struct wk_frame *f = frame;
    struct wk_frames *home = f->home;
    bool kept;

    if (f->block)
        wk_block_unref(f->block);
    f->block = NULL;
    f->part_count = 0;
    bytes_clear(&f->payload);
    pthread_mutex_lock(&home->lock);
    kept = home->count < SPARE_FRAMES_MAX && home->bytes + kept_bytes(f) <= SPARE_BYTES_MAX;
    if (kept) {
        list_push_front(&home->spare, &f->node);
        home->count++;
        home->bytes += kept_bytes(f);
    }
    pthread_mutex_unlock(&home->lock);
    if (!kept)
        frame_drop(f);
}

void wk_frame_parts(struct wk_frame *f, uint32_t count)
{
    if (count > f->part_room) {
        f->part_room = MAX(count, 2 * f->part_room);
        f->parts = mem_realloc(f->parts, f->part_room * sizeof(f->parts[0]));
    }
    f->part_count = count;
}

void wk_frame_seal(struct wk_frame *f)
{
    if (f->part_count == 0) {
        wk_frame_parts(f, 1);
        f->parts[0] = (struct net_iov){f->payload.data, f->payload.len};
    }
    for (uint32_t i = 0; i < f->part_count; i++)
        f->frame.length += (uint32_t)f->parts[i].len;
}
