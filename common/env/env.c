/*
 * env.c - what every implementation of struct env shares: the formatting of log lines.
 */
#include "common/env/env.h"

#include <stdarg.h>
#include <stdio.h>

#define LOG_TEXT_MAX 4000

void env_log(struct env *env, enum log_level level, const char *module, const char *job,
             const char *fmt, ...)
{
    char text[LOG_TEXT_MAX];
    va_list ap;

    if (!env->ops->log_enabled(env, level, module))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    env->ops->log(env, level, module, job, text);
}
