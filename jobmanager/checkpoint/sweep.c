/* sweep.c - see sweep.h. Pure; thread: the control loop. */
#include "jobmanager/checkpoint/sweep.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define DEPTH_MAX 8

struct item {
    struct list link;
    char *path;
    uint32_t depth;
    bool listed; /* a folder whose content stands in front of it */
    bool busy;   /* others may still make files in it */
    bool (*remove)(void *arg, const char *name); /* not NULL: only these of what is inside */
    void *arg;
};
struct jm_sweep {
    struct list link;
    struct jm_sweeper *sweeper;
    struct list items;
    bool warned;
};

static void next(struct jm_sweep *sweep);

void jm_sweeper_init(struct jm_sweeper *s, struct env *env, const char *job, void (*idle)(void *arg),
                     void (*busy)(void *arg, const char *folder), void *arg)
{
    *s = (struct jm_sweeper){.env = env, .idle = idle, .busy = busy, .arg = arg};
    memcpy(s->job, job, ID_TEXT_MAX);
    list_init(&s->sweeps);
}

static void item_free(struct item *item)
{
    list_remove(&item->link);
    mem_free(item->path);
    mem_free(item);
}

static void sweep_free(struct jm_sweep *sweep)
{
    list_remove(&sweep->link);
    while (!list_empty(&sweep->items))
        item_free(LIST_ENTRY(sweep->items.next, struct item, link));
    mem_free(sweep);
}

void jm_sweeper_release(struct jm_sweeper *s)
{
    while (!list_empty(&s->sweeps)) {
        struct jm_sweep *sweep = LIST_ENTRY(s->sweeps.next, struct jm_sweep, link);

        s->env->fs->ops->forget(s->env->fs, sweep);
        sweep_free(sweep);
    }
}

bool jm_sweeper_is_idle(const struct jm_sweeper *s)
{
    return list_empty(&s->sweeps);
}

struct jm_sweep *jm_sweep_new(struct jm_sweeper *s)
{
    struct jm_sweep *sweep = MEM_NEW(struct jm_sweep);

    sweep->sweeper = s;
    list_init(&sweep->link);
    list_init(&sweep->items);
    return sweep;
}

static struct item *add(struct jm_sweep *sweep, char *path, uint32_t depth)
{
    struct item *item = MEM_NEW(struct item);

    item->path = path;
    item->depth = depth;
    list_push_back(&sweep->items, &item->link);
    return item;
}

void jm_sweep_add(struct jm_sweep *sweep, const char *path)
{
    add(sweep, mem_strdup(path), 0);
}

void jm_sweep_add_busy(struct jm_sweep *sweep, const char *folder)
{
    add(sweep, mem_strdup(folder), 0)->busy = true;
}

void jm_sweep_add_some(struct jm_sweep *sweep, const char *folder, bool (*remove)(void *arg, const char *name), void *arg)
{
    struct item *item = add(sweep, mem_strdup(folder), 0);

    item->remove = remove;
    item->arg = arg;
}

void jm_sweep_go(struct jm_sweep *sweep)
{
    list_push_back(&sweep->sweeper->sweeps, &sweep->link);
    next(sweep);
}

static void complain(struct jm_sweep *sweep, const struct fs_result *result)
{
    if (!sweep->warned)
        env_log(sweep->sweeper->env, LOG_WARN, "checkpoint", sweep->sweeper->job, "an old file stays: %s",
                result->err.text);
    sweep->warned = true;
}

static void on_list(void *arg, const struct fs_result *result)
{
    struct jm_sweep *sweep = arg;
    struct item *item = LIST_ENTRY(sweep->items.next, struct item, link);

    if (result->code != 0 && result->code != ERR_NOT_FOUND)
        complain(sweep, result);
    for (size_t i = result->code == 0 ? result->name_count : 0; i-- > 0;) {
        struct item *inside;

        if (item->remove && !item->remove(item->arg, result->names[i]))
            continue;
        inside = add(sweep, mem_printf("%s/%s", item->path, result->names[i]), item->depth + 1);
        list_remove(&inside->link);
        list_push_front(&sweep->items, &inside->link);
    }
    item->listed = true;
    if (result->code != 0 || item->remove)
        item_free(item);
    next(sweep);
}

static void on_unlink(void *arg, const struct fs_result *result)
{
    struct jm_sweep *sweep = arg;
    struct item *item = LIST_ENTRY(sweep->items.next, struct item, link);
    struct fs *fs = sweep->sweeper->env->fs;

    if (result->code != 0 && result->code != ERR_NOT_FOUND && !item->listed && item->depth < DEPTH_MAX) {
        fs->ops->list(fs, item->path, on_list, sweep); /* a folder that is not empty */
        return;
    }
    if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        if (item->busy && result->code == ERR_EXISTS)
            sweep->sweeper->busy(sweep->sweeper->arg, item->path);
        else
            complain(sweep, result);
    }
    item_free(item);
    next(sweep);
}

static void next(struct jm_sweep *sweep)
{
    struct jm_sweeper *sweeper = sweep->sweeper;
    struct fs *fs = sweeper->env->fs;
    struct item *item;

    if (list_empty(&sweep->items)) {
        sweep_free(sweep);
        if (jm_sweeper_is_idle(sweeper))
            sweeper->idle(sweeper->arg);
        return;
    }
    item = LIST_ENTRY(sweep->items.next, struct item, link);
    if (item->remove)
        fs->ops->list(fs, item->path, on_list, sweep);
    else
        fs->ops->unlink(fs, item->path, on_unlink, sweep);
}
