/* test_checkpoints.c - the checkpoint coordinator between workers that do as a test says. */
#include "test/unit/jobmanager/world.h"

static struct world *world_with_interval(const char *interval)
{
    struct world *w = world_with(1, 1);

    world_set(w, "execution.checkpointing.interval", interval);
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    return w;
}

struct look { /* at a folder of the JobManager's disk */
    bool done;
    int code;
    size_t names;
};
static void looked(void *arg, const struct fs_result *result)
{
    struct look *l = arg;

    l->done = true;
    l->code = result->code;
    l->names = result->name_count;
}
/* At the job's checkpoints; folder: inside, or "". */
static struct look look_at(struct world *w, const char *folder, void (*call)(struct fs *fs, const char *path, fs_cb *cb, void *arg))
{
    struct look l = {0};
    char path[300], id[ID_TEXT_MAX];
    struct id job = id_from_u64(0x10b, 1);

    snprintf(path, sizeof(path), "/ckpt/%s%s%s", id_format(&job, id), *folder ? "/" : "", folder);
    call(w->jm->env->fs, path, looked, &l);
    world_run_ms(w, 50);
    assert_true(l.done);
    return l;
}

static size_t names_in(struct world *w, const char *folder)
{
    struct look l = look_at(w, folder, w->jm->env->fs->ops->list);

    return l.code == 0 ? l.names : 0;
}

/* The folder, empty or not. */
static bool is_there(struct world *w, const char *folder)
{
    return look_at(w, folder, w->jm->env->fs->ops->stat).code == 0;
}

static void checkpoints_come_at_the_interval(void **state)
{
    struct world *w = world_with_interval("1s");
    struct fake_worker *worker = world_worker(w, 0, 1);
    struct jm_ckpt_stats *s;

    (void)state;
    world_run_ms(w, 800);
    assert_int_equal(worker->triggers, 0);
    world_run_ms(w, 400);
    assert_int_equal(worker->triggers, 1);
    assert_int_equal(worker->completes, 1);
    world_run_ms(w, 2000);
    assert_int_equal(worker->completes, 3);
    s = jm_ckpt_picture(world_ckpt(w));
    assert_int_equal(s->completed, 3);
    assert_int_equal(s->failed, 0);
    assert_int_equal(s->history_count, 3);
    assert_int_equal(s->history[0]->id, 3);
    assert_int_equal(s->latest_completed->id, 3);
    assert_int_equal(s->history[0]->acked, 2);
    assert_int_equal(s->summary[JM_CKPT_CHECKPOINTED].max, 300);
    jm_ckpt_stats_unref(s);
    assert_int_equal(names_in(w, ""), 3); /* shared, the one that is retained, and the mark that the job runs */
    assert_int_equal(names_in(w, "chk-3"), 1);
    world_free(w);
}

static void a_lost_worker_begins_at_the_last_one(void **state)
{
    struct world *w = world_with_interval("1s");

    (void)state;
    w->manners.finished = true;
    world_run_ms(w, 2500);
    assert_int_equal(world_worker(w, 0, 1)->last_checkpoint, 2);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 100);
    assert_int_equal(world_worker(w, 0, 1)->epoch, 2);
    assert_int_equal(world_worker(w, 0, 1)->restored, 2);
    assert_int_equal(world_worker(w, 0, 1)->finished_vertices, 3);
    world_run_ms(w, 1200);
    assert_int_equal(world_worker(w, 0, 1)->last_checkpoint, 3);
    world_free(w);
}

static void a_declined_one_fails_the_job_unless_tolerated(void **state)
{
    struct world *w = world_with_interval("1s");
    struct jm_job_snapshot *job;

    (void)state;
    w->manners.decline = true;
    world_run_ms(w, 1200);
    job = world_job(w, 1);
    assert_int_equal(job->restarts, 0);
    assert_int_equal(job->state, JM_JOB_RESTARTING);
    assert_non_null(strstr(job->failures[0].text, "tolerable-failed-checkpoints is 0: no space left"));
    jm_job_snapshot_unref(job);
    w->manners.decline = false;
    world_run_ms(w, 3000);
    assert_state(w, 1, RUNNING);
    assert_true(world_worker(w, 0, 1)->completes > 0);
    world_free(w);
}

