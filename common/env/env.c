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

struct id env_rand_id(struct env *env)
{
    uint64_t high = env_rand_u64(env);
    uint64_t low = env_rand_u64(env);

    return id_from_u64(high, low | 1);
}
