/*
 * log.h - the sink behind env's log: one line format, level per module, rotation.
 *
 *   2026-01-31 12:00:00,123 INFO  module [job] text
 *
 * Cores log through env_log (common/env/env.h); only main files and env implementations call this.
 * Thread: any, one write(2) per line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

struct log_options {
    const char *path;         /* NULL: standard error */
    enum log_level level;     /* of modules not named */
    const char *modules;      /* "rpc=debug,job_master=warn", or NULL */
    uint64_t rotate_bytes;    /* 0: never. path.1 is the newest old one */
    uint32_t rotate_keep;
};
int log_open(const struct log_options *options, struct err *err) MUST_CHECK;
void log_close(void);
bool log_enabled(enum log_level level, const char *module);
/* job: 32 hex digits or "" */
void log_write(enum log_level level, const char *module, const char *job, const char *text);
void log_printf(enum log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int log_parse_level(const char *text, enum log_level *ret); /* case-insensitive; ERR_INVALID */

#endif
