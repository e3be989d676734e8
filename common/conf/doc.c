/* doc.c - the option table in prose: docs/configuration.md and the text of --help-options. */
#include <string.h>

#include "common/base/check.h"
#include "common/conf/conf_private.h"

static const struct {
    enum conf_id first; /* the groups of options.h, in its order */
    const char *title;
} groups[] = {
    {OPT_JOBMANAGER_RPC_ADDRESS, "Cluster"},
    {OPT_TASKMANAGER_MEMORY_PROCESS_SIZE, "Memory"},
    {OPT_PARALLELISM_DEFAULT, "Jobs"},
    {OPT_REST_ADDRESS, "REST and clients"},
    {OPT_IO_TMP_DIRS, "Files, logs, scripts"},
    {OPT_SECURITY_ALLOW_PLAINTEXT, "Security"},
};

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from common/conf/options.h and common/conf/classes.c by `make docs-conf`. -->\n"
    "\n"
    "Daemons, scripts and `rask` read `conf/rask-conf.yaml`, or the file of that name in the "
    "folder\n"
    "`RASK_CONF_DIR`. No key needs setting. Keys, defaults and units are Flink's where Flink has "
    "them,\n"
    "so most of an existing Flink configuration can be copied as it is. Both of its forms are "
    "read,\n"
    "and may be mixed:\n"
    "\n"
    "```yaml\n"
    "taskmanager:\n"
    "  numberOfTaskSlots: 4\n"
    "  memory:\n"
    "    process:\n"
    "      size: 4g\n"
    "rest.port: 8081\n"
    "```\n"
    "\n"
    "- `-D key=value` on any command or script wins over the file, and a job's own settings over\n"
    "  the file's. What the column *read at* calls *start* belongs to a process and cannot be set "
    "by a job.\n"
    "- Memory sizes: `1728m`, `1 gb`, `64 kb`, `100` (bytes); 1024-based. Durations: `100ms`, "
    "`10 s`,\n"
    "  `5 min`, `1 h`, `PT10S`, `100` (milliseconds).\n"
    "- A bad value, a duplicate key, an anchor, alias or tag: the program refuses to start, and "
    "names file,\n"
    "  line, key, value and what is allowed.\n"
    "- A key that does nothing is warned about by name: unknown (with the nearest known key), "
    "without\n"
    "  meaning here, or not supported yet.\n"
    "- Values of keys that hold passwords, secrets, tokens or the like are shown as `" CONF_HIDDEN
    "`.\n"
    "- Environment: `RASK_CONF_DIR`, `RASK_LOG_DIR`, `RASK_PID_DIR`, `RASK_SSH_OPTS`,\n"
    "  `RASK_IDENT_STRING` (the user's name in the names of log and pid files).\n";

static const char *type_name(enum conf_type type)
{
    static const char *const names[] = {
        [CONF_STRING] = "text",     [CONF_ENUM] = "word",         [CONF_INT] = "number",
        [CONF_BOOL] = "true/false", [CONF_DOUBLE] = "fraction",   [CONF_MEMORY] = "memory",
        [CONF_DURATION] = "duration", [CONF_PORTS] = "ports",
    };
    return names[type];
}

/* A bar would end the cell. */
static void add_cell(struct bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            bytes_add_str(out, ", ");
        else
            bytes_add(out, text, 1);
    }
}

static void add_option_row(struct bytes *out, const struct conf_option *o)
{
    bytes_printf(out, "| `%s` | ", o->key);
    if (o->def != NULL)
        bytes_printf(out, "`%s`", o->def);
    else
        bytes_add_str(out, "(none)");
    bytes_printf(out, " | %s", type_name(o->type));
    if (o->range[0] != '\0') {
        bytes_add_str(out, o->type == CONF_ENUM || o->type == CONF_BOOL ? ": " : " ");
        add_cell(out, o->range);
    }
    bytes_printf(out, " | %s | ", o->when == CONF_JOB ? "job" : "start");
    add_cell(out, o->doc);
    bytes_add_str(out, " |\n");
}

/* Rows of one class; those without a reason in one paragraph. */
static void add_class(struct bytes *out, enum conf_class class)
{
    size_t n = 0;

    for (size_t i = 0; i < conf_class_row_count; i++) {
        const struct conf_class_row *row = &conf_class_rows[i];

        if (row->class != class)
            continue;
        if (class == CONF_MEANS_NOTHING)
            bytes_printf(out, "- `%s`: %s\n", row->pattern, row->why);
        else
            bytes_printf(out, "%s`%s`", n++ == 0 ? "" : ",\n", row->pattern);
    }
    if (n > 0)
        bytes_add_str(out, ".\n");
}

void conf_doc_markdown(struct bytes *out)
{
    size_t next = 0;

    bytes_add_str(out, intro);
    for (int i = 0; i < OPT_COUNT; i++) {
        if (next < ARRAY_LEN(groups) && groups[next].first == (enum conf_id)i)
            bytes_printf(out,
                         "\n## %s\n\n| Key | Default | Type | Read at | What it does |\n"
                         "| --- | --- | --- | --- | --- |\n",
                         groups[next++].title);
        add_option_row(out, conf_option((enum conf_id)i));
    }
    CHECK(next == ARRAY_LEN(groups));
    bytes_add_str(out, "\n## Keys of Flink that mean nothing here\n\n"
                       "A warning says so; a star stands for all keys of a family.\n\n");
    add_class(out, CONF_MEANS_NOTHING);
    bytes_add_str(out, "\n## Keys of Flink that are not supported yet\n\n");
    add_class(out, CONF_NOT_YET);
}

void conf_doc_help(struct bytes *out)
{
    size_t next = 0;

    bytes_printf(out, "Options of %s and of -D key=value (default in brackets):\n",
                 CONF_FILE_NAME);
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct conf_option *o = conf_option((enum conf_id)i);

        if (next < ARRAY_LEN(groups) && groups[next].first == (enum conf_id)i)
            bytes_printf(out, "\n%s\n", groups[next++].title);
        bytes_printf(out, "  %s [%s]\n      ", o->key, o->def != NULL ? o->def : "none");
        if (o->type != CONF_STRING) {
            conf_value_allowed(o, out);
            bytes_add_str(out, ". ");
        }
        bytes_printf(out, "%s\n", o->doc);
    }
}