static void tolerated_failures_leave_the_job_alone(void **state)
{
    struct world *w = world_with(1, 1);
    struct fake_worker *worker;

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "2");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    worker = world_worker(w, 0, 1);
    w->manners.decline = true;
    world_run_ms(w, 2200);
    assert_int_equal(worker->aborts, 2);
    w->manners.decline = false;
    world_run_ms(w, 1000);
    assert_int_equal(worker->completes, 1);
    w->manners.decline = true;
    world_run_ms(w, 2000);
    assert_state(w, 1, RUNNING);
    world_run_ms(w, 1000);
    assert_state(w, 1, RESTARTING);
    world_free(w);
}

static void who_holds_it_up_is_told(void **state)
{
    struct world *w = world_with(1, 1);
    struct jm_ckpt_stats *s;

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.timeout", "500ms");
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "9");
    world_submit(w, 1, 1);
    w->manners.no_ack = true;
    world_run_ms(w, 1900);
    s = jm_ckpt_picture(world_ckpt(w));
    assert_int_equal(s->failed, 1);
    assert_non_null(strstr(s->history[0]->failure, "it expired after 0.5 s"));
    assert_non_null(strstr(s->history[0]->failure, "(1/1) had not got a barrier"));
    assert_string_equal(s->latest_failed->failure, s->history[0]->failure);
    jm_ckpt_stats_unref(s);
    w->manners.no_ack = false;
    world_run_ms(w, 1000);
    assert_int_equal(world_worker(w, 0, 1)->completes, 1);
    world_free(w);
}

static void a_full_disk_fails_the_checkpoint_only(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "9");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    sim_disk_capacity(w->jm_node, 1);
    world_run_ms(w, 1100);
    assert_int_equal(world_worker(w, 0, 1)->completes, 0);
    assert_state(w, 1, RUNNING);
    sim_disk_capacity(w->jm_node, 0);
    world_run_ms(w, 1000);
    assert_int_equal(world_worker(w, 0, 1)->completes, 1);
    world_free(w);
}

struct asked {
    bool done;
    int code;
    char path[300];
};
static void asked_done(void *arg, const struct err *error, uint64_t checkpoint, const char *path)
{
    struct asked *a = arg;

    (void)checkpoint;
    a->done = true;
    a->code = error ? error->code : 0;
    snprintf(a->path, sizeof(a->path), "%s", path ? path : "");
}

static void a_savepoint_has_a_folder_of_its_own(void **state)
{
    struct world *w = world_with(1, 1);
    struct asked a = {0};
    struct err err = {0};

    (void)state;
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    assert_int_equal(jm_ckpt_request(world_ckpt(w), RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, false, NULL, asked_done, &a, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "execution.checkpointing.savepoint-dir"));
    assert_int_equal(jm_ckpt_request(world_ckpt(w), RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, false, "file:///save", asked_done,
                                     &a, &err), 0);
    world_run_ms(w, 100);
    assert_true(a.done);
    assert_int_equal(a.code, 0);
    assert_int_equal(strncmp(a.path, "/save/savepoint-", 16), 0);
    assert_int_equal(jm_ckpt_request(world_ckpt(w), RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, false, "s3://bucket", asked_done,
                                     &a, &err), ERR_UNSUPPORTED);
    world_free(w);
}

