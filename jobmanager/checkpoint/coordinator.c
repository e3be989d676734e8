/* coordinator.c - when checkpoints begin, and what comes of them until all workers have
 * acknowledged. See coordinator.h. Pure; thread: the control loop. */
#include "jobmanager/checkpoint/coordinator.h"

#include <string.h>

#include "common/base/check.h"
#include "jobmanager/checkpoint/coordinator_private.h"

#define NOT_READY_MS 100 /* until tasks are asked again whether they run */
#define WISHES_MAX   64

static void on_timer(struct env_timer *timer);
static void on_timeout(struct env_timer *timer);
static void on_made(void *arg, const struct fs_result *result);

void jm_ck_changed(struct jm_ckpt *c)
{
    c->dirty = true;
    c->options.hooks->changed(c->options.arg);
}

/* ---- settings ---- */

int jm_ckpt_path(const char *text, char **ret, struct err *err)
{
    const char *path = text;
    size_t len;

    if (strncmp(path, "file:", 5) == 0) {
        path += 5;
        if (strncmp(path, "///", 3) == 0)
            path += 2;
    } else if (strstr(path, "://")) {
        return err_set(err, ERR_UNSUPPORTED, "\"%s\": only folders of the file system (/..., file:///...) can be used", text);
    }
    if (path[0] != '/' || path[1] == '/')
        return err_set(err, ERR_INVALID, "\"%s\" is no absolute path: /folder or file:///folder is right", text);
    len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    *ret = mem_printf("%.*s", (int)len, path);
    return 0;
}

static void read_settings(struct jm_ckpt *c, const struct conf *conf)
{
    const char *retention = conf_string(conf, OPT_EXECUTION_CHECKPOINTING_EXTERNALIZED_CHECKPOINT_RETENTION);
    struct jm_ckpt_settings *s = &c->settings;

    s->enabled = conf_is_set(conf, OPT_EXECUTION_CHECKPOINTING_INTERVAL);
    s->interval_ms = s->enabled ? conf_duration_ms(conf, OPT_EXECUTION_CHECKPOINTING_INTERVAL) : 0;
    s->exactly_once = strcmp(conf_string(conf, OPT_EXECUTION_CHECKPOINTING_MODE), "EXACTLY_ONCE") == 0;
    s->timeout_ms = conf_duration_ms(conf, OPT_EXECUTION_CHECKPOINTING_TIMEOUT);
    s->min_pause_ms = conf_duration_ms(conf, OPT_EXECUTION_CHECKPOINTING_MIN_PAUSE);
    s->max_concurrent = s->min_pause_ms > 0
                            ? 1
                            : (uint32_t)conf_int(conf, OPT_EXECUTION_CHECKPOINTING_MAX_CONCURRENT_CHECKPOINTS);
    s->tolerable = (uint64_t)conf_int(conf, OPT_EXECUTION_CHECKPOINTING_TOLERABLE_FAILED_CHECKPOINTS);
    s->unaligned = conf_unaligned(conf);
    s->aligned_timeout_ms = conf_duration_ms(conf, OPT_EXECUTION_CHECKPOINTING_ALIGNED_CHECKPOINT_TIMEOUT);
    if (!conf_is_set(conf, OPT_EXECUTION_CHECKPOINTING_ALIGNED_CHECKPOINT_TIMEOUT))
        s->aligned_timeout_ms = conf_duration_ms(conf, OPT_EXECUTION_CHECKPOINTING_ALIGNMENT_TIMEOUT);
    s->after_finish = true;
    c->keep_canceled = strcmp(retention, "RETAIN_ON_CANCELLATION") == 0;
    c->keep_failed = strcmp(retention, "NO_EXTERNALIZED_CHECKPOINTS") != 0;
    s->externalized = c->keep_failed;
    s->delete_on_cancellation = !c->keep_canceled;
    c->incremental = conf_bool(conf, OPT_EXECUTION_CHECKPOINTING_INCREMENTAL);
    c->retained = (uint32_t)conf_int(conf, OPT_EXECUTION_CHECKPOINTING_NUM_RETAINED);
}

