/* test_spawn.c - the production spawner with programs of the test's own: folders, and an end while work is under way. */
#include "taskmanager/supervisor/spawn_posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "test/unit/loop.h"

struct fixture {
    char dir[64], program[80], tmp[80], log[80];
    struct env *env;
    struct conf *conf;
    struct tm_spawner *spawner;
    int asked;
};

static void write_program(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct tm_spawn_options options = {.user = "me", .host = "here"};
    struct err err;

    *state = f;
    snprintf(f->dir, sizeof(f->dir), "/tmp/rask-test-spawn-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->program, sizeof(f->program), "%s/worker", f->dir);
    snprintf(f->tmp, sizeof(f->tmp), "%s/tmp", f->dir);
    snprintf(f->log, sizeof(f->log), "%s/log", f->dir);
    write_program(f->program, "#!/bin/sh\nexec sleep 60\n");
    f->env = env_libevent_new(NULL);
    f->conf = conf_new();
    options.conf = f->conf;
    options.program = f->program;
    options.log_dir = f->log;
    options.tmp_dir = f->tmp;
    assert_int_equal(tm_spawn_posix_new(f->env, &options, &f->spawner, &err), 0);
    return 0;
}

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tm_spawn_posix_free(f->spawner);
    if (f->env)
        env_libevent_free(f->env);
    conf_free(f->conf);
    remove_folder(f->tmp);
    remove_folder(f->log);
    remove_folder(f->dir);
    mem_free(f);
    return 0;
}

static void on_exit_never(void *arg, const struct tm_worker_exit *exit)
{
    (void)arg;
    (void)exit;
    fail_msg("a worker has ended");
}

static void *spawn(struct fixture *f)
{
    static uint8_t job[16] = {1, 2, 3}, secret[32];
    static const struct id taskmanager;
    Rask__Control__StartWorker start = RASK__CONTROL__START_WORKER__INIT;
    struct err err = {0};
    int32_t pid = 0;
    void *worker;

    start.job_id = (ProtobufCBinaryData){sizeof(job), job};
    start.secret = (ProtobufCBinaryData){sizeof(secret), secret};
    start.job_epoch = 7;
    start.slots = 1;
    start.budget_bytes = 64u << 20;
    start.job_name = (char *)"a job";
    start.jobmanager_address = (char *)"localhost:1";
    worker = f->spawner->ops->spawn(f->spawner, &start, &taskmanager, "localhost:2", on_exit_never, f, &pid, &err);
    if (!worker)
        fail_msg("%s", err.text);
    assert_true(pid > 0);
    return worker;
}

static void on_memory(void *arg, uint64_t pss_bytes)
{
    (void)pss_bytes;
    ((struct fixture *)arg)->asked++;
}

/* Artifacts and what functions of a job write there are nobody else's to read. */
static void folders_are_private(void **state)
{
    struct fixture *f = *state;
    char own[400];
    DIR *dir = opendir(f->tmp);
    struct dirent *entry;
    struct stat st;
    int found = 0;

    (void)spawn(f);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "rask-tm.", 8) != 0)
            continue;
        snprintf(own, sizeof(own), "%s/%s", f->tmp, entry->d_name);
        assert_int_equal(stat(own, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        found++;
    }
    closedir(dir);
    assert_int_equal(found, 1);
}

/* The answers of work that is under way come after the spawner is gone. */
static void ends_while_memory_is_read(void **state)
{
    struct fixture *f = *state;
    void *worker = spawn(f);

    for (int i = 0; i < 8; i++)
        f->spawner->ops->memory(f->spawner, worker, on_memory, f);
    tm_spawn_posix_free(f->spawner);
    f->spawner = NULL;
    env_libevent_free(f->env);
    f->env = NULL;
    assert_int_equal(f->asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_private, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_while_memory_is_read, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