/* The worker dies between the savepoint and the end of its tasks: the job starts again, and who waits for its end is told. */
static void a_stop_that_a_failure_undoes_says_so(void **state)
{
    struct world *w = world_with_interval("1s");
    struct jm_command stop = {.type = JM_CHECKPOINT,
                              .job_id = id_from_u64(0x10b, 1),
                              .kind = RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT_SUSPEND,
                              .target = "file:///save"};
    struct look save = {0};
    struct jm_command look = {.type = JM_OPERATION, .job_id = id_from_u64(0x10b, 1)};

    (void)state;
    world_run_ms(w, 1200);
    assert_int_equal(world_do(w, &stop), 0);
    look.trigger = stop.trigger;
    world_run_ms(w, 100);
    assert_int_equal(world_do(w, &look), 0);
    assert_false(look.ended); /* the savepoint is there, and the tasks of this world run on */
    assert_int_equal(strncmp((const char *)look.result.data, "/save/savepoint-", 16), 0);
    bytes_release(&look.result);
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 100);
    assert_state(w, 1, RUNNING);
    assert_int_equal(world_worker(w, 0, 1)->restored, 2); /* sinks may have committed what is in it */
    assert_int_equal(world_do(w, &look), 0);
    assert_true(look.ended);
    assert_int_equal(look.operation_err.code, ERR_STATE);
    assert_non_null(strstr(look.operation_err.text, "is complete, but the job failed before it had stopped"));
    assert_int_equal(strncmp((const char *)look.result.data, "/save/savepoint-", 16), 0);
    bytes_release(&look.result);
    world_run_ms(w, 2500);
    assert_int_equal(world_worker(w, 0, 1)->last_checkpoint, 4);
    assert_int_equal(names_in(w, ""), 3); /* shared, the newest checkpoint, and the mark that the job runs */
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 1800); /* the second restart waits */
    assert_int_equal(world_worker(w, 0, 1)->restored, 4);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 200);
    w->jm->env->fs->ops->list(w->jm->env->fs, "/save", looked, &save);
    world_run_ms(w, 50);
    assert_int_equal(save.names, 1); /* it is the user's */
    world_free(w);
}

static void what_is_over_leaves_nothing(void **state)
{
    struct world *w = world_with_interval("1s");

    (void)state;
    world_run_ms(w, 2500);
    assert_int_not_equal(names_in(w, ""), 0);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 200);
    assert_state(w, 1, CANCELED);
    assert_int_equal(names_in(w, ""), 0);
    assert_all_free(w, 1);
    world_free(w);
}

static void what_is_retained_stays(void **state)
{
    struct world *w = world_with(1, 1);

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.num-retained", "3");
    world_set(w, "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    world_submit(w, 1, 1);
    world_run_ms(w, 5500);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 200);
    assert_state(w, 1, CANCELED);
    assert_int_equal(names_in(w, ""), 4);
    world_free(w);
}

/* ---- workers that have not heard yet that a checkpoint was given up ---- */

struct scribbler {
    struct world *w;
    char folder[300];
    int written;
    uint64_t until_ns;
};
static void each_is_complete_in_itself_if_so_wished(void **state)
{
    (void)state;
    for (int incremental = 0; incremental < 2; incremental++) {
        struct world *w = world_with(1, 1);

        world_set(w, "execution.checkpointing.interval", "1s");
        world_set(w, "execution.checkpointing.dir", "/ckpt");
        world_set(w, "execution.checkpointing.incremental", incremental ? "true" : "false");
        world_submit(w, 1, 1);
        world_run_ms(w, 5500);
        assert_true(world_worker(w, 0, 1)->triggers >= 4);
        assert_int_equal(world_worker(w, 0, 1)->full, incremental ? 0 : world_worker(w, 0, 1)->triggers);
        world_free(w);
    }
}

static void scribbled(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result;
}
/* A new file every 100 us, as long as there is the folder. */
static void scribble(struct sim *sim, void *arg)
{
    struct scribbler *s = arg;
    struct fs *fs = s->w->jm->env->fs;
    char path[400];

    snprintf(path, sizeof(path), "%s/0-%d.state", s->folder, s->written++);
    fs->ops->write_all(fs, path, "rows", 4, scribbled, s);
    if (sim_now_ns(sim) < s->until_ns)
        sim_at(sim, 100 * SIM_US, scribble, s);
}
static void scribble_for_ms(struct scribbler *s, uint64_t ms)
{
    s->written = 0;
    s->until_ns = sim_now_ns(s->w->sim) + ms * SIM_MS;
    snprintf(s->folder, sizeof(s->folder), "%s", world_worker(s->w, 0, 1)->dir);
    sim_at(s->w->sim, 0, scribble, s);
}

