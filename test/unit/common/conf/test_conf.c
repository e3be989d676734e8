/* test_conf.c - settings: getters, checks, messages, merging, secrets, warnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/conf/conf_private.h"

static struct err err;

static void defaults_pass_their_own_checks(void **state)
{
    (void)state;
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct conf_option *o = conf_option((enum conf_id)i);
        struct conf_value v;

        if (o->def != NULL && conf_value_parse(o, o->def, &v, &err) < 0)
            fail_msg("default of %s: %s", o->key, err.text);
        assert_int_equal(conf_option_find(o->key), i);
        assert_true(o->doc[strlen(o->doc) - 1] == '.');
    }
}

static void getters_give_defaults_and_values(void **state)
{
    struct conf *c = conf_new();

    (void)state;
    assert_int_equal(conf_int(c, OPT_JOBMANAGER_RPC_PORT), 6123);
    assert_int_equal(conf_memory_bytes(c, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE), 1728ull << 20);
    assert_int_equal(conf_duration_ms(c, OPT_HEARTBEAT_INTERVAL), 10000);
    assert_int_equal(conf_duration_ms(c, OPT_TASK_CANCELLATION_TIMEOUT), 180000);
    assert_true(conf_double(c, OPT_TASKMANAGER_MEMORY_MANAGED_FRACTION) == 0.4);
    assert_true(conf_bool(c, OPT_WEB_SUBMIT_ENABLE));
    assert_null(conf_string(c, OPT_ENV_LOG_DIR));
    assert_string_equal(conf_string(c, OPT_JOBSTORE_TYPE), "File");
    assert_int_equal(conf_int(c, OPT_JOBSTORE_MAX_CAPACITY), CONF_INFINITE);
    assert_int_equal(conf_memory_bytes(c, OPT_TASKMANAGER_MEMORY_MANAGED_SIZE), 0);
    assert_false(conf_is_set(c, OPT_JOBSTORE_TYPE));

    assert_int_equal(conf_set_pair(c, "jobstore.type=MEMORY", "-D", &err), 0);
    assert_string_equal(conf_string(c, OPT_JOBSTORE_TYPE), "Memory");
    assert_true(conf_is_set(c, OPT_JOBSTORE_TYPE));
    assert_int_equal(conf_set(c, "jobstore.type", NULL, "-D", &err), 0);
    assert_string_equal(conf_string(c, OPT_JOBSTORE_TYPE), "File");
    assert_int_equal(conf_set_pair(c, "my.own.key=a=b", "-D", &err), 0);
    assert_string_equal(conf_raw(c, "my.own.key"), "a=b");
    conf_free(c);
    conf_free(NULL);
}

static void addresses_put_brackets_around_ipv6(void **state)
{
    static const char *const cases[][2] = {
        {"localhost", "localhost:6123"}, {"10.0.0.1", "10.0.0.1:6123"}, {"::1", "[::1]:6123"}, {"[::1]", "[::1]:6123"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *address = conf_hostport(cases[i][0], 6123);

        assert_string_equal(address, cases[i][1]);
        mem_free(address);
    }
}

static void ports_are_lists_of_ranges(void **state)
{
    struct conf_port_range r[CONF_PORT_RANGES_MAX];
    struct conf *c = conf_new();

    (void)state;
    assert_int_equal(conf_ports(c, OPT_REST_BIND_PORT, r), 0);
    assert_int_equal(conf_set(c, "rest.bind-port", "50100-50200, 50300", "-D", &err), 0);
    assert_int_equal(conf_ports(c, OPT_REST_BIND_PORT, r), 2);
    assert_int_equal(r[0].first, 50100);
    assert_int_equal(r[0].last, 50200);
    assert_int_equal(r[1].first, 50300);
    assert_int_equal(r[1].last, 50300);
    assert_int_equal(conf_set(c, "rest.bind-port", "9-8", "-D", &err), ERR_INVALID);
    assert_int_equal(conf_set(c, "rest.bind-port", "1,,2", "-D", &err), ERR_INVALID);
    assert_int_equal(conf_set(c, "rest.bind-port", "70000", "-D", &err), ERR_INVALID);
    conf_free(c);
}

static void refusals_say_what_and_where(void **state)
{
    static const struct {
        const char *pair, *text;
    } bad[] = {
        {"taskmanager.numberOfTaskSlots=abc",
         "-D: taskmanager.numberOfTaskSlots: 'abc' is not a whole number; allowed: a whole number "
         "from 1 to 1024"},
        {"taskmanager.numberOfTaskSlots=0",
         "-D: taskmanager.numberOfTaskSlots: '0' is out of range; allowed: a whole number from 1 "
         "to 1024"},
        {"taskmanager.numberOfTaskSlots=99999999999999999999",
         "-D: taskmanager.numberOfTaskSlots: '99999999999999999999' is not a whole number; "
         "allowed: a whole number from 1 to 1024"},
        {"heartbeat.interval=10 parsec",
         "-D: heartbeat.interval: '10 parsec' has no unit of time (ms, s, min, h, d); allowed: a "
         "duration such as 100 ms, 10 s or 5 min, at least 1 ms"},
        {"taskmanager.memory.process.size=infinite",
         "-D: taskmanager.memory.process.size: 'infinite' is not possible; allowed: a memory size "
         "such as 512m or 1 gb, at least 64 mb"},
        {"taskmanager.memory.process.size=1.5gb",
         "-D: taskmanager.memory.process.size: '1.5gb' has no unit of memory (b, kb, mb, gb, tb); "
         "allowed: a memory size such as 512m or 1 gb, at least 64 mb"},
        {"taskmanager.memory.managed.fraction=1.1",
         "-D: taskmanager.memory.managed.fraction: '1.1' is out of range; allowed: a number from "
         "0 to 1"},
        {"taskmanager.memory.managed.fraction=nan",
         "-D: taskmanager.memory.managed.fraction: 'nan' is not a number; allowed: a number from "
         "0 to 1"},
        {"web.submit.enable=yes",
         "-D: web.submit.enable: 'yes' is neither true nor false; allowed: true or false"},
        {"security.ssl.internal.keystore-type=JKS",
         "-D: security.ssl.internal.keystore-type: 'JKS' is none of them; allowed: PEM"},
        {"jobstore.type=Tape",
         "-D: jobstore.type: 'Tape' is none of them; allowed: File or Memory"},
        {"=x", "-D: empty key"},
        {"a b=x", "-D: 'a b' is no key: it has a space, '=' or the like"},
        {"lonely", "-D lonely: expected key=value"},
    };
    struct conf *c = conf_new();

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(conf_set_pair(c, bad[i].pair, "-D", &err), ERR_INVALID);
        assert_string_equal(err.text, bad[i].text);
    }
    assert_int_equal(conf_count(c), 0);
    conf_free(c);
}

static uint64_t memory(const char *text)
{
    uint64_t v = 0;

    return conf_parse_memory(text, &v, &err) < 0 ? UINT64_MAX : v;
}

static uint64_t duration(const char *text)
{
    uint64_t v = 0;

    return conf_parse_duration(text, &v, &err) < 0 ? UINT64_MAX : v;
}

static void sizes_are_written_as_in_flink(void **state)
{
    (void)state;
    assert_int_equal(memory("1728m"), 1728ull << 20);
    assert_int_equal(memory(" 1 gb "), 1ull << 30);
    assert_int_equal(memory("64 KB"), 65536);
    assert_int_equal(memory("100"), 100);
    assert_int_equal(memory("256 bytes"), 256);
    assert_int_equal(memory("2tebibytes"), 2ull << 40);
    assert_int_equal(memory("99999999t"), UINT64_MAX);
    assert_int_equal(memory("-1m"), UINT64_MAX);
    assert_int_equal(memory(""), UINT64_MAX);
    assert_int_equal(memory("m"), UINT64_MAX);
    assert_int_equal(memory("1 m b"), UINT64_MAX);
}

static void durations_are_written_as_in_flink(void **state)
{
    (void)state;
    assert_int_equal(duration("10 s"), 10000);
    assert_int_equal(duration("100ms"), 100);
    assert_int_equal(duration("5 min"), 300000);
    assert_int_equal(duration("2 Hours"), 7200000);
    assert_int_equal(duration("1 d"), 86400000);
    assert_int_equal(duration("250"), 250);
    assert_int_equal(duration("500 us"), 1);
    assert_int_equal(duration("1000 \xc2\xb5s"), 1);
    assert_int_equal(duration("1ns"), 1);
    assert_int_equal(duration("0 ms"), 0);
    assert_int_equal(duration("PT10S"), 10000);
    assert_int_equal(duration("PT0.25S"), 250);
    assert_int_equal(duration("P1DT2H3M4S"), 93784000);
    assert_int_equal(duration("pt1m"), 60000);
    assert_int_equal(duration("P1M"), UINT64_MAX);
    assert_int_equal(duration("PT"), UINT64_MAX);
    assert_int_equal(duration("PT1S2H"), UINT64_MAX);
    assert_int_equal(duration("P"), UINT64_MAX);
    assert_int_equal(duration("10 q"), UINT64_MAX);
    assert_int_equal(duration("9999999999999999999 d"), UINT64_MAX);
    assert_int_equal(duration("-1 s"), UINT64_MAX);
}

static void options_that_contradict_are_refused(void **state)
{
    static const char *const bad[] = {"heartbeat.interval=60 s"};
    static const char *const fractions[] = {"taskmanager.memory.managed.fraction=0.95"};
    struct conf *c = NULL;

    (void)state;
    assert_int_equal(conf_open("/dev/null", bad, 1, &c, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "not a regular file"));
    c = conf_new();
    assert_int_equal(conf_set_pair(c, bad[0], "-D", &err), 0);
    assert_int_equal(conf_check(c, &err), ERR_INVALID);
    assert_string_equal(err.text, "heartbeat.interval (-D) is more than heartbeat.timeout "
                                  "(default); change one of the two");
    conf_free(c);
    c = conf_new();
    assert_int_equal(conf_set_pair(c, fractions[0], "-D", &err), 0);
    assert_int_equal(conf_check(c, &err), ERR_INVALID);
    conf_free(c);
}

static void a_job_sets_only_what_is_its_own(void **state)
{
    struct conf *cluster = conf_new(), *job = conf_new(), *copy;

    (void)state;
    assert_int_equal(conf_set(cluster, "parallelism.default", "2", "file:1", &err), 0);
    assert_int_equal(conf_set(job, "parallelism.default", "7", "-D", &err), 0);
    copy = conf_clone(cluster);
    assert_int_equal(conf_merge_job(copy, job, &err), 0);
    assert_int_equal(conf_int(copy, OPT_PARALLELISM_DEFAULT), 7);
    assert_int_equal(conf_int(cluster, OPT_PARALLELISM_DEFAULT), 2);
    assert_int_equal(conf_set(job, "rest.port", "1", "-D", &err), 0);
    assert_int_equal(conf_merge_job(copy, job, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "'rest.port' is a setting of the cluster"));
    conf_free(cluster);
    conf_free(job);
    conf_free(copy);
}

static void secrets_are_hidden(void **state)
{
    struct conf *c = conf_new();

    (void)state;
    assert_true(conf_is_secret("security.ssl.internal.keystore-password"));
    assert_true(conf_is_secret("s3.Secret-Key"));
    assert_true(conf_is_secret("fs.azure.account.key.x"));
    assert_true(conf_is_secret("my.token"));
    assert_true(conf_is_secret("my.credentials"));
    assert_false(conf_is_secret("rest.port"));
    assert_int_equal(conf_set(c, "s3.secret-key", "abc", "-D", &err), 0);
    assert_string_equal(conf_shown(conf_at(c, 0)), CONF_HIDDEN);
    assert_string_equal(conf_at(c, 0)->value, "abc");
    conf_free(c);
}

static void add_line(void *arg, const char *text)
{
    bytes_printf(arg, "%s\n", text);
}

/* ret: initialized; what is said of keys that do nothing. */
static struct conf *loaded_with_warnings(const char *text, struct bytes *ret)
{
    struct conf *c = conf_new();

