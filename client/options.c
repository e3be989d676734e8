/* options.c - the command line of `rask`: options first, then operands, then the job's own parameters. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/client.h"
#include "common/base/check.h"

enum option_id {
    O_JOBMANAGER,
    O_TARGET,
    O_ENTRY,
    O_CFLAGS,
    O_LIBS,
    O_SANITIZE,
    O_PARALLELISM,
    O_DETACHED,
    O_SETTING,
    O_SAVEPOINT,
    O_ALLOW,
    O_CLAIM,
    O_ALL,
    O_RUNNING,
    O_SCHEDULED,
    O_FOLLOW,
    O_COUNT,
    O_DIR,
    O_DAYS,
    O_HOST,
    O_WRITE_CONF,
    O_SAVEPOINT_DETACHED,
    O_SAVEPOINT_TYPE,
    O_DISPOSE,
    O_SAVEPOINT_DIR,
    O_DRAIN,
    O_FULL,
    O_WITH_SAVEPOINT,
    O_HELP,
};
struct option_row {
    enum option_id id;
    const char *names[3];
    bool has_value;
    unsigned known; /* commands that have it; 0: all */
};
static const struct option_row rows[] = {
    {O_JOBMANAGER, {"-m", "--jobmanager"}, true, CLI_OPT_CLUSTER},
    {O_TARGET, {"-t", "--target"}, true, CLI_OPT_RUN},
    {O_ENTRY, {"-c", "--class", "--entry"}, true, CLI_OPT_BUILD},
    {O_CFLAGS, {"--cflags"}, true, CLI_OPT_BUILD},
    {O_LIBS, {"--libs"}, true, CLI_OPT_BUILD},
    {O_SANITIZE, {"--sanitize"}, false, CLI_OPT_BUILD},
    {O_PARALLELISM, {"-p", "--parallelism"}, true, CLI_OPT_BUILD},
    {O_DETACHED, {"-d", "--detached"}, false, CLI_OPT_RUN},
    {O_SAVEPOINT, {"-s", "--fromSavepoint"}, true, CLI_OPT_RUN},
    {O_ALLOW, {"-n", "--allowNonRestoredState"}, false, CLI_OPT_RUN},
    {O_CLAIM, {"-cm", "--claimMode"}, true, CLI_OPT_RUN},
    {O_ALL, {"-a", "--all"}, false, CLI_OPT_LIST},
    {O_RUNNING, {"-r", "--running"}, false, CLI_OPT_LIST},
    {O_SCHEDULED, {"-s", "--scheduled"}, false, CLI_OPT_LIST},
    {O_FOLLOW, {"-f", "--follow"}, false, CLI_OPT_FOLLOW},
    {O_COUNT, {"-n"}, true, CLI_OPT_TOP},
    {O_DIR, {"--dir"}, true, CLI_OPT_SECURITY},
    {O_DAYS, {"--days"}, true, CLI_OPT_SECURITY},
    {O_HOST, {"--host"}, true, CLI_OPT_SECURITY},
    {O_WRITE_CONF, {"--write-conf"}, false, CLI_OPT_SECURITY},
    {O_SAVEPOINT_DETACHED, {"-detached", "--detached"}, false, CLI_OPT_SAVEPOINT},
    {O_SAVEPOINT_TYPE, {"-type", "--type"}, true, CLI_OPT_SAVEPOINT | CLI_OPT_CANCEL},
    {O_DISPOSE, {"-d", "--dispose"}, true, CLI_OPT_DISPOSE},
    {O_SAVEPOINT_DIR, {"-p", "--savepointPath"}, true, CLI_OPT_STOP},
    {O_DRAIN, {"-d", "--drain"}, false, CLI_OPT_STOP},
    {O_FULL, {"-full"}, false, CLI_OPT_CHECKPOINT},
    {O_WITH_SAVEPOINT, {"-s", "--withSavepoint"}, true, CLI_OPT_CANCEL},
    {O_SETTING, {"-D"}, true, 0},
    {O_HELP, {"-h", "--help"}, false, 0},
};

