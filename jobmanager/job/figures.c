/* figures.c - see figures.h. */
#include "jobmanager/job/figures.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

static const char *const stats[] = {"min", "max", "mean", "stddev", "median", "p75",
                                    "p90", "p95", "p98",  "p99",    "p999"};

static void add(struct jm_figures *f, char *name, bool is_whole, int64_t whole, double value)
{
    if (f->count == JM_FIGURES_MAX)
        mem_free(name);
    else
        f->at[f->count++] = (struct jm_figure){name, is_whole, whole, value};
}

struct jm_figures *jm_figures_new(const Rask__Control__TaskMetrics *m)
{
    size_t room = m->n_counters + m->n_latency * ARRAY_LEN(stats);
    struct jm_figures *f;

    if (room == 0)
        return NULL;
    f = MEM_NEW(struct jm_figures);
    f->refs = 1;
    f->at = mem_alloc_array(MIN(room, (size_t)JM_FIGURES_MAX), sizeof(*f->at));
    for (size_t i = 0; i < m->n_counters; i++)
        add(f, mem_strdup(m->counters[i]->name), true, m->counters[i]->value, (double)m->counters[i]->value);
    for (size_t i = 0; i < m->n_latency; i++)
        for (size_t k = 0; k < ARRAY_LEN(stats) && k < m->latency[i]->n_stats; k++)
            add(f, mem_printf("%s_%s", m->latency[i]->name, stats[k]), false, 0, m->latency[i]->stats[k]);
    return f;
}

struct jm_figures *jm_figures_ref(struct jm_figures *f)
{
    if (f)
        __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void jm_figures_unref(struct jm_figures *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        mem_free((char *)(uintptr_t)f->at[i].name);
    mem_free(f->at);
    mem_free(f);
}