    assert_int_equal(conf_load_text(c, "f", text, strlen(text), &err), 0);
    conf_warnings(c, add_line, ret);
    return c;
}

static void keys_that_do_nothing_are_named(void **state)
{
    static const char text[] = "taskmanager.numberOfTaskSlot: 3\n"
                               "python.executable: python3\n"
                               "state.latency-track.history-size: 9\n"
                               "rest.port: 8081\n"
                               "something.entirely.different: 1\n"
                               "rest.url-prefx: /x\n"
                               "execution.checkpointing.intervall: 5 s\n"
                               "execution.checkpointing.write-buffer-size: 4096\n";
    struct bytes out;
    struct conf *c;

    (void)state;
    bytes_init(&out);
    c = loaded_with_warnings(text, &out);
    assert_string_equal((char *)out.data,
                        "f:1: unknown key 'taskmanager.numberOfTaskSlot'; did you mean "
                        "'taskmanager.numberOfTaskSlots'?\n"
                        "f:2: 'python.executable' means nothing here: jobs are written in C.\n"
                        "f:3: 'state.latency-track.history-size' is not supported yet and does nothing\n"
                        "f:5: unknown key 'something.entirely.different'\n"
                        "f:6: unknown key 'rest.url-prefx'; did you mean 'rest.url-prefix'?\n"
                        "f:7: unknown key 'execution.checkpointing.intervall'; did you mean 'execution.checkpointing.interval'?\n"
                        "f:8: 'execution.checkpointing.write-buffer-size' is not supported yet and does nothing\n");
    bytes_release(&out);
    conf_free(c);
}