static void what_was_written_too_late_goes_with_the_next_one(void **state)
{
    struct world *w = world_with(1, 1);
    struct scribbler s = {.w = w};

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.timeout", "500ms");
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "9");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    w->manners.no_ack = true;
    world_run_ms(w, 1300);
    assert_int_equal(world_worker(w, 0, 1)->last_checkpoint, 1);
    scribble_for_ms(&s, 300); /* it is given up meanwhile */
    world_run_ms(w, 400);
    assert_true(names_in(w, "chk-1") > 0);
    w->manners.no_ack = false;
    world_run_ms(w, 1000);
    assert_int_equal(names_in(w, ""), 3); /* shared, the one that is complete, and the mark that the job runs */
    assert_int_equal(names_in(w, "chk-1"), 0);
    world_free(w);
}

static void what_was_written_too_late_goes_with_the_job(void **state)
{
    for (int retained = 0; retained < 2; retained++) {
        struct world *w = world_with(1, 1);
        struct scribbler s = {.w = w};

        (void)state;
        world_set(w, "execution.checkpointing.interval", "1s");
        world_set(w, "execution.checkpointing.dir", "/ckpt");
        if (retained)
            world_set(w, "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        world_submit(w, 1, 1);
        world_run_ms(w, 1900); /* the first one is complete */
        w->manners.no_ack = true;
        world_run_ms(w, 400);
        assert_int_equal(world_worker(w, 0, 1)->last_checkpoint, 2);
        w->manners.ignore_cancel = true; /* its tasks end late, and write until then */
        scribble_for_ms(&s, 60);
        world_run_ms(w, 5);
        assert_int_equal(world_cancel(w, 1), 0);
        world_run_ms(w, 100);
        fake_report_all(world_worker(w, 0, 1), T(CANCELED));
        world_run_ms(w, 2000);
        assert_state(w, 1, CANCELED);
        assert_true(s.written > 100);
        assert_int_equal(names_in(w, "chk-2"), 0);
        assert_int_equal(names_in(w, ""), retained ? 2 : 0);
        assert_all_free(w, 1);
        world_free(w);
    }
}

/* The folder of a checkpoint is being made while the job ends: it must not come after all has been removed. */
static void a_folder_in_the_making_goes_with_the_job(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) { /* other times of the disk in each */
        struct world *w = world_new_seed(seed);

        world_boot(w);
        world_add(w, 0, 1);
        world_set(w, "execution.checkpointing.interval", "1s");
        world_set(w, "execution.checkpointing.dir", "/ckpt");
        world_run_ms(w, 100);
        world_submit(w, 1, 1);
        world_run_ms(w, 500);
        sim_slow(w->jm_node, 40);
        while (!jm_ckpt_is_busy(world_ckpt(w)))
            sim_run_for(w->sim, 20 * SIM_US);
        sim_slow(w->jm_node, 1); /* all that comes is faster */
        assert_int_equal(world_worker(w, 0, 1)->triggers, 0);
        assert_int_equal(world_cancel(w, 1), 0);
        world_run_ms(w, 1000);
        assert_state(w, 1, CANCELED);
        assert_int_equal(names_in(w, ""), 0);
        assert_int_equal(names_in(w, "chk-1"), 0);
        assert_false(is_there(w, ""));
        world_free(w);
    }
}

static void a_pause_is_kept_and_none_overlaps(void **state)
{
    struct world *w = world_with(1, 1);
    struct fake_worker *worker;

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.min-pause", "700ms");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    worker = world_worker(w, 0, 1);
    w->manners.no_ack = true;
    world_run_ms(w, 2000);
    assert_int_equal(worker->triggers, 1);
    fake_ack(worker, 1, NULL);
    world_run_ms(w, 600);
    assert_int_equal(worker->completes, 1);
    assert_int_equal(worker->triggers, 1);
    world_run_ms(w, 200);
    assert_int_equal(worker->triggers, 2);
    world_free(w);
}