/* Without alignment rows that were processed would be replayed; two sets of rows in flight cannot be told apart. */
static int check_settings(const struct jm_ckpt_settings *s, struct err *err)
{
    const char *key = conf_option(OPT_EXECUTION_CHECKPOINTING_UNALIGNED_ENABLED)->key;

    if (s->unaligned && !s->exactly_once)
        return err_set(err, ERR_INVALID, "%s needs execution.checkpointing.mode EXACTLY_ONCE: with AT_LEAST_ONCE barriers wait "
                       "for nobody anyway", key);
    if (s->unaligned && s->max_concurrent > 1)
        return err_set(err, ERR_INVALID, "%s needs execution.checkpointing.max-concurrent-checkpoints 1, and it is %u", key,
                       s->max_concurrent);
    return 0;
}

static int read_folders(struct jm_ckpt *c, const struct conf *conf, struct err *err)
{
    const char *dir = conf_string(conf, OPT_EXECUTION_CHECKPOINTING_DIR);
    const char *savepoints = conf_string(conf, OPT_EXECUTION_CHECKPOINTING_SAVEPOINT_DIR);
    char *base = NULL;
    int code = jm_ckpt_path(dir ? dir : c->options.default_dir, &base, err);

    if (code < 0)
        return err_wrap(err, "execution.checkpointing.dir");
    c->dir = mem_printf("%s/%s", base, c->job);
    c->shared_dir = mem_printf("%s/shared", c->dir);
    mem_free(base);
    if (savepoints && jm_ckpt_path(savepoints, &c->savepoint_dir, err) < 0)
        return err_wrap(err, "execution.checkpointing.savepoint-dir");
    return 0;
}

static void on_sweeps_done(void *arg)
{
    struct jm_ckpt *c = arg;

    c->options.hooks->idle(c->options.arg);
}

int jm_ckpt_new(const struct jm_ckpt_options *options, struct jm_ckpt **ret, struct err *err)
{
    struct jm_ckpt *c = MEM_NEW(struct jm_ckpt);

    c->options = *options;
    c->env = options->env;
    id_format(&options->job_id, c->job);
    read_settings(c, options->conf);
    c->timer.cb = on_timer;
    list_init(&c->pendings);
    list_init(&c->ghosts);
    list_init(&c->leftovers);
    list_init(&c->completes);
    list_init(&c->wishes);
    c->refs = map_new();
    fs_sweeper_init(&c->sweeper, c->env, CK_MODULE, c->job, on_sweeps_done, jm_ck_left_busy, c);
    if (check_settings(&c->settings, err) < 0 || read_folders(c, options->conf, err) < 0 || jm_ck_load_start(c, err) < 0) {
        jm_ckpt_free(c);
        return err->code;
    }
    *ret = c;
    return 0;
}

static void wish_end(struct wish *w, const struct err *error)
{
    list_remove(&w->link);
    if (error && w->done)
        w->done(w->arg, error, 0, NULL);
    mem_free(w->dir);
    mem_free(w);
}

static void drop_wishes(struct jm_ckpt *c, const char *why)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, "%s", why);
    while (!list_empty(&c->wishes))
        wish_end(LIST_ENTRY(c->wishes.next, struct wish, link), &err);
}

void jm_ckpt_free(struct jm_ckpt *c)
{
    struct err err;

    if (!c)
        return;
    err_set(&err, ERR_CLOSED, "the job is over");
    env_timer_cancel(c->env, &c->timer);
    drop_wishes(c, "the job is over");
    while (!list_empty(&c->pendings)) {
        struct pending *p = LIST_ENTRY(c->pendings.next, struct pending, link);

        if (p->done)
            p->done(p->arg, &err, p->id, NULL);
        jm_ck_pending_free(p);
    }
    while (!list_empty(&c->ghosts))
        jm_ck_pending_free(LIST_ENTRY(c->ghosts.next, struct pending, link));
    while (!list_empty(&c->leftovers))
        jm_ck_leftover_free(LIST_ENTRY(c->leftovers.next, struct leftover, link));
    while (!list_empty(&c->completes))
        jm_ck_complete_free(LIST_ENTRY(c->completes.next, struct complete, link));
    fs_sweeper_release(&c->sweeper);
    jm_ckpt_book_release(&c->book);
    jm_ckpt_stats_unref(c->picture);
    map_free(c->refs);
    mem_free(c->dir);
    mem_free(c->shared_dir);
    mem_free(c->savepoint_dir);
    if (c->loading)
        c->env->fs->ops->forget(c->env->fs, c);
    ckpt_meta_free(c->loaded);
    mem_free(c->load_path);
    mem_free(c->claimed);
    mem_free(c->other);
    mem_free(c);
}

