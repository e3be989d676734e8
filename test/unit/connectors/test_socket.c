/* Lines from a TCP server: pieces of lines, the end, and servers that are not there. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "test/unit/connectors/harness.h"

static struct harness *socket_new(const char *host, const char *port)
{
    struct harness *h = h_new("socket", &rask_text_schema);

    h_property(h, "host", host);
    h_property(h, "port", port);
    return h;
}

/* A bound socket on a free port of loopback. */
static int bound(char port[16])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(port, 16, "%u", ntohs(a.sin_port));
    return fd;
}

static void serve(int listener, const char *const *pieces)
{
    int fd = accept(listener, NULL, NULL);

    for (; *pieces; pieces++) {
        usleep(5000);
        if (write(fd, *pieces, strlen(*pieces)) < 0)
            _exit(1);
    }
    close(fd);
    _exit(0);
}

static void lines_in_pieces(void **state)
{
    const char *const pieces[] = {"one\r\nt", "w", "o\n\n", "thr", "ee", NULL};
    struct harness *h;
    char port[16];
    int listener = bound(port), status;
    pid_t pid;

    (void)state;
    assert_int_equal(listen(listener, 1), 0);
    pid = fork();
    if (pid == 0)
        serve(listener, pieces);
    h = socket_new("localhost", port);
    assert_int_equal(h_read(h), 0);
    assert_rows(h, "one\ntwo\n\nthree\n");
    assert_true(h->waits > 0);
    h_free(h);
    close(listener);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void check_limit(const struct h_line *line, const char *text, size_t len, void **state)
{
    char port[16];
    int listener = bound(port), status;
    struct harness *h;
    pid_t pid;

    (void)state;
    assert_int_equal(listen(listener, 1), 0);
    pid = fork();
    if (pid == 0) {
        int fd = accept(listener, NULL, NULL);

        signal(SIGPIPE, SIG_IGN);
        while (len > 0) { /* until it is all there, or the source has closed */
            ssize_t n = write(fd, text, len);

            if (n < 0)
                break;
            text += n;
            len -= (size_t)n;
        }
        close(fd);
        _exit(0);
    }
    h = socket_new("127.0.0.1", port);
    pool_set_row_max(h->pool, line->most);
    h_check_line(h, line, h_read(h), "a line is longer than rask.max-row-size");
    h_free(h);
    close(listener);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void the_limit_is_exact(void **state)
{
    h_each_line(check_limit, state);
}

static void nobody_listens(void **state)
{
    char port[16], where[64];
    int fd = bound(port); /* bound and not listening: nobody else can be there */
    struct harness *h = socket_new("127.0.0.1", port);

    (void)state;
    assert_true(h_read(h) < 0);
    snprintf(where, sizeof(where), "cannot connect to 127.0.0.1:%s from host ", port);
    assert_contains(h->ctx.error.text, where);
    assert_contains(h->ctx.error.text, "connection refused: is a server listening there?");
    h_free(h);
    close(fd);
}

static void no_such_host(void **state)
{
    struct harness *h = socket_new("256.0.0.1.invalid", "80");

    (void)state;
    assert_true(h_read(h) < 0);
    assert_contains(h->ctx.error.text, "cannot find the address of 256.0.0.1.invalid:80");
    h_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_pieces),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(no_such_host),
    };

    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
