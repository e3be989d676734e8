/*
 * test_checkpoint_disk.c - the checkpoint coordinator on disks that lose power or fail, at every call that it makes.
 * The workers' files are test_write.c's business.
 */
#include "common/ckpt/ckpt_meta.h"
#include "test/unit/jobmanager/world.h"

#define DIR_MAX 160

static struct world *world_of_job(const char *retained)
{
    struct world *w = world_with(1, 1);

    world_set(w, "execution.checkpointing.interval", "1s");
    world_set(w, "execution.checkpointing.dir", "/ckpt");
    world_set(w, "execution.checkpointing.num-retained", retained);
    world_set(w, "execution.checkpointing.tolerable-failed-checkpoints", "1000");
    world_submit(w, 1, 1);
    world_run_ms(w, 100);
    return w;
}

static void path_of(char out[DIR_MAX], const char *rest)
{
    struct id job = id_from_u64(0x10b, 1);
    char id[ID_TEXT_MAX];

    snprintf(out, DIR_MAX, "/ckpt/%s/%s", id_format(&job, id), rest);
}

/* ---- power cuts ---- */

static bool metadata_is_safe(struct world *w, uint64_t checkpoint)
{
    char name[40], path[DIR_MAX];
    struct ckpt_meta *meta = NULL;
    struct err err;
    uint8_t *data;
    size_t len;
    bool good;

    snprintf(name, sizeof(name), "chk-%llu/_metadata", (unsigned long long)checkpoint);
    path_of(path, name);
    data = sim_disk_durable(w->jm_node, path, &len);
    good = data && ckpt_meta_unpack(data, len, path, &meta, &err) == 0;
    ckpt_meta_free(meta);
    mem_free(data);
    return good;
}

/* What the workers put there is named by it; its folder has to stay too. */
static bool shared_folder_is_safe(struct world *w)
{
    char path[DIR_MAX];

    path_of(path, "shared");
    return sim_disk_survives(w->jm_node, path);
}

struct told { /* how many complete checkpoints to wait for: workers were told of them, they have to survive */
    struct world *w;
    int completes;
};
static bool is_told(void *arg)
{
    struct told *t = arg;

    return world_worker(t->w, 0, 1)->completes >= t->completes;
}

static void run_until_told(struct world *w, int completes)
{
    struct told t = {w, completes};

    assert_true(sim_run_until(w->sim, is_told, &t, 3 * (uint64_t)SIM_S));
    assert_true(is_told(&t));
}

/* Leaves out each sync of the number-th checkpoint, but `covered`, which a later one covers. */
static void each_sync_is_needed(int number, uint64_t expected, uint64_t covered)
{
    for (uint64_t skipped = 0; skipped <= expected; skipped++) {
        struct world *w = world_of_job("1");
        uint64_t before;
        bool safe;

        run_until_told(w, number - 1);
        before = sim_disk_skip_sync(w->jm_node, "/ckpt", skipped);
        run_until_told(w, number);
        safe = metadata_is_safe(w, (uint64_t)number) && shared_folder_is_safe(w);
        assert_int_equal(sim_disk_skip_sync(w->jm_node, "/ckpt", 0) - before, expected);
        if (safe != (skipped == 0 || skipped == covered))
            fail_msg("sync %u of %u was left out, and %s", (unsigned)skipped, (unsigned)expected,
                     safe ? "nothing was lost" : "the checkpoint was lost");
        world_free(w);
    }
}

static void the_first_complete_checkpoint_survives_a_power_cut(void **state)
{
    (void)state;
    each_sync_is_needed(1, 6, 3); /* folders /ckpt, job, chk-1 (with that of the next), shared; _metadata, its name */
}

static void a_complete_checkpoint_survives_a_power_cut(void **state)
{
    (void)state;
    each_sync_is_needed(2, 3, 0); /* folder chk-2; _metadata, its name */
}

struct watched {
    struct world *w;
    uint64_t told; /* the newest checkpoint that workers may commit */
    uint64_t looks;
};

static void look(struct sim *sim, void *arg)
{
    struct watched *x = arg;
    struct fake_worker *worker = world_worker(x->w, 0, 1);

    if (!worker || worker->completes == 0)
        return;
    x->told = (uint64_t)worker->completes; /* all succeed here */
    x->looks++;
    if (!metadata_is_safe(x->w, x->told) && !metadata_is_safe(x->w, x->told + 1))
        sim_fail(sim, "checkpoint %u was complete, and a power cut would lose it", (unsigned)x->told);
}

static void a_complete_checkpoint_stays_until_the_next_one_is_safe(void **state)
{
    struct world *w = world_of_job("1");
    struct watched x = {.w = w};

    (void)state;
    sim_set_checker(w->sim, look, &x);
    world_run_ms(w, 8000);
    assert_true(x.told >= 6);
    assert_true(x.looks > 100);
    sim_set_checker(w->sim, NULL, NULL);
    world_free(w);
}

/* ---- disks that fail ---- */

static bool one_more_is_over(void *arg)
{
    struct watched *x = arg;
    struct jm_ckpt_stats *s = jm_ckpt_picture(world_ckpt(x->w));
    bool yes = s->completed + s->failed > x->told && s->in_progress == 0;

    jm_ckpt_stats_unref(s);
    return yes;
}