struct jm_ckpt_stats *jm_ckpt_picture(struct jm_ckpt *c)
{
    if (!c->picture || c->dirty) {
        jm_ckpt_stats_unref(c->picture);
        c->picture = jm_ckpt_book_picture(&c->book);
        c->picture->settings = c->settings;
        c->dirty = false;
    }
    return jm_ckpt_stats_ref(c->picture);
}

/* ---- when ---- */

static uint32_t pending_checkpoints(const struct jm_ckpt *c)
{
    uint32_t n = 0;

    LIST_FOREACH (at, &c->pendings)
        n += !jm_ckpt_is_savepoint(LIST_ENTRY(at, struct pending, link)->entry->kind);
    return n;
}

/*
 * The next one, of any kind, has to wait for one that is under way; what becomes of that makes the turn.  Barriers leave
 * the sources in the order of their numbers: one that is not triggered yet goes first.  A barrier that overtakes rows would
 * overtake older barriers, too.
 */
static bool must_wait(const struct jm_ckpt *c)
{
    LIST_FOREACH (at, &c->pendings)
        if (c->settings.unaligned || LIST_ENTRY(at, struct pending, link)->state == PENDING_PREPARING)
            return true;
    return jm_ckpt_is_stopping(c);
}

/* Nanoseconds until the next one may begin on its own; UINT64_MAX: not by time. */
static uint64_t next_in_ns(const struct jm_ckpt *c)
{
    uint64_t now = env_now_ns(c->env), at = c->last_begun_ns + env_ms_to_ns(c->settings.interval_ms);

    if (pending_checkpoints(c) >= c->settings.max_concurrent || must_wait(c))
        return UINT64_MAX; /* its end makes the turn */
    if (c->wanted)
        return 0;
    if (!c->settings.enabled)
        return UINT64_MAX;
    if (c->last_end_ns)
        at = MAX(at, c->last_end_ns + env_ms_to_ns(c->settings.min_pause_ms));
    return at > now ? at - now : 0;
}

bool jm_ck_stops(Rask__Control__CheckpointKind kind)
{
    return kind == KIND(SAVEPOINT_SUSPEND) || kind == KIND(SAVEPOINT_TERMINATE);
}

/* The first wish may begin. One that stops the job is the last: it waits for all others. */
static bool wish_may_begin(const struct jm_ckpt *c)
{
    return !list_empty(&c->wishes) && !must_wait(c) &&
           (!jm_ck_stops(LIST_ENTRY(c->wishes.next, struct wish, link)->kind) || list_empty(&c->pendings));
}

bool jm_ckpt_is_stopping(const struct jm_ckpt *c)
{
    LIST_FOREACH (at, &c->pendings)
        if (jm_ck_stops(LIST_ENTRY(at, struct pending, link)->entry->kind))
            return true;
    return false;
}

void jm_ck_turn_soon(struct jm_ckpt *c)
{
    uint64_t in_ns = list_empty(&c->wishes) ? next_in_ns(c) : wish_may_begin(c) ? 0 : UINT64_MAX;

    env_timer_cancel(c->env, &c->timer);
    if (c->running && in_ns != UINT64_MAX)
        env_timer_arm(c->env, &c->timer, in_ns);
}

void jm_ckpt_epoch_begin(struct jm_ckpt *c)
{
    c->running = true;
    c->wanted = false;
    c->last_begun_ns = env_now_ns(c->env); /* the first one comes after an interval */
    jm_ck_turn_soon(c);
}

void jm_ckpt_epoch_end(struct jm_ckpt *c, const char *why)
{
    c->running = false;
    env_timer_cancel(c->env, &c->timer);
    drop_wishes(c, why);
    LIST_FOREACH_SAFE (at, &c->pendings) {
        struct pending *p = LIST_ENTRY(at, struct pending, link);

        if (p->state != PENDING_WRITING)
            jm_ck_pending_fail(p, false, false, ERR_UNAVAILABLE, why);
    }
}