static void older_names_of_keys_are_taken(void **state)
{
    static const char text[] = "state.checkpoints.dir: file:///ckpt\n"
                               "state.savepoints.dir: file:///sp\n"
                               "state.backend: RocksDB\n"
                               "state.backend.incremental: false\n"
                               "state.checkpoints.num-retained: 3\n"
                               "restart-strategy: fixed-delay\n"
                               "execution.savepoint.path: /sp/1\n"
                               "execution.savepoint.ignore-unclaimed-state: true\n"
                               "execution.savepoint-restore-mode: CLAIM\n";
    struct bytes out;
    struct conf *c;

    (void)state;
    bytes_init(&out);
    c = loaded_with_warnings(text, &out);
    assert_int_equal(out.len, 0);
    assert_string_equal(conf_string(c, OPT_EXECUTION_CHECKPOINTING_DIR), "file:///ckpt");
    assert_string_equal(conf_string(c, OPT_EXECUTION_CHECKPOINTING_SAVEPOINT_DIR), "file:///sp");
    assert_string_equal(conf_string(c, OPT_STATE_BACKEND_TYPE), "rocksdb");
    assert_false(conf_bool(c, OPT_EXECUTION_CHECKPOINTING_INCREMENTAL));
    assert_int_equal(conf_int(c, OPT_EXECUTION_CHECKPOINTING_NUM_RETAINED), 3);
    assert_string_equal(conf_string(c, OPT_RESTART_STRATEGY_TYPE), "fixed-delay");
    assert_string_equal(conf_string(c, OPT_EXECUTION_STATE_RECOVERY_PATH), "/sp/1");
    assert_true(conf_bool(c, OPT_EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED_STATE));
    assert_string_equal(conf_string(c, OPT_EXECUTION_STATE_RECOVERY_CLAIM_MODE), "CLAIM");
    assert_int_equal(conf_set(c, "restart-strategy", "sometimes", "-D", &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "-D: restart-strategy.type: 'sometimes' is none of them"));
    bytes_release(&out);
    conf_free(c);
}

