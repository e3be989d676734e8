/*
 * conf.h - the configuration: conf/rask-conf.yaml, -D settings and defaults behind typed getters.
 *
 * Every option that works is one row of common/conf/options.h; the row gives the parser, --help,
 * docs/configuration.md and the check of its value.  A value is checked when it is set, so a getter
 * cannot fail.  Keys that Flink has and Rask does not (yet) are kept, and named by conf_warnings().
 *
 * Start of a program:
 *     struct conf *conf;
 *     if (conf_open(NULL, argv_of_D, n, &conf, &err) < 0)      // or daemon.h, which does all of it
 *         ...print err.text, exit 1...
 *     port = conf_int(conf, OPT_JOBMANAGER_RPC_PORT);
 *
 * Not thread-safe; a conf that nobody changes may be read by any thread.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/conf/options.h"

/* OPT_JOBMANAGER_RPC_ADDRESS and so on: the key in capitals, anything else an underscore. */
enum conf_id {
#define CONF_ID_(id, key, type, def, range, when, doc) OPT_##id,
    CONF_OPTIONS(CONF_ID_)
#undef CONF_ID_
        OPT_COUNT
};

enum conf_type {
    CONF_STRING,   /* conf_string */
    CONF_ENUM,     /* conf_string: one of the range, spelled as there */
    CONF_INT,      /* conf_int */
    CONF_BOOL,     /* conf_bool */
    CONF_DOUBLE,   /* conf_double */
    CONF_MEMORY,   /* conf_memory_bytes: "1728m", "1 gb", "64 kb", "100" (bytes); 1024-based */
    CONF_DURATION, /* conf_duration_ms: "10 s", "100ms", "5 min", "PT10S", "100" (ms) */
    CONF_PORTS,    /* conf_ports: "8081", "50100-50200,50300", "0" (any free one) */
};

enum conf_when {
    CONF_START, /* read when a process starts: a change needs a restart */
    CONF_JOB,   /* read for each job: may be given with `rask run -D` or by the job */
};

struct conf_option {
    const char *key;
    enum conf_type type;
    const char *def;   /* as text; NULL: unset */
    const char *range; /* "1..4096" (either end may be missing), "File|Memory", "" (anything) */
    enum conf_when when;
    const char *doc;
};
/* Borrowed, of static life. */
const struct conf_option *conf_option(enum conf_id id);

#define CONF_INFINITE INT64_MAX                  /* conf_int of "infinite" */
#define CONF_MEMORY_INFINITE ((uint64_t)INT64_MAX) /* conf_memory_bytes of "infinite" */

#define CONF_FILE_NAME "rask-conf.yaml"
#define CONF_FILE_MAX (1u << 20)
#define CONF_KEY_MAX 256u
#define CONF_VALUE_MAX 65536u
#define CONF_ENTRIES_MAX 10000u

struct conf;
struct conf *conf_new(void); /* owned by the caller; nothing set */
void conf_free(struct conf *conf);
struct conf *conf_clone(const struct conf *conf);

/*
 * All of it: the file, then the "key=value" settings of -D, which win.
 * dir: a folder or a file, which must exist; NULL: conf_dir(), and no file there means defaults.
 */
int conf_open(const char *dir, const char *const *settings, size_t setting_count, struct conf **ret,
              struct err *err) MUST_CHECK;
/*
 * The folder of the configuration: RASK_CONF_DIR, or the `conf` beside the program's own place
 * (bin/../conf installed, build/bin/../../conf in a source tree).  NULL if there is none.
 * The caller owns the answer.
 */
char *conf_dir(void);

/* A folder (its rask-conf.yaml) or a file. On failure conf may hold a part of it. */
int conf_load(struct conf *conf, const char *dir_or_file, struct err *err) MUST_CHECK;
/* The same for text in memory; name is used in messages. */
int conf_load_text(struct conf *conf, const char *name, const void *text, size_t len,
                   struct err *err) MUST_CHECK;