void jm_ckpt_interrupt(struct jm_ckpt *c, const char *why)
{
    LIST_FOREACH_SAFE (at, &c->pendings) {
        struct pending *p = LIST_ENTRY(at, struct pending, link);

        if (p->state != PENDING_WRITING)
            jm_ck_pending_fail(p, p->state == PENDING_COLLECTING, false, ERR_UNAVAILABLE, why);
    }
}

bool jm_ckpt_is_writing(const struct jm_ckpt *c)
{
    LIST_FOREACH (at, &c->pendings)
        if (LIST_ENTRY(at, struct pending, link)->state == PENDING_WRITING)
            return true;
    return false;
}

bool jm_ckpt_is_busy(const struct jm_ckpt *c)
{
    return !list_empty(&c->pendings) || !list_empty(&c->ghosts) || !fs_sweeper_is_idle(&c->sweeper) || c->loading;
}

bool jm_ckpt_is_loading(const struct jm_ckpt *c)
{
    return c->loading;
}

void jm_ckpt_wanted(struct jm_ckpt *c)
{
    c->wanted = true;
    jm_ck_turn_soon(c);
}

/* ---- begin ---- */

void jm_ck_pending_free(struct pending *p)
{
    list_remove(&p->link);
    env_timer_cancel(p->c->env, &p->timeout);
    env_timer_cancel(p->c->env, &p->again);
    p->c->env->fs->ops->forget(p->c->env->fs, p);
    jm_ckpt_entry_unref(p->entry);
    ckpt_meta_free(p->meta);
    bytes_release(&p->packed);
    mem_free(p->acked_set);
    mem_free(p->dir);
    mem_free(p);
}

/* Nobody waits for it any more. A folder of it that is still being made is removed once it is there. */
static void bury(struct pending *p)
{
    if (!p->making) {
        jm_ck_pending_free(p);
        return;
    }
    p->state = PENDING_GIVEN_UP;
    env_timer_cancel(p->c->env, &p->timeout);
    list_remove(&p->link);
    list_push_back(&p->c->ghosts, &p->link);
}

static const char *kind_name(Rask__Control__CheckpointKind kind)
{
    return jm_ckpt_is_savepoint(kind) ? "savepoint" : "checkpoint";
}

void jm_ck_pending_fail(struct pending *p, bool tell, bool counts, int code, const char *text)
{
    struct jm_ckpt *c = p->c;
    struct jm_ckpt_entry *e = p->entry;
    struct err err;

    env_log(c->env, LOG_WARN, CK_MODULE, c->job, "%s %llu failed: %s", kind_name(e->kind), (unsigned long long)p->id,
            text);
    e->status = JM_CKPT_FAILED;
    e->failure = mem_strdup(text);
    e->end_ms = env_wall_ms(c->env);
    jm_ckpt_book_end(&c->book, e);
    c->last_end_ns = env_now_ns(c->env);
    c->strays = true;
    c->made = 0; /* somebody may have removed it */
    c->full_next = c->full_next || code == ERR_NOT_FOUND || code == ERR_IO;
    if (tell)
        c->options.hooks->abort(c->options.arg, p->id, text);
    if (p->done) {
        err_set(&err, code, "%s", text);
        p->done(p->arg, &err, p->id, NULL);
    }
    if (!p->making && (p->state != PENDING_PREPARING || !jm_ckpt_is_savepoint(e->kind)))
        jm_ck_sweep_pending(p);
    counts = counts && !jm_ckpt_is_savepoint(e->kind);
    if (e->kind == KIND(SAVEPOINT_TERMINATE) && p->state != PENDING_PREPARING && c->running) {
        bury(p); /* its sources have ended: only a restart brings them back */
        jm_ck_changed(c);
        c->options.hooks->fail(c->options.arg, ERR_IO, text);
        return;
    }
    bury(p);
    jm_ck_changed(c);
    if (counts && ++c->failed_in_row > c->settings.tolerable && c->running) {
        char *why = mem_printf("checkpoint failed, and execution.checkpointing.tolerable-failed-checkpoints is %llu: %s",
                               (unsigned long long)c->settings.tolerable, text);

        c->options.hooks->fail(c->options.arg, ERR_IO, why);
        mem_free(why);
    }
    jm_ck_turn_soon(c);
    c->options.hooks->idle(c->options.arg);
}

