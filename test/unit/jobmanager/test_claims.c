/* test_claims.c - whose the files are that a job begins with: claimed once, given back, and never while their own job runs. */
#include "common/ckpt/ckpt_meta.h"
#include "test/unit/jobmanager/world.h"

#define PATH_SIZE 300

/* ---- the JobManager's disk ---- */

struct look {
    bool done;
    size_t count;
    char names[8][80];
};
static void looked(void *arg, const struct fs_result *result)
{
    struct look *l = arg;

    l->done = true;
    for (size_t i = 0; result->code == 0 && i < MIN(result->name_count, ARRAY_LEN(l->names)); i++)
        snprintf(l->names[l->count++], sizeof(l->names[0]), "%s", result->names[i]);
}

static struct look look_at(struct world *w, const char *folder)
{
    struct look l = {0};

    w->jm->env->fs->ops->list(w->jm->env->fs, folder, looked, &l);
    world_run_ms(w, 20);
    assert_true(l.done);
    return l;
}

static bool has(struct world *w, const char *folder, const char *name)
{
    struct look l = look_at(w, folder);

    for (size_t i = 0; i < l.count; i++)
        if (strcmp(l.names[i], name) == 0)
            return true;
    return false;
}

/* "_claimed-" and such, of a job. */
static const char *mark(char out[80], const char *kind, uint64_t number)
{
    struct id id = id_from_u64(0x10b, number);
    char text[ID_TEXT_MAX];

    snprintf(out, 80, "%s%s", kind, id_format(&id, text));
    return out;
}

static bool is_marked(struct world *w, const char *folder, const char *kind, uint64_t number)
{
    char name[80];

    return has(w, folder, mark(name, kind, number));
}

static void remove_mark(struct world *w, const char *folder, const char *kind, uint64_t number)
{
    struct look l = {0};
    char name[80], path[PATH_SIZE];

    snprintf(path, sizeof(path), "%s/%s", folder, mark(name, kind, number));
    w->jm->env->fs->ops->unlink(w->jm->env->fs, path, looked, &l);
    world_run_ms(w, 20);
    assert_true(l.done);
}

/* ---- jobs ---- */

/* Job 1 runs; its checkpoints stay when it is canceled. */
static struct world *world_of_job(const char *interval)
{
    struct world *w = world_with(4, 1);

    world_set(w, "execution.checkpointing.interval", interval);
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    world_submit(w, 1, 1);
    world_run_ms(w, 500);
    assert_state(w, 1, RUNNING);
    return w;
}

/* The folder of a job's own checkpoints. */
static void own_folder(char out[PATH_SIZE], uint64_t number)
{
    struct id id = id_from_u64(0x10b, number);
    char text[ID_TEXT_MAX];

    snprintf(out, PATH_SIZE, "/ckpt/%s", id_format(&id, text));
}

/* Of its checkpoints, the one that is there. */
static void newest_of(struct world *w, uint64_t number, char out[PATH_SIZE])
{
    char folder[PATH_SIZE];
    struct look l;

    own_folder(folder, number);
    l = look_at(w, folder);
    for (size_t i = 0; i < l.count; i++)
        if (strncmp(l.names[i], "chk-", 4) == 0) {
            snprintf(out, PATH_SIZE, "%.200s/%s", folder, l.names[i]);
            return;
        }
    fail_msg("job %u has no checkpoint", (unsigned)number);
}

static void saved(void *arg, const struct err *error, uint64_t checkpoint, const char *path)
{
    (void)checkpoint;
    if (error)
        fail_msg("%s", error->text);
    snprintf(arg, PATH_SIZE, "%s", path);
}

/* Of job 1. */
static void savepoint(struct world *w, char out[PATH_SIZE])
{
    struct err err;

    *out = 0;
    assert_int_equal(jm_ckpt_request(world_ckpt(w), RASK__CONTROL__CHECKPOINT_KIND__SAVEPOINT, false, "/save", saved, out, &err), 0);
    world_run_ms(w, 500);
    assert_true(*out);
}

