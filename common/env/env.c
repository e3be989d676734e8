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

#define LINES_PER_MINUTE 20

/* Whether this line may be written; says how many were left out, once the next minute has begun. */
static bool has_room(struct env *env, struct env_log_rate *rate, enum log_level level,
                     const char *module, const char *job)
{
    uint64_t minute = env_now_ns(env) / 60000000000u;

    if (minute != rate->minute) {
        if (rate->lines > LINES_PER_MINUTE)
            env_log(env, level, module, job, "%u more lines of this kind were left out",
                    rate->lines - LINES_PER_MINUTE);
        rate->minute = minute;
        rate->lines = 0;
    }
    if (rate->lines < UINT32_MAX)
        rate->lines++;
    return rate->lines <= LINES_PER_MINUTE;
}

void env_log_limited(struct env *env, struct env_log_rate *rate, enum log_level level,
                     const char *module, const char *job, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX];
    va_list ap;

    if (!has_room(env, rate, level, module, job) || !env->ops->log_enabled(env, level, module))
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
