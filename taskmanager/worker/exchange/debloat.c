/* debloat.c - see debloat.h. */
#include "taskmanager/worker/exchange/debloat.h"

#include "common/base/check.h"

static void measure(struct wk_debloat *d, uint64_t active_ns)
{
    double now;

    if (active_ns == 0 || d->consumed_bytes == 0)
        return;
    now = (double)d->consumed_bytes * 1e9 / (double)active_ns;
    if (d->bytes_per_s == 0)
        d->bytes_per_s = now;
    else
        d->bytes_per_s += (now - d->bytes_per_s) * 2 / (d->options->samples + 1);
    d->consumed_bytes = 0;
}

static uint32_t wanted(const struct wk_debloat *d, uint32_t channels, uint32_t credit_max)
{
    double bytes = d->bytes_per_s * (double)d->options->target_ns / 1e9 / MAX(channels, 1u);

    return bytes >= credit_max ? credit_max : MAX((uint32_t)bytes, MIN(DEBLOAT_CREDIT_MIN, credit_max));
}

void wk_debloat_adjust(struct wk_debloat *d, struct wk_gate *g, uint64_t now_ns, uint64_t active_ns, uint32_t credit_max)
{
    uint32_t channels = g->channel_count - g->ended_count, bytes;

    measure(d, active_ns - d->active_ns);
    d->looked_ns = now_ns;
    d->active_ns = active_ns;
    if (d->bytes_per_s == 0)
        return;
    bytes = wanted(d, channels, credit_max);
    for (uint32_t i = 0; i < g->channel_count; i++) {
        struct wk_in *in = &g->channels[i];
        uint64_t old = in->wanted_bytes, change = old > bytes ? old - bytes : bytes - old;

        if (!in->ended && change > 0 && (change * 100 >= old * d->options->threshold_percent || bytes == credit_max))
            wk_in_resize(in, bytes);
    }
}