static void begin_with(struct world *w, const char *path, uint64_t number, const char *mode)
{
    world_set(w, "execution.state-recovery.path", path);
    world_set(w, "execution.state-recovery.claim-mode", mode);
    world_submit(w, number, 1);
    world_run_ms(w, 300);
}

static void refused(struct world *w, const char *path, uint64_t number, const char *mode, const char *why)
{
    begin_with(w, path, number, mode);
    assert_state(w, number, FAILED);
    assert_reason(w, number, "cannot begin with");
    assert_reason(w, number, why);
}

/* ---- savepoints ---- */

static void one_job_claims_a_savepoint(void **state)
{
    struct world *w = world_of_job("10s");
    char path[PATH_SIZE], name[80];

    (void)state;
    savepoint(w, path);
    begin_with(w, path, 2, "CLAIM");
    assert_state(w, 2, RUNNING);
    assert_true(is_marked(w, path, CKPT_CLAIMED, 2));
    refused(w, path, 3, "CLAIM", mark(name, "job ", 2));
    refused(w, path, 4, "CLAIM", "has claimed it");
    assert_false(is_marked(w, path, CKPT_CLAIMED, 3));
    assert_state(w, 2, RUNNING);
    begin_with(w, path, 5, "NO_CLAIM"); /* may read */
    assert_state(w, 5, RUNNING);
    world_run_ms(w, 10000); /* a checkpoint of its own replaces it */
    assert_int_equal(look_at(w, path).count, 0);
    assert_state(w, 2, RUNNING);
    assert_state(w, 5, RUNNING);
    refused(w, path, 6, "CLAIM", "_metadata");
    world_free(w);
}

static void of_two_at_once_one_claims_at_most(void **state)
{
    (void)state;
    for (int run = 0; run < 20; run++) {
        struct world *w = world_of_job("10s");
        struct jm_command commands[2] = {{0}};
        struct sample samples[2];
        char path[PATH_SIZE];
        bool runs[2];

        savepoint(w, path);
        for (int i = 0; i < run; i++)
            (void)look_at(w, path); /* the disk answers at other times then */
        world_set(w, "execution.state-recovery.path", path);
        world_set(w, "execution.state-recovery.claim-mode", "CLAIM");
        for (uint64_t i = 0; i < 2; i++) { /* the disk says who is first, and whether both give up */
            sample_init(&samples[i], 2 + i, 1);
            commands[i].type = JM_SUBMIT;
            commands[i].graph = &samples[i].graph;
            world_begin(w, &commands[i]);
        }
        world_run_ms(w, 300);
        for (uint64_t i = 0; i < 2; i++) {
            runs[i] = world_state(w, 2 + i) == JM_JOB_RUNNING;
            assert_int_equal(is_marked(w, path, CKPT_CLAIMED, 2 + i), runs[i]);
            if (!runs[i])
                assert_reason(w, 2 + i, "has claimed it");
        }
        assert_false(runs[0] && runs[1]);
        world_free(w);
    }
}

/* Canceled or failed: another one may claim then. */
static void a_job_without_a_checkpoint_of_its_own_gives_it_back(void **state)
{
    struct world *w = world_of_job("10s");
    char path[PATH_SIZE];

    (void)state;
    world_set(w, "restart-strategy.type", "none");
    savepoint(w, path);
    begin_with(w, path, 2, "CLAIM");
    assert_int_equal(world_cancel(w, 2), 0);
    world_run_ms(w, 200);
    assert_state(w, 2, CANCELED);
    assert_false(is_marked(w, path, CKPT_CLAIMED, 2));
    assert_true(has(w, path, "_metadata"));
    begin_with(w, path, 3, "CLAIM");
    assert_state(w, 3, RUNNING);
    for (uint32_t tm = 0; tm < FAKES; tm++) {
        struct id id = id_from_u64(0x10b, 3);
        struct fake_worker *worker = w->tms[tm] ? fake_worker_of(w->tms[tm], &id) : NULL;

        if (worker)
            fake_die(worker, true, true, false, "killed");
    }
    world_run_ms(w, 3000);
    assert_state(w, 3, FAILED);
    assert_false(is_marked(w, path, CKPT_CLAIMED, 3));
    assert_true(has(w, path, "_metadata"));
    begin_with(w, path, 4, "CLAIM");
    assert_state(w, 4, RUNNING);
    world_free(w);
}