static void send_trigger(struct pending *p)
{
    struct jm_ckpt *c = p->c;
    Rask__Control__TriggerCheckpoint msg = RASK__CONTROL__TRIGGER_CHECKPOINT__INIT;
    struct err err = {0};

    if (!c->running || c->options.hooks->ready(c->options.arg, &err) < 0) {
        jm_ck_pending_fail(p, false, false, ERR_UNAVAILABLE, c->running ? err.text : "the job does not run");
        return;
    }
    msg.checkpoint = p->id;
    msg.kind = p->entry->kind;
    msg.dir = p->dir;
    msg.shared_dir = jm_ckpt_is_savepoint(p->entry->kind) ? NULL : c->shared_dir;
    msg.trigger_ms = p->entry->trigger_ms;
    msg.has_full = true;
    msg.full = p->entry->full;
    msg.has_unaligned = msg.has_aligned_timeout_ms = 1;
    msg.unaligned = c->settings.unaligned && p->entry->kind == KIND(CHECKPOINT);
    msg.aligned_timeout_ms = c->settings.aligned_timeout_ms;
    p->state = PENDING_COLLECTING;
    p->workers = c->options.hooks->trigger(c->options.arg, &msg);
    p->acked_set = mem_alloc_array(p->workers / 64 + 1, sizeof(uint64_t));
    if (p->workers == 0)
        jm_ck_pending_fail(p, false, false, ERR_UNAVAILABLE, "no worker could be told");
    else
        jm_ck_turn_soon(c);
}

static void end_ghost(struct pending *p, bool is_made)
{
    struct jm_ckpt *c = p->c;

    if (is_made || !jm_ckpt_is_savepoint(p->entry->kind))
        jm_ck_sweep_pending(p);
    jm_ck_pending_free(p);
    if (c->over && list_empty(&c->ghosts))
        jm_ckpt_job_over(c, c->over_in);
    c->options.hooks->idle(c->options.arg);
}

static void on_marked(void *arg, const struct fs_result *result)
{
    ((struct pending *)arg)->c->marked = result->code == 0;
    on_made(arg, result);
}

/* What is in it is written once: at no time later is it less than whole. */
static void on_mark_opened(void *arg, const struct fs_result *result)
{
    struct pending *p = arg;
    struct fs *fs = p->c->env->fs;
    char *text;

    if (result->code < 0 || p->c->marked) {
        on_made(arg, result);
        return;
    }
    text = jm_ck_mark_text(p->c);
    fs->ops->append(fs, result->file, text, strlen(text), on_marked, p);
    fs->ops->close(fs, result->file);
    mem_free(text);
}

static void make_common(struct pending *p)
{
    struct jm_ckpt *c = p->c;
    struct fs *fs = c->env->fs;
    char *mark;

    if (c->made++ == 0) {
        fs->ops->mkdirs(fs, c->shared_dir, on_made, p);
        return;
    }
    mark = jm_ck_running_mark(c);
    fs->ops->open(fs, mark, c->marked ? FS_APPEND : FS_CREATE, on_mark_opened, p);
    mem_free(mark);
}

/* A folder of it, or the mark, is there. */
static void on_made(void *arg, const struct fs_result *result)
{
    struct pending *p = arg;
    struct jm_ckpt *c = p->c;
    char *text;

    p->making = false;
    if (result->file)
        c->env->fs->ops->close(c->env->fs, result->file);
    if (p->state == PENDING_GIVEN_UP) {
        end_ghost(p, result->code == 0);
        return;
    }
    if (result->code < 0) {
        c->made = 0;
        text = mem_printf("its folder could not be made: %s", result->err.text);
        jm_ck_pending_fail(p, false, true, result->code, text);
        mem_free(text);
        return;
    }
    if (c->made < 2 && !jm_ckpt_is_savepoint(p->entry->kind)) {
        p->making = true;
        make_common(p);
        return;
    }
    send_trigger(p);
}

