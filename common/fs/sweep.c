/* sweep.c - see sweep.h. */
#include "common/fs/sweep.h"

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
struct fs_sweep {
    struct list link;
    struct fs_sweeper *sweeper;
    struct list items;
    bool warned;
};

static void next(struct fs_sweep *sweep);

void fs_sweeper_init(struct fs_sweeper *s, struct env *env, const char *module, const char *job, void (*idle)(void *arg),
                     void (*busy)(void *arg, const char *folder), void *arg)
{
    *s = (struct fs_sweeper){.env = env, .module = module, .job = job, .idle = idle, .busy = busy, .arg = arg};
    list_init(&s->sweeps);
}

static void item_free(struct item *item)
{
    list_remove(&item->link);
    mem_free(item->path);
    mem_free(item);
}

static void sweep_free(struct fs_sweep *sweep)
{
    list_remove(&sweep->link);
    while (!list_empty(&sweep->items))
        item_free(LIST_ENTRY(sweep->items.next, struct item, link));
    mem_free(sweep);
}

void fs_sweeper_release(struct fs_sweeper *s)
{
    while (!list_empty(&s->sweeps)) {
        struct fs_sweep *sweep = LIST_ENTRY(s->sweeps.next, struct fs_sweep, link);

        s->env->fs->ops->forget(s->env->fs, sweep);
        sweep_free(sweep);
    }
}

bool fs_sweeper_is_idle(const struct fs_sweeper *s)
{
    return list_empty(&s->sweeps);
}

struct fs_sweep *fs_sweep_new(struct fs_sweeper *s)
{
    struct fs_sweep *sweep = MEM_NEW(struct fs_sweep);

    sweep->sweeper = s;
    list_init(&sweep->link);
    list_init(&sweep->items);
    return sweep;
}

static struct item *add(struct fs_sweep *sweep, char *path, uint32_t depth)
{
    struct item *item = MEM_NEW(struct item);

    item->path = path;
    item->depth = depth;
    list_push_back(&sweep->items, &item->link);
    return item;
}

void fs_sweep_add(struct fs_sweep *sweep, const char *path)
{
    add(sweep, mem_strdup(path), 0);
}

void fs_sweep_add_busy(struct fs_sweep *sweep, const char *folder)
{
    add(sweep, mem_strdup(folder), 0)->busy = true;
}

void fs_sweep_add_some(struct fs_sweep *sweep, const char *folder, bool (*remove)(void *arg, const char *name), void *arg)
{
    struct item *item = add(sweep, mem_strdup(folder), 0);

    item->remove = remove;
    item->arg = arg;
}

void fs_sweep_go(struct fs_sweep *sweep)
{
    list_push_back(&sweep->sweeper->sweeps, &sweep->link);
    next(sweep);
}

static void complain(struct fs_sweep *sweep, const struct fs_result *result)
{
    if (!sweep->warned)
        env_log(sweep->sweeper->env, LOG_WARN, sweep->sweeper->module, sweep->sweeper->job, "an old file stays: %s",
                result->err.text);
    sweep->warned = true;
}

static void on_list(void *arg, const struct fs_result *result)
{
    struct fs_sweep *sweep = arg;
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
    struct fs_sweep *sweep = arg;
    struct item *item = LIST_ENTRY(sweep->items.next, struct item, link);
    struct fs *fs = sweep->sweeper->env->fs;

    if (result->code != 0 && result->code != ERR_NOT_FOUND && !item->listed && item->depth < DEPTH_MAX) {
        if (result->code != ERR_EXISTS) /* a file, or a folder of which the rest may go */
            complain(sweep, result);
        fs->ops->list(fs, item->path, on_list, sweep);
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

static void next(struct fs_sweep *sweep)
{
    struct fs_sweeper *sweeper = sweep->sweeper;
    struct fs *fs = sweeper->env->fs;
    struct item *item;

    if (list_empty(&sweep->items)) {
        sweep_free(sweep);
        if (fs_sweeper_is_idle(sweeper) && sweeper->idle)
            sweeper->idle(sweeper->arg);
        return;
    }
    item = LIST_ENTRY(sweep->items.next, struct item, link);
    if (item->remove)
        fs->ops->list(fs, item->path, on_list, sweep);
    else
        fs->ops->unlink(fs, item->path, on_unlink, sweep);
}
