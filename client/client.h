/*
 * client.h - the program `rask`: one process per command, one thread, no state but the compiler cache.
 *
 * Messages for people go to stderr, answers to stdout.  Every command returns the exit code: 0, or 1 after
 * a sentence that says what, where and what would be right.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/json.h"
#include "common/conf/conf.h"
#include "proto/graph.pb-c.h"

#define CLI_FILES_MAX 64
#define CLI_SETTINGS_MAX 256
#define CLI_HOSTS_MAX 64

/* What the command line said. Strings are borrowed from argv. */
struct cli_options {
    const char *jobmanager; /* -m HOST:PORT, or NULL */
    const char *target;     /* -t, or NULL */
    const char *entry;      /* -c, --entry, or NULL */
    const char *cflags, *libs;
    uint32_t parallelism;   /* -p; 0: none */
    uint32_t count;         /* -n of top; 0: none */
    uint32_t days;          /* --days; 0: none */
    const char *dir;        /* --dir, or NULL */
    const char *hosts[CLI_HOSTS_MAX]; /* --host */
    size_t host_count;
    bool write_conf;
    const char *from_savepoint; /* -s of run, or NULL */
    bool allow_dropped;         /* -n of run */
    const char *claim;          /* -cm of run: NO_CLAIM, CLAIM, or NULL */
    const char *savepoint_dir;  /* -p of stop, -s of cancel, or NULL */
    const char *dispose;        /* -d of savepoint, or NULL */
    bool savepoint_detached, drain, full;
    bool with_savepoint; /* -s of cancel */
    bool detached, sanitize, all, running, scheduled, follow, help;
    const char *settings[CLI_SETTINGS_MAX]; /* -D, "key=value" */
    size_t setting_count;
    const char *files[CLI_FILES_MAX]; /* operands: job files, or job ids */
    size_t file_count;
    int param_count;
    char **params; /* --name value ...: what stands after the file, for the job */
};
/* Which options a command knows. */
enum {
    CLI_OPT_BUILD = 1,   /* -c, --cflags, --libs, --sanitize, -p; operands are files, then parameters */
    CLI_OPT_RUN = 2,     /* -d, -n, -s, -t */
    CLI_OPT_CLUSTER = 4, /* -m */
    CLI_OPT_LIST = 8,    /* -a, -r, -s */
    CLI_OPT_FOLLOW = 16, /* -f */
    CLI_OPT_TOP = 32,    /* -n COUNT */
    CLI_OPT_SECURITY = 64, /* --dir, --days, --host, --write-conf */
    CLI_OPT_SAVEPOINT = 128,  /* -detached, -type */
    CLI_OPT_DISPOSE = 256,    /* -d PATH */
    CLI_OPT_STOP = 512,       /* -p DIR, -d */
    CLI_OPT_CHECKPOINT = 1024, /* -full */
    CLI_OPT_CANCEL = 2048,    /* -s DIR */
};
int cli_parse(struct cli_options *options, unsigned known, int argc, char **argv, struct err *err) MUST_CHECK;
/* The configuration with the -D settings; owned by the caller. Keys that do nothing are named on stderr. */
int cli_open_conf(const struct cli_options *options, struct conf **ret, struct err *err) MUST_CHECK;

/* ---- compile.c: from source files to a shared object ---- */
struct cli_artifact {
    char *path;         /* owned; of the shared object */
    char *name;         /* owned; "wordcount.c" */
    uint8_t sha256[32];
    bool compiled;      /* the compiler ran */
};
/* A .so as it is, or .c files compiled (or found in the cache). The compiler writes to stderr itself. */
int cli_artifact_get(const struct cli_options *options, struct cli_artifact *ret, struct err *err) MUST_CHECK;
void cli_artifact_release(struct cli_artifact *artifact);
/* The folder of the running program, NUL-terminated, owned by the caller. */
char *cli_program_dir(void);
/* Starts the program again with the sanitizer's run-time library loaded first. Returns 0 when it is, or an error. */
int cli_reexec_sanitized(char **argv, struct err *err) MUST_CHECK;

/* ---- build_graph.c: from a shared object to a graph, in a forked child ---- */
/*
 * The graph lives in arena and has passed graph_validate.  Relative paths of its files are made absolute: they are
 * meant from the folder where the client runs.
 */
