/*
 * check.c - what happens when an assertion fails: message, stack, hook, abort.
 * Thread: any.  Allocates nothing that it can avoid: the heap may be what is broken.
 */
#include "common/base/check.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_DEPTH_MAX 64

static void (*_Atomic failure_hook)(const char *message);

void check_set_hook(void (*hook)(const char *message))
{
    atomic_store(&failure_hook, hook);
}

void check_failed(const char *what, const char *file, int line, const char *func)
{
    /* The exchange makes a check that fails inside the hook harmless: the hook runs once. */
    void (*hook)(const char *) = atomic_exchange(&failure_hook, NULL);
    void *stack[STACK_DEPTH_MAX];
    char message[512];
    int depth;

    snprintf(message, sizeof(message), "check failed: %s (%s:%d, %s)", what, file, line, func);
    dprintf(STDERR_FILENO, "%s\n", message);
    depth = backtrace(stack, STACK_DEPTH_MAX);
    backtrace_symbols_fd(stack, depth, STDERR_FILENO);
    if (hook)
        hook(message);
    abort();
}