static void ask(struct world *w, Rask__Control__CheckpointKind kind, struct asked *a)
{
    struct err err = {0};

    assert_int_equal(jm_ckpt_request(world_ckpt(w), kind, false, "/save", asked_done, a, &err), 0);
}

/* The first checkpoint makes two folders before it is triggered, a savepoint one. */
static void triggers_go_out_in_the_order_of_their_numbers(void **state)
{
    struct asked a[8] = {0};

    (void)state;
    for (uint32_t tasks = 1; tasks <= 8; tasks++) { /* other draws in each */
        struct world *w = world_with(1, tasks);

        world_submit(w, 1, 1);
        world_run_ms(w, 100);
        memset(a, 0, sizeof(a));
        for (size_t i = 0; i < ARRAY_LEN(a); i++)
            ask(w, i % 2 ? RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT : RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT, &a[i]);
        world_run_ms(w, 1000);
        assert_int_equal(world_worker(w, 0, 1)->triggers, ARRAY_LEN(a));
        assert_int_equal(world_worker(w, 0, 1)->disorder, 0);
        for (size_t i = 0; i < ARRAY_LEN(a); i++)
            assert_true(a[i].done && a[i].code == 0);
        world_free(w);
    }
}

/* A task follows several, as when it aligns. */
static void at_least_once_has_several_under_way(void **state)
{
    struct world *w = world_with(1, 1);
    struct asked a[2] = {0};
    struct fake_worker *worker;

    (void)state;
    world_set(w, "execution.checkpointing.mode", "AT_LEAST_ONCE");
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.max-concurrent-checkpoints", "3");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    worker = world_worker(w, 0, 1);
    w->manners.no_ack = true;
    ask(w, RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, &a[0]);
    ask(w, RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, &a[1]);
    world_run_ms(w, 8000);
    assert_int_equal(worker->triggers, 5); /* two savepoints and three checkpoints */
    for (uint64_t i = 1; i <= 5; i++)
        fake_ack(worker, i, NULL);
    world_run_ms(w, 500);
    assert_true(a[0].done && a[1].done && a[0].code == 0 && a[1].code == 0);
    assert_true(worker->last_checkpoint >= 5);
    world_free(w);
}

/* num-retained 2: it goes back by one; the next ones name nothing of the damaged one. */
static void a_damaged_checkpoint_gives_way_to_the_one_before(void **state)
{
    struct world *w = world_with(2, 1);
    uint64_t last;

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.num-retained", "2");
    world_submit(w, 1, 2);
    world_run_ms(w, 3500);
    last = world_worker(w, 0, 1)->last_checkpoint;
    assert_true(last >= 3);
    w->manners.damaged = last;
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 3000);
    assert_state(w, 1, RUNNING);
    assert_int_equal(world_worker(w, 0, 1)->restored, last - 1);
    world_run_ms(w, 3000);
    assert_true(world_worker(w, 0, 1)->last_checkpoint > last);
    w->manners.damaged = 0;
    world_free(w);
}

static void a_damaged_checkpoint_without_another_fails_the_job(void **state)
{
    struct world *w = world_with_interval("1s");
    struct jm_job_snapshot *job;

    (void)state;
    world_run_ms(w, 2500);
    w->manners.damaged = world_worker(w, 0, 1)->last_checkpoint;
    fake_die(world_worker(w, 0, 1), true, true, false, "killed");
    world_run_ms(w, 3000);
    assert_state(w, 1, FAILED);
    job = world_job(w, 1);
    assert_non_null(strstr(job->failures[0].text, "file 3 is damaged"));
    jm_job_snapshot_unref(job);
    world_free(w);
}

