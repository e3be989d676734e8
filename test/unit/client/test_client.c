/* Pieces of rask: options, addresses, answers of servers of all kinds, names from symbol tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client_private.h"
#include "common/base/check.h"

/* ---- options ---- */
static int parse(struct cli_options *o, unsigned known, const char *line, struct err *err)
{
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    char *save;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    return cli_parse(o, known, argc, argv, err);
}

static void test_options_stand_before_files_and_parameters_behind(void **state)
{
    const unsigned run = CLI_OPT_BUILD | CLI_OPT_RUN | CLI_OPT_CLUSTER;
    struct cli_options o;
    struct err err = {0};

    (void)state;
    assert_int_equal(parse(&o, run, "-p 4 -d -Da=b -D c=d --entry=start -m h:1 a.c b.c --n 5 -p 7", &err), 0);
    assert_int_equal(o.parallelism, 4);
    assert_true(o.detached);
    assert_int_equal(o.setting_count, 2);
    assert_string_equal(o.settings[0], "a=b");
    assert_string_equal(o.settings[1], "c=d");
    assert_string_equal(o.entry, "start");
    assert_string_equal(o.jobmanager, "h:1");
    assert_int_equal(o.file_count, 2);
    assert_int_equal(o.param_count, 4);
    assert_string_equal(o.params[0], "--n");
    assert_int_equal(parse(&o, run, "job.so input.txt", &err), 0);
    assert_int_equal(o.file_count, 1); /* no job file: the rest is the job's, which will refuse it */
    assert_int_equal(o.param_count, 1);
}

static void files_of_checkpoints_may_be_large(void **state)
{
    char path[] = "/tmp/rask-client-XXXXXX";
    const uint8_t *data = NULL;
    struct err err = {0};
    size_t len = 0;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)CLI_FILE_MAX + 1), 0);
    assert_int_equal(cli_file_map(path, &data, &len, &err), ERR_LIMIT);
    assert_int_equal(cli_file_map_large(path, &data, &len, &err), 0);
    assert_int_equal(len, CLI_FILE_MAX + 1);
    cli_file_unmap(data, len);
    close(fd);
    unlink(path);
}

static void test_bad_options_are_named(void **state)
{
    static const struct {
        unsigned known;
        const char *line, *text;
    } rows[] = {{CLI_OPT_RUN, "-t moon", "`local` or `remote`"},
                {CLI_OPT_BUILD, "-p -1 x.c", "positive number: -1"},
                {CLI_OPT_BUILD, "-p 32769 x.c", "over 32768"},
                {CLI_OPT_BUILD, "-p", "wants a value"},
                {CLI_OPT_LIST, "-d", "unknown option `-d`"},
                {CLI_OPT_RUN, "-s", "wants a value"},
                {CLI_OPT_RUN, "-cm mine", "claim or no_claim"},
                {CLI_OPT_SAVEPOINT, "-type odd", "canonical or native"},
                {0, "-D x", "key=value"}};
    struct cli_options o;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};

        assert_true(parse(&o, rows[i].known, rows[i].line, &err) < 0);
        if (!strstr(err.text, rows[i].text))
            fail_msg("%s: %s", rows[i].line, err.text);
    }
    assert_int_equal(parse(&o, CLI_OPT_LIST, "-s", NULL), 0);
    assert_true(o.scheduled);
}

/* ---- HTTP ---- */
struct server {
    int fd;
    uint16_t port;
    const char *answer;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    char block[4096];
    int fd = accept(s->fd, NULL, NULL);

    if (recv(fd, block, sizeof(block), 0) > 0)
        send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

/* One call to a server that gives this answer and closes. Returns the code. */
static int ask(const char *answer, int *status, struct bytes *body, struct err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    struct server s = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .answer = answer};
    struct cli_http *client;
    char address[32];
    int code;

    assert_int_equal(bind(s.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s.fd, 1), 0);
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&a, &len), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(cli_http_new(address, &client, err), 0);
    code = cli_http_call(client, "GET", "/", NULL, 0, status, body, err);
    pthread_join(s.thread, NULL);
    cli_http_free(client);
    close(s.fd);
    return code;
}

static void test_answers_of_all_forms_are_read(void **state)
{
    static const struct {
        const char *answer, *body; /* NULL: refused */
        int status;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 200},
        {"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", "", 404},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", 200},
        {"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", NULL, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", NULL, 0},
        {"HTTP/1.1 xyz\r\n\r\n", NULL, 0},
        {"220 mail ESMTP\r\n", NULL, 0},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", NULL, 0},
        {"HTTP/1.1 2", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bytes body = {0};
        struct err err = {0};
        int status = 0, code = ask(rows[i].answer, &status, &body, &err);

        if ((code == 0) != (rows[i].body != NULL))
            fail_msg("%s: %d %s", rows[i].answer, code, err.text);
        if (rows[i].body) {
            assert_int_equal(status, rows[i].status);
            assert_int_equal(body.len, strlen(rows[i].body));
            assert_memory_equal(body.data ? body.data : (uint8_t *)"", rows[i].body, body.len);
        }
        bytes_release(&body);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text, *address; /* NULL: refused */
    } rows[] = {{"localhost:8081", "localhost:8081"}, {"host", "host:8081"},      {"http://h:1/", "h:1"},
                {"[::1]:9", "[::1]:9"},               {"[::1]", "[::1]:8081"},    {"h:0", NULL},
                {"h:65536", NULL},                    {"h:x", NULL},              {":1", NULL},
                {"https://h:1", "h:1"},               {"", NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cli_http *c = NULL;
        struct err err = {0};
        int code = cli_http_new(rows[i].text, &c, &err);

        assert_int_equal(code == 0, rows[i].address != NULL);
        if (c)
            assert_string_equal(cli_http_address(c), rows[i].address);
        cli_http_free(c);
    }
}

/* ---- names of functions ---- */
extern char __executable_start;
__attribute__((noinline)) static int a_function_of_this_test(int n)
{
    return n * 3 + 1;
}

static void test_functions_are_found_in_the_symbol_table(void **state)
{
    uint64_t at = (uint64_t)((uintptr_t)&a_function_of_this_test - (uintptr_t)&__executable_start);
    char name[64];

    (void)state;
    assert_int_equal(a_function_of_this_test(1), 4);
    cli_elf_function("/proc/self/exe", at, name, sizeof(name));
    assert_string_equal(name, "a_function_of_this_test");
    cli_elf_function("/proc/self/exe", UINT64_MAX, name, sizeof(name));
    assert_string_equal(name, "");
    cli_elf_function("/etc/passwd", 1, name, sizeof(name));
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_stand_before_files_and_parameters_behind),
        cmocka_unit_test(test_bad_options_are_named),
        cmocka_unit_test(files_of_checkpoints_may_be_large),
        cmocka_unit_test(test_answers_of_all_forms_are_read),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_functions_are_found_in_the_symbol_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