/* The shipped file works and warns about nothing; a missing folder is an error when it is named. */
static void folders_are_found_or_named(void **state)
{
    struct conf *c = NULL;
    struct bytes out;
    char *dir;

    (void)state;
    bytes_init(&out);
    assert_int_equal(conf_open("conf", NULL, 0, &c, &err), 0);
    conf_warnings(c, add_line, &out);
    assert_int_equal(out.len, 0);
    assert_string_equal(conf_at(c, 0)->origin, "conf/rask-conf.yaml:6");
    conf_free(c);
    assert_int_equal(conf_open("/nonexistent/dir", NULL, 0, &c, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/dir"));
    assert_int_equal(setenv("RASK_CONF_DIR", "/nonexistent/env", 1), 0);
    assert_int_equal(conf_open(NULL, NULL, 0, &c, &err), ERR_NOT_FOUND);
    dir = conf_dir();
    assert_string_equal(dir, "/nonexistent/env");
    mem_free(dir);
    assert_int_equal(unsetenv("RASK_CONF_DIR"), 0);
    bytes_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_pass_their_own_checks),
        cmocka_unit_test(getters_give_defaults_and_values),
        cmocka_unit_test(addresses_put_brackets_around_ipv6),
        cmocka_unit_test(ports_are_lists_of_ranges),
        cmocka_unit_test(refusals_say_what_and_where),
        cmocka_unit_test(sizes_are_written_as_in_flink),
        cmocka_unit_test(durations_are_written_as_in_flink),
        cmocka_unit_test(options_that_contradict_are_refused),
        cmocka_unit_test(a_job_sets_only_what_is_its_own),
        cmocka_unit_test(secrets_are_hidden),
        cmocka_unit_test(keys_that_do_nothing_are_named),
        cmocka_unit_test(older_names_of_keys_are_taken),
        cmocka_unit_test(folders_are_found_or_named),
    };

    unsetenv("RASK_CONF_DIR");
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