static void begin(struct jm_ckpt *c, struct wish *wish)
{
    Rask__Control__CheckpointKind kind = wish ? wish->kind : KIND(CHECKPOINT);
    struct pending *p = MEM_NEW(struct pending);

    p->c = c;
    p->id = ++c->counter;
    p->state = PENDING_PREPARING;
    p->begun_ns = env_now_ns(c->env);
    p->meta = ckpt_meta_new();
    bytes_init(&p->packed);
    p->timeout.cb = on_timeout;
    p->dir = wish && wish->dir ? mem_strdup(wish->dir)
                               : mem_printf("%s/chk-%llu", c->dir, (unsigned long long)p->id);
    p->entry = jm_ckpt_entry_new(c->options.graph, p->id, kind);
    p->entry->trigger_ms = env_wall_ms(c->env);
    p->entry->full = (wish && wish->full) || c->full_next || !c->incremental;
    if (wish) {
        p->done = wish->done;
        p->arg = wish->arg;
    }
    list_push_back(&c->pendings, &p->link);
    jm_ckpt_book_begin(&c->book, p->entry);
    if (!jm_ckpt_is_savepoint(kind)) {
        c->last_begun_ns = p->begun_ns;
        c->wanted = false;
    }
    env_timer_arm_ms(c->env, &p->timeout, c->settings.timeout_ms);
    p->making = true;
    c->env->fs->ops->mkdirs(c->env->fs, p->dir, on_made, p);
    jm_ck_changed(c);
}

static void on_timer(struct env_timer *timer)
{
    struct jm_ckpt *c = CONTAINER_OF(timer, struct jm_ckpt, timer);
    struct err err = {0};

    if (c->options.hooks->ready(c->options.arg, &err) < 0) {
        env_timer_arm_ms(c->env, timer, NOT_READY_MS);
        return;
    }
    if (wish_may_begin(c)) {
        struct wish *w = LIST_ENTRY(c->wishes.next, struct wish, link);

        begin(c, w);
        wish_end(w, NULL);
    } else if (list_empty(&c->wishes) && next_in_ns(c) == 0) {
        begin(c, NULL);
    }
    jm_ck_turn_soon(c);
}

/* ---- asked for ---- */

static int savepoint_folder(struct jm_ckpt *c, const char *target, char **ret, struct err *err)
{
    char *base = NULL;
    int code = 0;

    if (target)
        code = jm_ckpt_path(target, &base, err);
    else if (c->savepoint_dir)
        base = mem_strdup(c->savepoint_dir);
    else
        code = err_set(err, ERR_INVALID,
                       "no folder for the savepoint is given, and execution.checkpointing.savepoint-dir is not set");
    if (code == 0) {
        struct id random = env_rand_id(c->env);
        char text[ID_TEXT_MAX];

        *ret = mem_printf("%s/savepoint-%.6s-%.12s", base, c->job, id_format(&random, text));
    }
    mem_free(base);
    return code;
}

int jm_ckpt_request(struct jm_ckpt *c, Rask__Control__CheckpointKind kind, bool full, const char *target,
                    jm_ckpt_done *done, void *arg, struct err *err)
{
    struct wish *w;
    char *dir = NULL;
    uint32_t waiting = 0;
    int code = 0;

    LIST_FOREACH (at, &c->wishes)
        waiting++;
    if (!c->running)
        return err_set(err, ERR_STATE, "the job does not run now: ask again when it does");
    if (jm_ckpt_is_stopping(c))
        return err_set(err, ERR_STATE, "the job is being stopped with a savepoint");
    if (waiting >= WISHES_MAX)
        return err_set(err, ERR_LIMIT, "%d checkpoints have been asked for and not begun", WISHES_MAX);
    if (jm_ckpt_is_savepoint(kind))
        code = savepoint_folder(c, target, &dir, err);
    if (code < 0)
        return code;
    w = MEM_NEW(struct wish);
    *w = (struct wish){.kind = kind, .full = full || jm_ckpt_is_savepoint(kind), .dir = dir, .done = done, .arg = arg};
    list_push_back(&c->wishes, &w->link);
    jm_ck_turn_soon(c);
    return 0;
}