/* The JobManager and all TaskManagers, and they are there again. */
static void lose_all(struct world *w, void (*lose)(struct sim_node *node))
{
    lose(w->jm_node);
    for (uint32_t i = 0; i < 4; i++)
        lose(w->places[i].node);
    world_run_ms(w, 100);
    world_boot(w);
    for (uint32_t i = 0; i < 4; i++)
        sim_boot(w->places[i].node);
    world_run_ms(w, 500);
}

/* Its mark is on disk before the job begins: nobody else claims until somebody who knows takes it away. */
static void a_lost_jobmanager_leaves_the_mark(void **state)
{
    struct world *w = world_of_job("10s");
    char path[PATH_SIZE];

    (void)state;
    savepoint(w, path);
    begin_with(w, path, 2, "CLAIM");
    lose_all(w, sim_crash);
    refused(w, path, 3, "CLAIM", "has claimed it");
    assert_true(is_marked(w, path, CKPT_CLAIMED, 2));
    remove_mark(w, path, CKPT_CLAIMED, 2);
    begin_with(w, path, 4, "CLAIM");
    assert_state(w, 4, RUNNING);
    world_free(w);
}

/* ---- checkpoints ---- */

static void checkpoints_of_a_job_that_has_not_ended_are_not_claimed(void **state)
{
    struct world *w = world_of_job("5s");
    char path[PATH_SIZE], folder[PATH_SIZE], name[80], job[80];

    (void)state;
    world_run_ms(w, 5100);
    own_folder(folder, 1);
    newest_of(w, 1, path);
    assert_true(is_marked(w, folder, CKPT_RUNNING, 1));
    snprintf(job, sizeof(job), "%s has not ended", mark(name, "job ", 1));
    refused(w, path, 2, "CLAIM", job);
    assert_reason(w, 2, "no_claim");
    assert_reason(w, 2, mark(name, CKPT_RUNNING, 1));
    assert_false(is_marked(w, folder, CKPT_CLAIMED, 2));
    newest_of(w, 1, path);
    begin_with(w, path, 3, "NO_CLAIM");
    assert_state(w, 3, RUNNING);
    world_run_ms(w, 10000);
    assert_false(has(w, path, "_metadata")); /* its job has newer ones */
    refused(w, path, 4, "NO_CLAIM", "a job that runs removes its older checkpoints: take a savepoint of it");
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 300);
    assert_false(is_marked(w, folder, CKPT_RUNNING, 1));
    newest_of(w, 1, path);
    begin_with(w, path, 5, "CLAIM");
    assert_state(w, 5, RUNNING);
    assert_true(is_marked(w, folder, CKPT_CLAIMED, 5));
    world_free(w);
}

/* The last thing that it did was to fail a checkpoint. */
static void whoever_has_ended_has_no_mark(void **state)
{
    struct world *w = world_with(1, 1);
    char folder[PATH_SIZE];

    (void)state;
    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "9");
    world_set(w, "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    world_submit(w, 1, 1);
    world_run_ms(w, 1500);
    own_folder(folder, 1);
    assert_true(is_marked(w, folder, CKPT_RUNNING, 1));
    w->manners.decline = true;
    world_run_ms(w, 1000);
    assert_int_equal(world_cancel(w, 1), 0);
    world_run_ms(w, 300);
    assert_state(w, 1, CANCELED);
    assert_false(is_marked(w, folder, CKPT_RUNNING, 1));
    assert_int_equal(look_at(w, folder).count, 2); /* shared, and the one that is retained */
    world_free(w);
}

