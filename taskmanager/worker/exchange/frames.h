/*
 * frames.h - frames on their way out of a link: those that have left are used again.
 *
 * So a link that goes on allocates nothing.  Bounded: what is over is freed.  Thread: any, under a lock of its own, which is
 * the last one taken.
 */
#ifndef WK_FRAMES_H
#define WK_FRAMES_H

#include <pthread.h>

#include "common/base/bytes.h"
#include "common/base/list.h"
#include "common/net/net.h"
#include "taskmanager/worker/exchange/channel.h"

struct wk_frames {
    pthread_mutex_t lock;
    struct list spare;  /* lock */
    uint32_t count;     /* lock: of spare */
    uint64_t bytes;     /* lock: what they keep */
};

struct wk_frame {
    struct list node;       /* whoever has it */
    struct wk_frames *home;
    struct net_frame frame;
    struct bytes payload;   /* owned: what is written for it; empty at first */
    struct wk_block *block; /* a reference, while parts point into it; or NULL */
    struct net_iov *parts;  /* owned */
    uint32_t part_count, part_room;
};

void wk_frames_init(struct wk_frames *frames);
void wk_frames_release(struct wk_frames *frames); /* all are back */
struct wk_frame *wk_frame_new(struct wk_frames *frames, uint8_t kind, uint32_t stream);
/* Gives it back, and its block. frame: a struct wk_frame; as net_ops.send_parts wants it. */
void wk_frame_free(void *frame);
/* Room for so many parts, to be written. */
void wk_frame_parts(struct wk_frame *f, uint32_t count);
/* It is complete: its length is that of its parts. The payload is the one part, if there are no others. */
void wk_frame_seal(struct wk_frame *f);

#endif