/* The row of arg, or NULL. ret_value: what is glued to it ("-Dkey=value", "--name=value"), else NULL. */
static const struct option_row *option_find(const char *arg, unsigned known, const char **ret_value)
{
    *ret_value = NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].known && !(rows[i].known & known))
            continue;
        for (size_t n = 0; n < ARRAY_LEN(rows[i].names) && rows[i].names[n]; n++) {
            const char *name = rows[i].names[n];
            size_t len = strlen(name);

            if (strcmp(arg, name) == 0)
                return &rows[i];
            if (!rows[i].has_value || strncmp(arg, name, len) != 0)
                continue;
            if (rows[i].id == O_SETTING) {
                *ret_value = arg + len;
                return &rows[i];
            }
            if (name[1] == '-' && arg[len] == '=') {
                *ret_value = arg + len + 1;
                return &rows[i];
            }
        }
    }
    return NULL;
}

static int parse_parallelism(const char *text, uint32_t *ret, struct err *err)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < 1)
        return err_set(err, ERR_INVALID, "the parallelism must be a positive number: %s", text);
    if (n > 32768)
        return err_set(err, ERR_INVALID, "the parallelism must not be over 32768: %s", text);
    *ret = (uint32_t)n;
    return 0;
}

static int parse_count(const char *text, uint32_t *ret, struct err *err)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < 1 || n > 1000000000)
        return err_set(err, ERR_INVALID, "-n wants a number from 1 to 1000000000, not `%s`", text);
    *ret = (uint32_t)n;
    return 0;
}

static int parse_days(const char *text, uint32_t *ret, struct err *err)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < 1 || n > 7300)
        return err_set(err, ERR_INVALID, "--days wants a number from 1 to 7300, not `%s`", text);
    *ret = (uint32_t)n;
    return 0;
}

static int option_apply(struct cli_options *o, const struct option_row *row, const char *value,
                        struct err *err)
{
    switch (row->id) {
    case O_JOBMANAGER: o->jobmanager = value; return 0;
    case O_TARGET:
        if (strcmp(value, "local") != 0 && strcmp(value, "remote") != 0)
            return err_set(err, ERR_INVALID, "--target is `local` or `remote`, not `%s`", value);
        o->target = value;
        return 0;
    case O_ENTRY: o->entry = value; return 0;
    case O_CFLAGS: o->cflags = value; return 0;
    case O_LIBS: o->libs = value; return 0;
    case O_SANITIZE: o->sanitize = true; return 0;
    case O_PARALLELISM: return parse_parallelism(value, &o->parallelism, err);
    case O_DETACHED: o->detached = true; return 0;
    case O_SAVEPOINT: o->from_savepoint = value; return 0;
    case O_ALLOW: o->allow_dropped = true; return 0;
    case O_CLAIM:
        o->claim = strcasecmp(value, "claim") == 0 ? "CLAIM" : strcasecmp(value, "no_claim") == 0 ? "NO_CLAIM" : NULL;
        return o->claim ? 0 : err_set(err, ERR_INVALID, "-cm, --claimMode is claim or no_claim, not `%s`", value);
    case O_SAVEPOINT_DETACHED: o->savepoint_detached = true; return 0;
    case O_SAVEPOINT_TYPE:
        if (strcasecmp(value, "canonical") != 0 && strcasecmp(value, "native") != 0)
            return err_set(err, ERR_INVALID, "--type is canonical or native (the same here), not `%s`", value);
        return 0;
    case O_DISPOSE: o->dispose = value; return 0;
    case O_SAVEPOINT_DIR: o->savepoint_dir = value; return 0;
    case O_DRAIN: o->drain = true; return 0;
    case O_FULL: o->full = true; return 0;
    case O_WITH_SAVEPOINT:
        o->savepoint_dir = value;
        o->with_savepoint = true;
        return 0;
    case O_ALL: o->all = true; return 0;
    case O_RUNNING: o->running = true; return 0;
    case O_SCHEDULED: o->scheduled = true; return 0;
    case O_FOLLOW: o->follow = true; return 0;
    case O_COUNT: return parse_count(value, &o->count, err);
    case O_DIR: o->dir = value; return 0;
    case O_DAYS: return parse_days(value, &o->days, err);
    case O_HOST:
        if (o->host_count == CLI_HOSTS_MAX)
            return err_set(err, ERR_LIMIT, "more than %d --host", CLI_HOSTS_MAX);
        o->hosts[o->host_count++] = value;
        return 0;
    case O_WRITE_CONF: o->write_conf = true; return 0;
    case O_SETTING:
        if (!strchr(value, '='))
            return err_set(err, ERR_INVALID, "-D takes key=value, not `%s`", value);
        if (o->setting_count == CLI_SETTINGS_MAX)
            return err_set(err, ERR_LIMIT, "more than %d -D settings", CLI_SETTINGS_MAX);
        o->settings[o->setting_count++] = value;
        return 0;
    case O_HELP: o->help = true; return 0;
    }
    return 0;
}

