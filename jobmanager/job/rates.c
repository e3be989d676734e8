/* rates.c - see rates.h. */
#include "jobmanager/job/rates.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#define TOO_SOON_US 100000u /* two pulls so close say nothing */

static struct jm_sample sample_of(const Rask__Control__TaskMetrics *m)
{
    return (struct jm_sample){
        .at_us = m->at_us,
        .records_in = m->records_in,
        .records_out = m->records_out,
        .bytes_in = m->bytes_in,
        .bytes_out = m->bytes_out,
        .busy_ms = m->busy_ms,
        .idle_ms = m->idle_ms,
        .soft_ms = m->backpressured_ms,
        .hard_ms = m->hard_backpressured_ms,
        .ready_ms = m->ready_ms,
    };
}

static double per_second(uint64_t now, uint64_t before, uint64_t span_us)
{
    return now > before && span_us > 0 ? (double)(now - before) * 1e6 / (double)span_us : 0;
}

static uint32_t ms_per_second(uint64_t now, uint64_t before, uint64_t span_us)
{
    return (uint32_t)MIN(per_second(now, before, span_us) + 0.5, 1000.0);
}

static void times(struct jm_live *live, const struct jm_sample *now, const struct jm_sample *before)
{
    uint64_t span = now->at_us - before->at_us;

    live->busy = ms_per_second(now->busy_ms, before->busy_ms, span);
    live->idle = ms_per_second(now->idle_ms, before->idle_ms, span);
    live->soft = ms_per_second(now->soft_ms, before->soft_ms, span);
    live->hard = ms_per_second(now->hard_ms, before->hard_ms, span);
    live->ready = ms_per_second(now->ready_ms, before->ready_ms, span);
}

static void meters(struct jm_live *live, const struct jm_sample *now, const struct jm_sample *before)
{
    uint64_t span = now->at_us - before->at_us;

    live->records_in_rate = per_second(now->records_in, before->records_in, span);
    live->records_out_rate = per_second(now->records_out, before->records_out, span);
    live->bytes_in_rate = per_second(now->bytes_in, before->bytes_in, span);
    live->bytes_out_rate = per_second(now->bytes_out, before->bytes_out, span);
}

static void gauges(struct jm_live *live, const Rask__Control__TaskMetrics *m)
{
    live->watermark = m->has_watermark ? m->watermark : INT64_MIN;
    live->input_queue_length = m->input_queue_length;
    live->input_queue_bytes = m->input_queue_bytes;
    live->output_queue_length = m->output_queue_length;
    live->output_queue_bytes = m->output_queue_bytes;
    live->out_permille = MIN(m->output_usage_permille, 1000u);
    live->in_permille = 0;
    if (m->input_credit_bytes > 0)
        live->in_permille =
            (uint32_t)MIN((double)m->input_queue_bytes * 1000 / (double)m->input_credit_bytes, 1000.0);
    live->in_flight_bytes = 0;
    live->hot_key_group = live->hot_permille = 0;
    for (size_t i = 0; i < m->n_edges; i++) {
        live->in_flight_bytes += m->edges[i]->in_flight_bytes;
        if (m->edges[i]->hot_permille > live->hot_permille) {
            live->hot_permille = MIN(m->edges[i]->hot_permille, 1000u);
            live->hot_key_group = m->edges[i]->hot_key_group;
        }
    }
}

/* One look a second says little: the last eight or so count. */
static void look_at_operator(struct jm_rates *r, const Rask__Control__TaskMetrics *m)
{
    uint32_t now = m->in_sink ? 1000 : 0;

    if (!m->has_in_sink)
        return;
    r->live.sink_permille = r->looked ? (r->live.sink_permille * 7 + now + 4) / 8 : now;
    r->looked = true;
}

/* A task's counters begin with its clock: what it was when it began. */
static void begin(struct jm_rates *r, const struct jm_sample *now)
{
    uint64_t age_us = (now->busy_ms + now->idle_ms + now->soft_ms + now->hard_ms) * 1000;

    r->last = (struct jm_sample){.at_us = now->at_us - MIN(age_us, now->at_us)};
    r->mid = r->old = r->last;
}

void jm_rates_free(struct jm_rates *r)
{
    if (r)
        jm_figures_unref(r->figures);
    mem_free(r);
}

void jm_rates_add(struct jm_rates *r, const Rask__Control__TaskMetrics *m)
{
    struct jm_sample now = sample_of(m);
    bool first = r->last.at_us == 0 || now.at_us < r->last.at_us || now.busy_ms < r->last.busy_ms;
    bool stale;

    if (now.at_us == 0)
        return;
    gauges(&r->live, m);
    jm_figures_unref(r->figures);
    r->figures = jm_figures_new(m);
    look_at_operator(r, m);
    if (first)
        begin(r, &now);
    stale = first || now.at_us - r->last.at_us > JM_RATES_STALE_US;
    if (now.at_us - r->last.at_us < TOO_SOON_US)
        return;
    times(&r->live, &now, &r->last);
    meters(&r->live, &now, stale ? &r->last : &r->old);
    r->known = true;
    r->last = now;
    if (stale) {
        r->mid = r->old = now;
    } else if (now.at_us - r->mid.at_us >= JM_RATES_WINDOW_US) {
        r->old = r->mid;
        r->mid = now;
    }
}