/* Later settings win. origin ("-D", "job graph") goes into messages. NULL value: forget it. */
int conf_set(struct conf *conf, const char *key, const char *value, const char *origin,
             struct err *err) MUST_CHECK;
/* "key=value", as after -D. */
int conf_set_pair(struct conf *conf, const char *pair, const char *origin,
                  struct err *err) MUST_CHECK;
/* Copies what is set in `over` into conf: job options over the cluster's. */
void conf_merge(struct conf *conf, const struct conf *over);
/* As conf_merge, but refuses a key that only a process start may set (when is CONF_START). */
int conf_merge_job(struct conf *conf, const struct conf *job, struct err *err) MUST_CHECK;
/* What one option alone cannot tell: minimum over maximum, heartbeat interval over its timeout, ...
 * conf_open calls it. */
int conf_check(const struct conf *conf, struct err *err) MUST_CHECK;

/* Getters: the value, else the default of the table. The type of the row must fit (checked). */
bool conf_is_set(const struct conf *conf, enum conf_id id);
const char *conf_string(const struct conf *conf, enum conf_id id); /* borrowed; NULL: unset */
int64_t conf_int(const struct conf *conf, enum conf_id id);
bool conf_bool(const struct conf *conf, enum conf_id id);
/* Whether checkpoints may be unaligned, by the option's name or its older one. */
bool conf_unaligned(const struct conf *conf);
/* Local recovery: whether copies of state are read, and whether they are kept. */
bool conf_from_local(const struct conf *conf);
bool conf_local_backup(const struct conf *conf);
double conf_double(const struct conf *conf, enum conf_id id);
uint64_t conf_memory_bytes(const struct conf *conf, enum conf_id id); /* 0: unset, no default */
uint64_t conf_duration_ms(const struct conf *conf, enum conf_id id);  /* parts of a ms round up */

struct conf_port_range {
    uint16_t first, last;
};
#define CONF_PORT_RANGES_MAX 16
/* Returns how many ranges; 0: unset. */
size_t conf_ports(const struct conf *conf, enum conf_id id,
                  struct conf_port_range ret[CONF_PORT_RANGES_MAX]);

/* "HOST:PORT", and "[V6]:PORT" where the host has colons. Owned by the caller. */
char *conf_hostport(const char *host, int64_t port);

/* Any key, known or not, as it was written; NULL when not set, whatever the default. Borrowed. */
const char *conf_raw(const struct conf *conf, const char *key);

/* What was set, in the order of first setting. */
struct conf_entry {
    const char *key, *value;
    const char *origin; /* "/etc/rask/rask-conf.yaml:12", "-D" */
};
size_t conf_count(const struct conf *conf);
const struct conf_entry *conf_at(const struct conf *conf, size_t i); /* borrowed */

/*
 * One sentence for each key that is set and does nothing: unknown (with the nearest known key),
 * without meaning here (with the reason), not supported yet.  For a daemon's log or the terminal.
 */
void conf_warnings(const struct conf *conf, void (*each)(void *arg, const char *text), void *arg);

/* Passwords, tokens, keys: by name, as Flink tells them. Logs and REST show CONF_HIDDEN instead. */
#define CONF_HIDDEN "******"
bool conf_is_secret(const char *key);
const char *conf_shown(const struct conf_entry *entry); /* the value, or CONF_HIDDEN */

/* Where a key stands. Exactly one class for every key of Flink. */
enum conf_class { CONF_WORKS, CONF_MEANS_NOTHING, CONF_NOT_YET, CONF_UNKNOWN };
/* ret_why: for CONF_MEANS_NOTHING the reason (a sentence), else NULL. Borrowed; may be NULL. */
enum conf_class conf_class(const char *key, const char **ret_why);

/* The parsers by themselves, for command lines and queries. */
int conf_parse_memory(const char *text, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
int conf_parse_duration(const char *text, uint64_t *ret_ms, struct err *err) MUST_CHECK;

/* The table as docs/configuration.md, and as the text of --help-options. */
void conf_doc_markdown(struct bytes *out);
void conf_doc_help(struct bytes *out);

#endif