/* ---- collect ---- */

static struct pending *find(struct jm_ckpt *c, uint64_t id)
{
    LIST_FOREACH (at, &c->pendings) {
        struct pending *p = LIST_ENTRY(at, struct pending, link);

        if (p->id == id)
            return p;
    }
    return NULL;
}

static int merge(struct pending *p, const Rask__Control__AckCheckpoint *msg, struct err *err)
{
    struct ckpt_meta *part;
    int code;

    if (!msg->has_meta)
        return 0;
    code = ckpt_meta_unpack(msg->meta.data, msg->meta.len, "an acknowledgement", &part, err);
    if (code < 0)
        return code;
    code = ckpt_meta_merge(p->meta, part, err);
    ckpt_meta_free(part);
    return code;
}

void jm_ckpt_ack(struct jm_ckpt *c, uint32_t worker, const Rask__Control__AckCheckpoint *msg)
{
    struct pending *p = find(c, msg->checkpoint);
    struct err err = {0};
    int code = 0;

    if (!p || p->state != PENDING_COLLECTING || worker >= p->workers ||
        (p->acked_set[worker / 64] >> worker % 64 & 1))
        return; /* given up meanwhile, or repeated */
    p->acked_set[worker / 64] |= 1ull << worker % 64;
    if (msg->error)
        code = err_set(&err, msg->has_code ? msg->code : ERR_IO, "%s", msg->error);
    for (size_t i = 0; i < msg->n_subtasks && code == 0; i++)
        if (!jm_ckpt_entry_ack(p->entry, msg->subtasks[i]))
            code = err_set(&err, ERR_PROTOCOL, "worker %u acknowledged subtask %u of vertex %u twice, or there is none",
                           worker, msg->subtasks[i]->subtask, msg->subtasks[i]->vertex);
    if (code == 0)
        code = merge(p, msg, &err);
    if (code < 0) {
        jm_ck_pending_fail(p, true, true, code, err.text);
        return;
    }
    p->acked++;
    env_log(c->env, LOG_DEBUG, CK_MODULE, c->job, "checkpoint %llu: worker %u has acknowledged, %u of %u", (unsigned long long)p->id, worker,
            p->acked, p->workers);
    if (p->acked == p->workers)
        jm_ck_finish(p);
    jm_ck_changed(c);
}

/* ---- too late ---- */

/* The workers that have not answered say where it hangs; the sentence is completed in jm_ckpt_late. */
static void on_timeout(struct env_timer *timer)
{
    struct pending *p = CONTAINER_OF(timer, struct pending, timeout);
    struct jm_ckpt *c = p->c;
    char *text;

    if (p->state == PENDING_WRITING) /* its name may be there at any moment */
        return;
    text = mem_printf("it expired after %.10g s (execution.checkpointing.timeout): %s, %u of %u workers had acknowledged",
                      (double)c->settings.timeout_ms / 1000,
                      p->state == PENDING_PREPARING ? "its folder was not made" : "it was under way", p->acked,
                      p->workers);
    p->entry->expired = true;
    jm_ck_pending_fail(p, true, true, ERR_TIMEOUT, text);
    mem_free(text);
}

void jm_ckpt_late(struct jm_ckpt *c, const Rask__Control__AbortCheckpointOk *msg)
{
    for (uint32_t i = 0; i < c->book.history_count; i++) {
        struct jm_ckpt_entry *e = c->book.history[i];
        const Rask__Control__SubtaskPhase *late = msg->n_late > 0 ? msg->late[0] : NULL;
        const Rask__Graph__JobVertex *v;
        char *text;

        if (e->id != msg->checkpoint || !e->expired || !late || late->vertex >= e->vertex_count)
            continue;
        v = c->options.graph->vertices[late->vertex];
        text = mem_printf("\"%s\" (%u/%u) %s", v->name, late->subtask + 1, v->parallelism, late->phase);
        env_log(c->env, LOG_WARN, CK_MODULE, c->job, "checkpoint %llu: %s", (unsigned long long)e->id, text);
        jm_ckpt_book_explain(&c->book, i, text);
        mem_free(text);
        jm_ck_changed(c);
    }
}