static void bad_folders_are_refused(void **state)
{
    static const char *const bad[] = {"s3://bucket/a", "relative", "file:relative", "hdfs://x/y", "//host/a"};
    static const char *const good[][2] = {
        {"/a/b/", "/a/b"}, {"file:/a", "/a"}, {"file:///a//", "/a"}, {"/", "/"}};
    struct err err;
    char *path;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(jm_ckpt_path(bad[i], &path, &err) < 0);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(jm_ckpt_path(good[i][0], &path, &err), 0);
        assert_string_equal(path, good[i][1]);
        mem_free(path);
    }
}

/* From the job store: what REST is asked of a job that is over. */
static void a_job_that_is_over_keeps_its_history(void **state)
{
    struct world *w = world_with_interval("1s");
    struct fake_worker *worker = world_worker(w, 0, 1);
    struct id id = id_from_u64(0x10b, 1);
    struct jm_job_snapshot *job;
    const struct jm_ckpt_stats *s;

    (void)state;
    world_run_ms(w, 2500);
    assert_int_equal(worker->completes, 2);
    fake_report_all(worker, T(FINISHED));
    world_run_ms(w, 1000);
    assert_null(jm_store_cached(&w->jm->store, &id));
    job = world_job(w, 1);
    assert_int_equal(job->state, JM_JOB_FINISHED);
    s = job->checkpoints;
    assert_non_null(s);
    assert_int_equal(s->completed, 2);
    assert_int_equal(s->total, 2);
    assert_int_equal(s->history_count, 2);
    assert_int_equal(s->history[0]->id, 2);
    assert_ptr_equal(s->history[0], s->latest_completed);
    assert_null(s->latest_failed);
    assert_true(s->settings.enabled);
    assert_int_equal(s->settings.interval_ms, 1000);
    assert_int_equal(s->summary[JM_CKPT_CHECKPOINTED].count, 2);
    assert_int_equal(s->summary[JM_CKPT_CHECKPOINTED].max, s->history[0]->checkpointed_bytes);
    assert_int_equal(s->history[1]->status, JM_CKPT_COMPLETED);
    assert_non_null(strstr(s->history[1]->path, "/chk-1"));
    assert_int_equal(s->history[1]->vertex_count, job->vertex_count);
    assert_int_equal(s->history[1]->vertices[0].subtasks[0].state_bytes, 100);
    assert_true(s->history[1]->vertices[0].subtasks[0].acked);
    jm_job_snapshot_unref(job);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_is_over_keeps_its_history),
        cmocka_unit_test(checkpoints_come_at_the_interval),
        cmocka_unit_test(a_lost_worker_begins_at_the_last_one),
        cmocka_unit_test(a_declined_one_fails_the_job_unless_tolerated),
        cmocka_unit_test(tolerated_failures_leave_the_job_alone),
        cmocka_unit_test(who_holds_it_up_is_told),
        cmocka_unit_test(a_full_disk_fails_the_checkpoint_only),
        cmocka_unit_test(a_savepoint_has_a_folder_of_its_own),
        cmocka_unit_test(a_stop_that_a_failure_undoes_says_so),
        cmocka_unit_test(what_is_over_leaves_nothing),
        cmocka_unit_test(what_is_retained_stays),
        cmocka_unit_test(each_is_complete_in_itself_if_so_wished),
        cmocka_unit_test(what_was_written_too_late_goes_with_the_next_one),
        cmocka_unit_test(what_was_written_too_late_goes_with_the_job),
        cmocka_unit_test(a_folder_in_the_making_goes_with_the_job),
        cmocka_unit_test(a_pause_is_kept_and_none_overlaps),
        cmocka_unit_test(triggers_go_out_in_the_order_of_their_numbers),
        cmocka_unit_test(at_least_once_has_several_under_way),
        cmocka_unit_test(a_damaged_checkpoint_gives_way_to_the_one_before),
        cmocka_unit_test(a_damaged_checkpoint_without_another_fails_the_job),
        cmocka_unit_test(bad_folders_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
