/*
 * load.c - from files and command lines to a struct conf: finding the folder, reading, duplicates,
 * and the checks that look at more than one option.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/conf/conf_private.h"

struct loading {
    struct conf *conf;
    const char *name;
    struct map *lines; /* key -> its line, as a pointer */
};

static int add_leaf(void *arg, const char *key, const char *value, unsigned line, struct err *err)
{
    struct loading *l = arg;
    uintptr_t before = (uintptr_t)map_get_str(l->lines, key);
    char origin[1024];

    if (before != 0)
        return err_set(err, ERR_INVALID, "%s:%u: duplicate key '%s', first set in line %u", l->name,
                       line, key, (unsigned)before);
    map_put_str(l->lines, key, (void *)(uintptr_t)line);
    snprintf(origin, sizeof(origin), "%s:%u", l->name, line);
    return conf_set(l->conf, key, value, origin, err);
}

int conf_load_text(struct conf *conf, const char *name, const void *text, size_t len,
                   struct err *err)
{
    struct loading l = {conf, name, map_new()};
    int code = conf_yaml_parse(name, text, len, add_leaf, &l, err);

    map_free(l.lines);
    return code;
}

static int read_file(const char *path, struct bytes *out, struct err *err)
{
    struct stat st;
    ssize_t n = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_errno(err, errno, "configuration %s", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_INVALID, "configuration %s: not a regular file", path);
    }
    while (n > 0 && out->len <= CONF_FILE_MAX) {
        char part[16384];

        n = read(fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            bytes_add(out, part, (size_t)n);
    }
    if (n < 0)
        err_errno(err, errno, "configuration %s", path);
    close(fd);
    return n < 0 ? ERR_IO : 0;
}

int conf_load(struct conf *conf, const char *dir_or_file, struct err *err)
{
    struct bytes text;
    struct stat st;
    char *path;
    int code;

    if (stat(dir_or_file, &st) < 0)
        return err_errno(err, errno, "configuration %s", dir_or_file);
    path = S_ISDIR(st.st_mode) ? mem_printf("%s/%s", dir_or_file, CONF_FILE_NAME)
                               : mem_strdup(dir_or_file);
    bytes_init(&text);
    code = read_file(path, &text, err);
    if (code == 0)
        code = conf_load_text(conf, path, text.len > 0 ? (const void *)text.data : "", text.len,
                              err);
    bytes_release(&text);
    mem_free(path);
    return code;
}

static const char *dir_of_environment(void)
{
    const char *dir = getenv("RASK_CONF_DIR");

    return dir != NULL && dir[0] != '\0' ? dir : NULL;
}

char *conf_dir(void)
{
    const char *given = dir_of_environment();
    char place[4096];
    ssize_t len;

    if (given != NULL)
        return mem_strdup(given);
    len = readlink("/proc/self/exe", place, sizeof(place) - 1);
    if (len <= 0)
        return NULL;
    place[len] = '\0';
    /* bin/.. installed; build/bin/../.. and build/VARIANT/bin/../../.. in a source tree */
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(place, '/'), *file;
        bool found;

        if (slash == NULL || slash == place)
            return NULL;
        *slash = '\0';
        file = mem_printf("%s/conf/%s", place, CONF_FILE_NAME);
        found = access(file, F_OK) == 0;
        mem_free(file);
        if (found)
            return mem_printf("%s/conf", place);
    }
    return NULL;
}

static const char *origin_of(const struct conf *conf, enum conf_id id)
{
    const char *key = conf_option(id)->key;

    for (size_t i = 0; i < conf_count(conf); i++) {
        if (strcmp(conf_at(conf, i)->key, key) == 0)
            return conf_at(conf, i)->origin;
    }
    return "default";
}

static int refuse_pair(const struct conf *conf, enum conf_id a, const char *what, enum conf_id b,
                       struct err *err)
{
    return err_set(err, ERR_INVALID, "%s (%s) %s %s (%s); change one of the two",
                   conf_option(a)->key, origin_of(conf, a), what, conf_option(b)->key,
                   origin_of(conf, b));
}

int conf_check(const struct conf *conf, struct err *err)
{
    static const struct {
        enum conf_id low, high;
    } ordered[] = {
        {OPT_HEARTBEAT_INTERVAL, OPT_HEARTBEAT_TIMEOUT},
        {OPT_CLUSTER_REGISTRATION_INITIAL_TIMEOUT, OPT_CLUSTER_REGISTRATION_MAX_TIMEOUT},
        {OPT_TASKMANAGER_MEMORY_NETWORK_MIN, OPT_TASKMANAGER_MEMORY_NETWORK_MAX},
        {OPT_TASKMANAGER_MEMORY_NETWORK_MIN, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE},
        {OPT_TASKMANAGER_MEMORY_MANAGED_SIZE, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE},
    };

    for (size_t i = 0; i < ARRAY_LEN(ordered); i++) {
        enum conf_id low = ordered[i].low, high = ordered[i].high;
        bool memory = conf_option(low)->type == CONF_MEMORY;

        if (memory ? conf_memory_bytes(conf, low) > conf_memory_bytes(conf, high)
                   : conf_duration_ms(conf, low) > conf_duration_ms(conf, high))
            return refuse_pair(conf, low, "is more than", high, err);
    }
    if (conf_double(conf, OPT_TASKMANAGER_MEMORY_MANAGED_FRACTION) +
            conf_double(conf, OPT_TASKMANAGER_MEMORY_NETWORK_FRACTION) > 1.0)
        return refuse_pair(conf, OPT_TASKMANAGER_MEMORY_MANAGED_FRACTION,
                           "is more than 1 together with",
                           OPT_TASKMANAGER_MEMORY_NETWORK_FRACTION, err);
    return 0;
}

static int fill(struct conf *conf, const char *dir, const char *const *settings, size_t count,
                struct err *err)
{
    int code = dir != NULL ? conf_load(conf, dir, err) : 0;

    for (size_t i = 0; code == 0 && i < count; i++)
        code = conf_set_pair(conf, settings[i], "-D", err);
    return code < 0 ? code : conf_check(conf, err);
}

int conf_open(const char *dir, const char *const *settings, size_t setting_count,
              struct conf **ret, struct err *err)
{
    struct conf *conf = conf_new();
    char *found = dir == NULL ? conf_dir() : NULL;
    int code = fill(conf, dir != NULL ? dir : found, settings, setting_count, err);

    mem_free(found);
    if (code < 0)
        conf_free(conf);
    else
        *ret = conf;
    return code;
}