/* Its process has ended, and on this host one can tell. */
static void the_mark_of_a_job_that_was_lost_with_its_jobmanager_is_taken_away(void **state)
{
    struct world *w = world_of_job("1s");
    char path[PATH_SIZE], folder[PATH_SIZE];

    (void)state;
    world_run_ms(w, 1100);
    own_folder(folder, 1);
    newest_of(w, 1, path);
    lose_all(w, sim_kill);
    assert_true(is_marked(w, folder, CKPT_RUNNING, 1));
    begin_with(w, path, 2, "NO_CLAIM"); /* what is not claimed is left alone */
    assert_state(w, 2, RUNNING);
    assert_true(is_marked(w, folder, CKPT_RUNNING, 1));
    begin_with(w, path, 3, "CLAIM");
    assert_state(w, 3, RUNNING);
    assert_false(is_marked(w, folder, CKPT_RUNNING, 1));
    assert_true(is_marked(w, folder, CKPT_CLAIMED, 3));
    refused(w, path, 4, "CLAIM", "has claimed it");
    world_free(w);
}

/* After a power cut, and whatever else it says but that a process has ended which one can tell of. */
static void a_mark_stays_when_nobody_can_tell(void **state)
{
    struct world *w = world_of_job("1s");
    char path[PATH_SIZE], folder[PATH_SIZE], file[PATH_SIZE + 80], name[80], living[ENV_PROCESS_MAX + 40];
    const char *const texts[] = {living, "", "\n", "JobManager: ", "JobManager: \n", "JobManager: node jm (incarnation 1, boot 1)",
                                 "JobManager: node jm (incarnation 1, boot 0)\n", "node jm (incarnation 1, boot 1)\n",
                                 "JobManager: node jm (incarnation 9, boot 1)\n", "JobManager: node tm0 (incarnation 1, boot 1)\n"};
    struct look l;

    (void)state;
    world_run_ms(w, 1100);
    own_folder(folder, 1);
    newest_of(w, 1, path);
    lose_all(w, sim_crash);
    refused(w, path, 2, "CLAIM", "if it was lost with its JobManager, remove");
    snprintf(living, sizeof(living), "JobManager: ");
    env_process(w->jm->env, living + strlen(living));
    snprintf(living + strlen(living), 2, "\n");
    snprintf(file, sizeof(file), "%s/%s", folder, mark(name, CKPT_RUNNING, 1));
    for (uint64_t i = 0; i < ARRAY_LEN(texts); i++) {
        l = (struct look){0};
        w->jm->env->fs->ops->write_all(w->jm->env->fs, file, texts[i], strlen(texts[i]), looked, &l);
        world_run_ms(w, 20);
        assert_true(l.done);
        refused(w, path, 3 + i, "CLAIM", "if it was lost with its JobManager, remove");
        assert_true(is_marked(w, folder, CKPT_RUNNING, 1));
        assert_false(is_marked(w, folder, CKPT_CLAIMED, 3 + i));
    }
    remove_mark(w, folder, CKPT_RUNNING, 1);
    begin_with(w, path, 30, "CLAIM");
    assert_state(w, 30, RUNNING);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job_claims_a_savepoint),
        cmocka_unit_test(of_two_at_once_one_claims_at_most),
        cmocka_unit_test(a_job_without_a_checkpoint_of_its_own_gives_it_back),
        cmocka_unit_test(a_lost_jobmanager_leaves_the_mark),
        cmocka_unit_test(checkpoints_of_a_job_that_has_not_ended_are_not_claimed),
        cmocka_unit_test(whoever_has_ended_has_no_mark),
        cmocka_unit_test(the_mark_of_a_job_that_was_lost_with_its_jobmanager_is_taken_away),
        cmocka_unit_test(a_mark_stays_when_nobody_can_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