/* An option of ours after the file is most often a slip. */
static void note_misplaced(int argc, char **argv, unsigned known)
{
    for (int i = 0; i < argc; i++) {
        const char *glued;

        if (argv[i][0] == '-' && argv[i][1] && argv[i][1] != '-' && !argv[i][2] && option_find(argv[i], known, &glued))
            fprintf(stderr, "rask: note: %s after the job file is a parameter of the job; options stand before the file\n",
                    argv[i]);
    }
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n > m && strcmp(text + n - m, suffix) == 0;
}

int cli_parse(struct cli_options *o, unsigned known, int argc, char **argv, struct err *err)
{
    int i, code;

    memset(o, 0, sizeof(*o));
    for (i = 0; i < argc; i++) {
        const char *value;
        const struct option_row *row;

        if (argv[i][0] != '-' || !argv[i][1]) {
            if (known & CLI_OPT_BUILD)
                break;
            if (o->file_count == CLI_FILES_MAX)
                return err_set(err, ERR_LIMIT, "more than %d operands", CLI_FILES_MAX);
            o->files[o->file_count++] = argv[i];
            continue;
        }
        row = option_find(argv[i], known, &value);
        if (!row)
            return err_set(err, ERR_INVALID, "unknown option `%s`; --help lists the options", argv[i]);
        if (row->has_value && !value) {
            if (++i == argc)
                return err_set(err, ERR_INVALID, "option `%s` wants a value", argv[i - 1]);
            value = argv[i];
        }
        code = option_apply(o, row, value, err);
        if (code < 0)
            return code;
        if (o->help)
            return 0;
    }
    if (!(known & CLI_OPT_BUILD) || i == argc)
        return 0;
    o->files[o->file_count++] = argv[i++];
    while (i < argc && argv[i][0] != '-' && (has_suffix(argv[i], ".c") || has_suffix(argv[i], ".so"))) {
        if (o->file_count == CLI_FILES_MAX)
            return err_set(err, ERR_LIMIT, "more than %d job files", CLI_FILES_MAX);
        o->files[o->file_count++] = argv[i++];
    }
    o->param_count = argc - i;
    o->params = argv + i;
    note_misplaced(argc - i, argv + i, known);
    return 0;
}

static void warn_line(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "rask: note: %s\n", text);
}

int cli_open_conf(const struct cli_options *o, struct conf **ret, struct err *err)
{
    static bool warned; /* `run` opens it for itself and again for the address */
    int code = conf_open(NULL, o->settings, o->setting_count, ret, err);

    if (code == 0 && !warned)
        conf_warnings(*ret, warn_line, NULL);
    warned |= code == 0;
    return code;
}

static int unwritten(struct err *err)
{
    return err_errno(err, errno ? errno : EIO, "cannot write to standard output");
}

int cli_flush(struct err *err)
{
    errno = 0;
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : unwritten(err);
}

int cli_print(const void *data, size_t len, struct err *err)
{
    errno = 0; /* after a failed fwrite, cli_flush would not know why */
    return fwrite(data, 1, len, stdout) == len ? cli_flush(err) : unwritten(err);
}

int cli_fail(const struct err *err)
{
    fflush(stdout);
    fprintf(stderr, "rask: %s\n", err->text);
    return 1;
}
