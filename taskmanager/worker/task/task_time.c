/* task_time.c - a task's event time and status, which follow those of its channels. Runs in its step. */
#include "taskmanager/worker/checkpoint/barrier.h"
#include "taskmanager/worker/task/task.h"

static bool holds_back(const struct wk_task *t, const struct wk_in *in)
{
    return !in->ended && !in->idle && in->watermark <= t->watermark;
}

/* The minimum over the channels that are neither ended nor idle, and how many hold the task back then. */
static rask_ts look_at_channels(struct wk_task *t)
{
    rask_ts min = RASK_TS_MAX;

    t->holding = 0;
    for (uint32_t i = 0; i < t->gate.channel_count; i++) {
        const struct wk_in *in = &t->gate.channels[i];

        if (in->ended || in->idle || in->watermark > MAX(min, t->watermark))
            continue;
        t->holding = in->watermark < min && min > t->watermark ? 1 : t->holding + 1;
        min = MIN(min, in->watermark);
    }
    return min;
}

static rask_ts newest_of_channels(const struct wk_task *t)
{
    rask_ts max = RASK_TS_MIN;

    for (uint32_t i = 0; i < t->gate.channel_count; i++)
        if (!t->gate.channels[i].ended)
            max = MAX(max, t->gate.channels[i].watermark);
    return max;
}

/*
 * Watermark and status of the task, after a change of `in`, which held it back before or not.  All channels are looked at
 * when none of those does any more that did at the last look: of many channels that all tell the time, once for each time.
 */
static void combine(struct wk_task *t, const struct wk_in *in, bool held)
{
    uint32_t live = t->gate.channel_count - t->gate.ended_count, active = live - t->idle_count;
    rask_ts min = RASK_TS_MIN;

    if (t->holding > 0) {
        t->holding -= held;
        t->holding += holds_back(t, in);
    }
    if (active > 0 && t->holding == 0)
        min = look_at_channels(t);
    else if (live > 0 && active == 0 && !t->idle_sent) /* nobody is waited for: as far as any has come, as in Flink */
        min = newest_of_channels(t);
    /* the last one pushed runs first */
    if (live > 0 && (active == 0) != t->idle_sent) {
        t->idle_sent = active == 0;
        wk_chain_control(&t->chain, WK_STATUS, t->idle_sent);
    }
    if (min > t->watermark) {
        __atomic_store_n(&t->watermark, min, __ATOMIC_RELAXED);
        wk_chain_control(&t->chain, WK_WATERMARK, min);
    }
}

void wk_task_channel_idle(struct wk_task *t, struct wk_in *in, bool idle)
{
    bool held = holds_back(t, in);

    t->idle_count += idle;
    t->idle_count -= in->idle;
    in->idle = idle;
    combine(t, in, held);
}

void wk_task_channel_watermark(struct wk_task *t, struct wk_in *in, rask_ts watermark)
{
    bool held = holds_back(t, in);

    in->watermark = MAX(in->watermark, watermark);
    combine(t, in, held);
}

int wk_task_channel_ended(struct wk_task *t, struct wk_in *in)
{
    struct task_input *input = &t->inputs[in->input];
    bool held = holds_back(t, in);

    t->idle_count -= in->idle;
    in->ended = true;
    in->idle = false;
    t->gate.ended_count++;
    input->ended++;
    if (input->ended == input->channels && wk_chain_input_ended(&t->chain, (int)in->input) != 0)
        return -1;
    combine(t, in, held);
    wk_barrier_channel_ended(t, in);
    return 0;
}