int cli_build_graph(const struct cli_options *options, const struct cli_artifact *artifact, struct arena *arena,
                    Rask__Graph__StreamGraph **ret, struct err *err) MUST_CHECK;
/* ---- elf.c ---- */
/* Name of the function that holds this address of an ELF file ("" when unknown); from its symbol table. */
void cli_elf_function(const char *path, uint64_t address, char *ret_name, size_t size);

/* ---- http.c: a minimal HTTP/1.1 client ---- */
struct cli_http;
struct net_tls;
#define HTTP_SILENCE_MS 5000 /* no byte moves for that long: the call fails */
#define HTTP_ANSWER_MAX (256u << 20)
/* address: HOST:PORT, HOST, or http://HOST:PORT[/], https:// likewise. Nothing is connected yet. */
int cli_http_new(const char *address, struct cli_http **ret, struct err *err) MUST_CHECK;
bool cli_http_is_https(const char *address);
/* Calls go by TLS. tls is taken. */
void cli_http_use_tls(struct cli_http *client, struct net_tls **tls, bool verify_host);
void cli_http_free(struct cli_http *client);
const char *cli_http_address(const struct cli_http *client);
struct cli_part {
    const void *data;
    size_t len;
};
/* The body is the parts one after the other (count 0: none). ret_body is cleared, then filled. */
int cli_http_call(struct cli_http *client, const char *method, const char *path, const struct cli_part *parts,
              size_t part_count, int *ret_status, struct bytes *ret_body, struct err *err) MUST_CHECK;

/* ---- commands ---- */
int cli_run(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_cancel(int argc, char **argv);
int cli_logs(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_security(int argc, char **argv);
int cli_savepoint(int argc, char **argv);
int cli_stop(int argc, char **argv);
int cli_checkpoint(int argc, char **argv);
int cli_state(int argc, char **argv);

/* ---- cluster.c: calls that several commands make ---- */
/* -m, else rest.address:rest.port of the configuration. */
int cli_connect(const struct cli_options *options, struct cli_http **ret, struct err *err) MUST_CHECK;
/* The sentence of an answer with a status of 400 or more; code 0 with none: ERR_PROTOCOL. Returns the code. */
int cli_answer_error(struct cli_http *client, const char *path, int status, const struct json *answer, struct err *err);
/* A call whose answer must be JSON and status 2xx; else the server's sentence is the error. ret_json lives in arena. */
int cli_call_json(struct cli_http *client, const char *method, const char *path,
                  const struct cli_part *parts, size_t part_count, struct arena *arena,
                  const struct json **ret_json, struct err *err) MUST_CHECK;
#define CLI_WORKERS_MAX 1024 /* whose files are printed */
/*
 * What worker i has written to its file ("log" or "output") since offset, into body, which is the caller's. Files of
 * several workers are printed in turn, so the answer ends with a whole line (of at most a MiB) and is empty while there
 * is none; to_the_end: it is the last that is asked for, the rest of a line too. *ret_more: there is more at once.
 * *ret_refused: it failed by the server's answer, as before the worker has begun, and not by the connection.
 */
int cli_get_worker_file(struct cli_http *client, const char *job, const char *file, uint32_t i, uint64_t offset, bool to_the_end,
                        struct bytes *body, bool *ret_more, bool *ret_refused, struct err *err) MUST_CHECK;
/* Takes a savepoint and cancels the job then; prints where it is. */
int cli_cancel_with_savepoint(const struct cli_options *options, struct cli_http *client, const struct id *id,
                              struct arena *arena, struct err *err) MUST_CHECK;
/* Prints "rask: text" to stderr and returns 1. */
int cli_fail(const struct err *err);
int cli_print(const void *data, size_t len, struct err *err) MUST_CHECK; /* to standard output, at once */
int cli_flush(struct err *err) MUST_CHECK; /* standard output: what was printed must have arrived */
/* ---- attach.c: follows a job until it is over ---- */
/* Output to stdout, progress to stderr. Returns the exit code. */
int cli_attach(struct cli_http *client, const struct id *job_id, bool show_output);
#endif
