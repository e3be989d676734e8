/*
 * daemon.c - the part of a daemon's main() that is the same for all: options, configuration, log,
 * pid file, and the one line that tells the starting script how it went.
 *
 * The pid file is shared by all daemons of one kind, user and folder: one pid per line, changed
 * only under flock.  An empty one is removed, so a new one may take its place while somebody waits
 * for the lock: that one sees that its file has no name left, and opens again.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/conf/daemon.h"

#define PIDS_MAX 4096
#define SETTINGS_MAX 1000

enum { ARG_PIDFILE = 1000, ARG_LOG, ARG_READY_FD };

static const struct option long_options[] = {
    {"configDir", required_argument, NULL, 'c'},
    {"pidfile", required_argument, NULL, ARG_PIDFILE},
    {"log", required_argument, NULL, ARG_LOG},
    {"ready-fd", required_argument, NULL, ARG_READY_FD},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static void print_help(const char *name)
{
    struct bytes text;

    bytes_init(&text);
    bytes_printf(&text,
                 "Usage: %s [-D key=value]... [--configDir DIR] [--log FILE] [--pidfile FILE] "
                 "[--ready-fd N]\n\n"
                 "  -D key=value     a setting that wins over the file\n"
                 "  -c, --configDir  folder of %s (else RASK_CONF_DIR, else conf/)\n"
                 "  --log FILE       log there instead of standard error\n"
                 "  --pidfile FILE   keep the own pid there, one line per process\n"
                 "  --ready-fd N     write one line there once started: ready, waiting ..., "
                 "error ...\n"
                 "  -h, --help       this text\n"
                 "  -v, --version    the version\n\n",
                 name, CONF_FILE_NAME);
    conf_doc_help(&text);
    fputs((const char *)text.data, stdout);
    bytes_release(&text);
}

/* One line, whatever is in the text. */
static void say(struct daemon *d, const char *word, const char *text)
{
    char line[ERR_TEXT_MAX + 32];
    int len;

    if (d->ready_fd < 0)
        return;
    len = snprintf(line, sizeof(line) - 1, "%s%s%s", word, text[0] != '\0' ? " " : "", text);
    len = MIN(len, (int)sizeof(line) - 2);
    for (int i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    }
    line[len++] = '\n';
    /* A script that no longer listens is none of the daemon's business. */
    if (write(d->ready_fd, line, (size_t)len) < 0)
        errno = 0;
    close(d->ready_fd);
    d->ready_fd = -1;
}