/* True: the call failed a checkpoint, with a sentence. */
static bool fail_one(struct world *w, uint64_t call, int code)
{
    struct jm_ckpt_stats *s = jm_ckpt_picture(world_ckpt(w));
    struct watched x = {.w = w, .told = s->completed + s->failed};
    uint64_t failed = s->failed, completed = s->completed;

    jm_ckpt_stats_unref(s);
    (void)sim_disk_fail_call(w->jm_node, "/ckpt", call, code);
    assert_true(sim_run_until(w->sim, one_more_is_over, &x, 10 * (uint64_t)SIM_S));
    assert_true(one_more_is_over(&x));
    world_run_ms(w, 300); /* what is removed after it */
    (void)sim_disk_fail_call(w->jm_node, "/ckpt", 0, 0);
    s = jm_ckpt_picture(world_ckpt(w));
    assert_int_equal(s->failed + s->completed, failed + completed + 1);
    if (s->failed > failed) {
        const char *text = s->history[0]->failure;

        if (!strstr(text, "could not be") || !strstr(text, "/ckpt/"))
            fail_msg("which phase failed at which path is not said: %s", text);
    }
    failed = s->failed - failed;
    jm_ckpt_stats_unref(s);
    return failed > 0;
}

static void a_call_that_fails_costs_one_checkpoint_at_most(void **state)
{
    static const int codes[] = {ERR_NO_SPACE, ERR_PERMISSION, ERR_NOT_FOUND, ERR_IO};

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(codes); k++) {
        uint32_t failures = 0;

        for (uint64_t call = 1; call <= 12; call++) { /* folders, _metadata, what is removed; beyond: none */
            struct world *w = world_of_job("1");

            failures += fail_one(w, call, codes[k]);
            assert_state(w, 1, RUNNING);
            assert_false(fail_one(w, 0, 0)); /* the next one succeeds, whatever is left of this one */
            assert_false(fail_one(w, 0, 0));
            world_free(w);
        }
        assert_int_equal(failures, 5); /* its folder, the shared one, the mark of the job, what is in it, _metadata; others leave a file behind at most */
    }
}

/* In the middle of a job's life: folders are there, an older checkpoint is to be removed. */
static void a_call_that_fails_later_costs_one_checkpoint_at_most(void **state)
{
    struct world *w = world_of_job("2");
    uint32_t failures = 0;

    (void)state;
    world_run_ms(w, 4000);
    for (uint64_t call = 1; call <= 10; call++) {
        failures += fail_one(w, call, call % 2 ? ERR_IO : ERR_PERMISSION);
        assert_false(fail_one(w, 0, 0));
    }
    assert_true(failures >= 2);
    assert_state(w, 1, RUNNING);
    world_free(w);
}

/* ---- a name that is there, in a folder that cannot be synced ---- */

static void one_whose_metadata_may_be_there_has_not_failed(void **state)
{
    struct world *w = world_of_job("1");
    struct jm_ckpt_stats *s;

    (void)state;
    run_until_told(w, 1);
    sim_disk_fail_in_place(w->jm_node, "/ckpt", 3);
    run_until_told(w, 2);
    s = jm_ckpt_picture(world_ckpt(w));
    assert_int_equal(s->failed, 0);
    assert_true(s->latest_completed->end_ms - s->latest_completed->trigger_ms >= 300); /* three times again */
    jm_ckpt_stats_unref(s);
    assert_int_equal(world_worker(w, 0, 1)->aborts, 0);
    assert_true(metadata_is_safe(w, 2));
    world_free(w);
}

static void one_whose_folder_stays_away_fails_with_a_warning(void **state)
{
    struct world *w = world_of_job("1");
    struct watched x = {.w = w, .told = 1};
    struct jm_ckpt_stats *s;

    (void)state;
    run_until_told(w, 1);
    sim_disk_fail_in_place(w->jm_node, "/ckpt", UINT32_MAX);
    assert_true(sim_run_until(w->sim, one_more_is_over, &x, 15 * (uint64_t)SIM_S));
    sim_disk_fail_in_place(w->jm_node, "/ckpt", 0);
    world_run_ms(w, 100);
    s = jm_ckpt_picture(world_ckpt(w));
    assert_int_equal(s->failed, 1);
    assert_non_null(strstr(s->latest_failed->failure, "should it be found there, it is of no use"));
    assert_true(s->latest_failed->end_ms - s->latest_failed->trigger_ms >= 10000);
    jm_ckpt_stats_unref(s);
    assert_int_equal(world_worker(w, 0, 1)->aborts, 1);
    run_until_told(w, 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_complete_checkpoint_survives_a_power_cut),
        cmocka_unit_test(a_complete_checkpoint_survives_a_power_cut),
        cmocka_unit_test(a_complete_checkpoint_stays_until_the_next_one_is_safe),
        cmocka_unit_test(a_call_that_fails_costs_one_checkpoint_at_most),
        cmocka_unit_test(a_call_that_fails_later_costs_one_checkpoint_at_most),
        cmocka_unit_test(one_whose_metadata_may_be_there_has_not_failed),
        cmocka_unit_test(one_whose_folder_stays_away_fails_with_a_warning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
