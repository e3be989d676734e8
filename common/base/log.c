/*
 * log.c - the log sink of a process: levels, line format, rotation.
 *
 * One per process, because there is one standard error; nothing but main files and environments
 * writes to it.  Before log_open it writes INFO and above to standard error.
 */
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/mem.h"

#define MODULES_MAX     64
#define MODULE_NAME_MAX 48

struct log_module {
    char name[MODULE_NAME_MAX];
    enum log_level level;
};

/* Levels change only in log_open and log_close, while no other thread logs. */
static struct {
    pthread_mutex_t mutex; /* guards fd, size_bytes and the files' names */
    enum log_level level;
    struct log_module modules[MODULES_MAX];
    size_t module_count;
    int fd;
    char *path; /* NULL: standard error */
    uint64_t size_bytes, rotate_bytes;
    uint32_t rotate_keep;
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};

int log_parse_level(const char *text, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcasecmp(text, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int modules_parse(const char *text, struct err *err)
{
    sink.module_count = 0;
    while (text && *text) {
        size_t len = strcspn(text, ","), name_len = strcspn(text, "=,");
        struct log_module *m = &sink.modules[sink.module_count];
        char level[8];

        if (sink.module_count == MODULES_MAX)
            return err_set(err, ERR_LIMIT, "more than %d log levels of modules", MODULES_MAX);
        if (name_len == 0 || name_len >= len || name_len >= sizeof(m->name) ||
            len - name_len > sizeof(level))
            return err_set(err, ERR_INVALID, "log level \"%.*s\": write MODULE=LEVEL", (int)len,
                           text);
        memcpy(m->name, text, name_len);
        m->name[name_len] = 0;
        memcpy(level, text + name_len + 1, len - name_len - 1);
        level[len - name_len - 1] = 0;
        if (log_parse_level(level, &m->level))
            return err_set(err, ERR_INVALID,
                           "log level of %s: \"%s\" is none of debug, info, warn, error, off",
                           m->name, level);
        sink.module_count++;
        text += len;
        text += *text == ',';
    }
    return 0;
}

/* Of a worker standard error is the log file too. */
static bool is_stderr(int fd)
{
    struct stat a, b;

    return fd != STDERR_FILENO && fstat(fd, &a) == 0 && fstat(STDERR_FILENO, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int file_open(const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return err_errno(err, errno, "cannot open the log file %s", path);
    sink.size_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    sink.fd = fd;
    return 0;
}

void log_close(void)
{
    pthread_mutex_lock(&sink.mutex);
    if (sink.path)
        close(sink.fd);
    mem_free(sink.path);
    sink.path = NULL;
    sink.fd = STDERR_FILENO;
    sink.level = LOG_INFO;
    sink.module_count = 0;
    sink.rotate_bytes = 0;
    pthread_mutex_unlock(&sink.mutex);
}

int log_open(const struct log_options *options, struct err *err)
{
    int rc;

    log_close();
    rc = modules_parse(options->modules, err);
    if (rc)
        return rc;
    sink.level = options->level;
    if (!options->path)
        return 0;
    rc = file_open(options->path, err);
    if (rc)
        return rc;
    sink.path = mem_strdup(options->path);
    sink.rotate_bytes = options->rotate_bytes;
    sink.rotate_keep = options->rotate_keep;
    return 0;
}

bool log_enabled(enum log_level level, const char *module)
{
    for (size_t i = 0; i < sink.module_count; i++) {
        if (strcmp(sink.modules[i].name, module) == 0)
            return level >= sink.modules[i].level;
    }
    return level >= sink.level;
}

/* path.(n-1) becomes path.n, ..., path becomes path.1. A failure leaves the log where it is:
 * logging goes on. */
static void rotate(void)
{
    char *older = NULL;
    int old_fd = sink.fd;
    bool both = is_stderr(old_fd);

    for (uint32_t i = sink.rotate_keep; i > 0; i--) {
        char *newer = i > 1 ? mem_printf("%s.%u", sink.path, i - 1) : mem_strdup(sink.path);

        older = mem_printf("%s.%u", sink.path, i);
        rename(newer, older);
        mem_free(newer);
        mem_free(older);
    }
    if (sink.rotate_keep == 0)
        unlink(sink.path);
    if (file_open(sink.path, NULL) == 0) {
        if (both) /* else what others print goes into a file that is renamed on and on, and then has no name */
            dup2(sink.fd, STDERR_FILENO);
        close(old_fd);
    }
    sink.size_bytes = sink.fd == old_fd ? 0 : sink.size_bytes;
}

static void line_add_time(struct bytes *line)
{
    struct timespec now;
    struct tm local;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
    bytes_printf(line, "%s,%03d", text, (int)(now.tv_nsec / 1000000));
}

/* Text from outside cannot forge a line: what follows a line break is indented, control characters
 * are shown. */
static void line_add_text(struct bytes *line, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\n' && c[1])
            bytes_add_str(line, "\n    ");
        else if ((unsigned char)*c >= 0x20 || *c == '\t')
            bytes_add(line, c, 1);
        else if (*c != '\n')
            bytes_printf(line, "\\x%02x", (unsigned char)*c);
    }
    bytes_add(line, "\n", 1);
}

void log_write(enum log_level level, const char *module, const char *job, const char *text)
{
    int saved_errno = errno;
    struct bytes line;
    ssize_t written;

    if (level >= LOG_OFF || !log_enabled(level, module))
        return;
    bytes_init(&line);
    line_add_time(&line);
    bytes_printf(&line, " %-5s %s ", level_names[level], module);
    if (job && *job)
        bytes_printf(&line, "[%s] ", job);
    line_add_text(&line, text);
    pthread_mutex_lock(&sink.mutex);
    if (sink.path && sink.rotate_bytes && sink.size_bytes > 0 &&
        sink.size_bytes + line.len > sink.rotate_bytes)
        rotate();
    written = write(sink.fd, line.data, line.len);
    if (written > 0)
        sink.size_bytes += (uint64_t)written;
    pthread_mutex_unlock(&sink.mutex);
    bytes_release(&line);
    errno = saved_errno;
}

void log_printf(enum log_level level, const char *module, const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (!log_enabled(level, module))
        return;
    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    log_write(level, module, "", text);
    mem_free(text);
}