/* Opens and locks; the answer is the fd, with a name in the folder as long as the lock is held. */
static int open_pidfile(const char *path, struct err *err)
{
    for (;;) {
        struct stat st;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

        if (fd < 0)
            return err_errno(err, errno, "pid file %s", path);
        while (flock(fd, LOCK_EX) < 0) {
            if (errno != EINTR) {
                err_errno(err, errno, "pid file %s: cannot be locked", path);
                close(fd);
                return ERR_IO;
            }
        }
        if (fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        close(fd);
    }
}

/* A zombie does not live: its command line is empty, while kill() still finds it. */
static bool lives(pid_t pid)
{
    char path[64], first;
    ssize_t n;
    int fd;

    if (kill(pid, 0) < 0 && errno != EPERM)
        return false;
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    n = read(fd, &first, 1);
    close(fd);
    return n != 0;
}

/* Reads the pids that live, without the own one. */
static size_t read_pids(int fd, pid_t *pids)
{
    char text[PIDS_MAX * 8];
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    size_t n = 0;

    text[len > 0 ? len : 0] = '\0';
    for (char *at = text; n < PIDS_MAX - 1;) {
        char *end;
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        at = end;
        if (pid > 0 && pid != getpid() && lives((pid_t)pid))
            pids[n++] = (pid_t)pid;
    }
    return n;
}

static int write_pids(int fd, const char *path, const pid_t *pids, size_t n, struct err *err)
{
    struct bytes text;
    ssize_t done;
    int code = 0;

    bytes_init(&text);
    for (size_t i = 0; i < n; i++)
        bytes_printf(&text, "%ld\n", (long)pids[i]);
    done = ftruncate(fd, 0) == 0 ? pwrite(fd, text.data, text.len, 0) : -1;
    if (done < 0 || (size_t)done < text.len)
        code = err_errno(err, done < 0 ? errno : ENOSPC, "pid file %s", path);
    bytes_release(&text);
    return code;
}

/* Puts the own pid at the end, or takes it out. */
static int update_pidfile(const char *path, bool add, struct err *err)
{
    pid_t pids[PIDS_MAX];
    size_t n;
    int code = 0, fd = open_pidfile(path, err);

    if (fd < 0)
        return fd;
    n = read_pids(fd, pids);
    if (add)
        pids[n++] = getpid();
    if (n > 0)
        code = write_pids(fd, path, pids, n, err);
    else
        unlink(path);
    close(fd);
    return code;
}

static int parse_fd(const char *text, int *ret, struct err *err)
{
    char *end;
    long fd = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || fd < 0 || fd > 65535 ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return err_set(err, ERR_INVALID, "--ready-fd %s: not an open file descriptor", text);
    *ret = (int)fd;
    return 0;
}

struct arguments {
    const char *conf_dir;
    const char *settings[SETTINGS_MAX];
    size_t setting_count;
};

/* -1: go on; else the exit code. Messages of getopt go to stderr by itself. */
static int parse_arguments(struct daemon *d, int argc, char **argv, struct arguments *ret,
                           struct err *err)
{
    optind = 1;
    for (;;) {
        switch (getopt_long(argc, argv, "+D:c:hv", long_options, NULL)) {
        case -1:
            d->argc = argc - optind;
            d->argv = argv + optind;
            return -1;
        case 'D':
            if (ret->setting_count == SETTINGS_MAX) {
                err_set(err, ERR_LIMIT, "more than %d times -D", SETTINGS_MAX);
                return 1;
            }
            ret->settings[ret->setting_count++] = optarg;
            break;
        case 'c':
            ret->conf_dir = optarg;
            break;
        case ARG_PIDFILE:
            d->pidfile = optarg;
            break;
        case ARG_LOG:
            d->log = optarg;
            break;
        case ARG_READY_FD:
            if (parse_fd(optarg, &d->ready_fd, err) < 0)
                return 1;
            break;
        case 'h':
            print_help(d->name);
            return 0;
        case 'v':
            printf("%s %s\n", d->name, RASK_VERSION);
            return 0;
        default:
            err_set(err, ERR_INVALID, "bad option; %s --help lists them", d->name);
            return 1;
        }
    }
}

static int open_log(struct daemon *d, struct err *err)
{
    struct log_options o = {
        .path = d->log,
        .modules = conf_string(d->conf, OPT_RASK_LOG_MODULES),
        .rotate_bytes = conf_memory_bytes(d->conf, OPT_RASK_LOG_MAX_SIZE),
        .rotate_keep = (uint32_t)conf_int(d->conf, OPT_ENV_LOG_MAX),
    };

    CHECK(log_parse_level(conf_string(d->conf, OPT_ENV_LOG_LEVEL), &o.level) == 0);
    return log_open(&o, err);
}

static void log_warning(void *arg, const char *text)
{
    (void)arg;
    log_printf(LOG_WARN, "conf", "%s", text);
}

static void log_configuration(const struct daemon *d)
{
    log_printf(LOG_INFO, "main", "%s %s starts, pid %ld", d->name, RASK_VERSION, (long)getpid());
    for (size_t i = 0; i < conf_count(d->conf); i++) {
        const struct conf_entry *e = conf_at(d->conf, i);

        log_printf(LOG_INFO, "conf", "%s = %s (%s)", e->key, conf_shown(e), e->origin);
    }
    conf_warnings(d->conf, log_warning, NULL);
}

void daemon_raise_open_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files); /* the limit that there is goes on */
}

int daemon_start(struct daemon *d, const char *name, int argc, char **argv)
{
    struct arguments args = {0};
    struct err err = {0};
    int code;

    *d = (struct daemon){.name = name, .ready_fd = -1};
    daemon_raise_open_files(); /* of what it starts, too */
    code = parse_arguments(d, argc, argv, &args, &err);
    if (code == 0)
        return 0;
    if (code < 0)
        code = conf_open(args.conf_dir, args.settings, args.setting_count, &d->conf, &err);
    if (code == 0)
        code = open_log(d, &err);
    if (code == 0 && d->pidfile != NULL) {
        const char *path = d->pidfile;

        d->pidfile = NULL; /* not ours until the pid is in it */
        code = update_pidfile(path, true, &err);
        if (code == 0)
            d->pidfile = path;
    }
    if (code != 0)
        return daemon_fail(d, &err);
    log_configuration(d);
    return -1;
}

void daemon_ready(struct daemon *d)
{
    say(d, "ready", "");
}

void daemon_waiting(struct daemon *d, const char *text)
{
    say(d, "waiting", text);
}

int daemon_fail(struct daemon *d, const struct err *err)
{
    if (d->log != NULL && d->conf != NULL)
        log_printf(LOG_ERROR, "main", "%s", err->text);
    fprintf(stderr, "%s: %s\n", d->name, err->text);
    /* Who waits for the word may look at once: the pid must be gone by then. */
    daemon_end(d);
    say(d, "error", err->text);
    return 1;
}

void daemon_end(struct daemon *d)
{
    struct err err;

    if (d->pidfile != NULL && update_pidfile(d->pidfile, false, &err) < 0)
        log_printf(LOG_WARN, "main", "%s", err.text);
    d->pidfile = NULL;
    log_close();
    conf_free(d->conf);
    d->conf = NULL;
}
