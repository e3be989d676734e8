/*
 * crash_posix.c - what a worker says of itself when it dies: see crash_posix.h.
 *
 * libbacktrace (a part of gcc) reads lines and names without malloc; without it names come from the dynamic linker's tables.
 * A child that user code has forked says nothing: its parent lives.
 * Thread: any; handlers run on the thread that failed.
 */
#include "taskmanager/worker/crash_posix.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>
#if __has_include(<backtrace.h>)
#include <backtrace.h>
#define HAVE_BACKTRACE 1
#endif

#include "common/base/check.h"
#include "taskmanager/pipe/pipe.h"
#include "taskmanager/worker/task/executor.h"

#define FRAMES_MAX 64
#define STACK_BYTES (256u << 10) /* of a handler: reading debug information needs some */
#define REPORT_LIMIT_S 5

static struct {
    int pipe_fd;
    pid_t pid;
    int busy; /* atomic: one thread reports */
    unsigned frame;
    bool leaving;
    struct {
        char text[PIPE_REPORT_MAX];
        size_t len;
    } report; /* kind, task NUL operator NUL stack */
#ifdef HAVE_BACKTRACE
    struct backtrace_state *state;
#endif
} crash;

/* ---- text without stdio ---- */

static void put(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    len = MIN(len, sizeof(crash.report.text) - 1 - crash.report.len);
    if (len > 0)
        memcpy(crash.report.text + crash.report.len, text, len);
    crash.report.len += len;
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[32];
    size_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do
        digits[--at] = "0123456789abcdef"[value % base];
    while ((value /= base) > 0 && at > 0);
    put(digits + at);
}

static void put_end(void)
{
    if (crash.report.len < sizeof(crash.report.text))
        crash.report.text[crash.report.len++] = 0;
}

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash ? slash + 1 : path;
}

/* ---- the stack ---- */

static void put_object(uintptr_t pc)
{
    Dl_info info = {0};

    if (dladdr((void *)pc, &info) && info.dli_fname) {
        put(" (");
        put(base_name(info.dli_fname));
        put("+0x");
        put_number(pc - (uintptr_t)info.dli_fbase, 16);
        put(")");
    }
    put("\n");
}

static void put_line(const char *function, const char *file, int line, uintptr_t pc)
{
    put("#");
    put_number(crash.frame++, 10);
    put(" ");
    put(function);
    if (file) {
        put(" at ");
        put(base_name(file));
        put(":");
        put_number((uint64_t)line, 10);
    }
    put_object(pc);
}

#ifdef HAVE_BACKTRACE
/* Once for each function that was inlined at this place, the innermost first. */
static int on_line(void *arg, uintptr_t pc, const char *file, int line, const char *function)
{
    if (function) {
        *(bool *)arg = true;
        put_line(function, file, line, pc);
    }
    return 0;
}

static void on_symbol(void *arg, uintptr_t pc, const char *name, uintptr_t value, uintptr_t size)
{
    (void)value;
    (void)size;
    if (name) {
        *(bool *)arg = true;
        put_line(name, NULL, 0, pc);
    }
}

static void on_trouble(void *arg, const char *message, int number)
{
    (void)arg;
    (void)message; /* no debug information: the other source of names is asked */
    (void)number;
}

static bool put_known(uintptr_t pc)
{
    bool found = false;

    if (!crash.state)
        return false;
    backtrace_pcinfo(crash.state, pc, on_line, on_trouble, &found);
    if (!found)
        backtrace_syminfo(crash.state, pc, on_symbol, on_trouble, &found);
    return found;
}
#else
static bool put_known(uintptr_t pc)
{
    (void)pc;
    return false;
}
#endif

static void put_frame(uintptr_t pc)
{
    Dl_info info = {0};

    if (put_known(pc))
        return;
    if (dladdr((void *)pc, &info) && info.dli_sname)
        put_line(info.dli_sname, NULL, 0, pc);
    else
        put_line("?", NULL, 0, pc);
}

/* From the frame of fault_pc on (0: the caller of the reporter); a return address is one past its call. */
static void put_stack(uintptr_t fault_pc)
{
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX), first = MIN(3, n);
    unsigned again = 0;

    for (int i = 0; i < n && fault_pc; i++) {
        if ((uintptr_t)frames[i] == fault_pc)
            first = i;
    }
    for (int i = first; i < n; i++) {
        if (i > first && frames[i] == frames[i - 1]) {
            again++;
            continue;
        }
        if (again > 0)
            put("   ... and again\n");
        again = 0;
        put_frame((uintptr_t)frames[i] - (i == first && fault_pc ? 0 : 1));
    }
    if (n == FRAMES_MAX)
        put("   ... and so on\n");
}

/* ---- the report ---- */

static bool may_report(void)
{
    int nobody = 0;

    return getpid() == crash.pid && __atomic_compare_exchange_n(&crash.busy, &nobody, 1, false,
                                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void say(const char *text)
{
    (void)!write(2, text, strlen(text));
}

static void write_report(const char *what, uintptr_t fault_pc)
{
    const struct wk_runnable *current = wk_executor_current();
    size_t stack_at;
    char kind[2] = {PIPE_CRASH, 0};

    say(what);
    say(current ? " in task " : "");
    say(current ? current->name : "");
    say(crash.pipe_fd < 0 ? "\n" : "; the stack is in the log of the TaskManager\n");
    crash.report.len = 0;
    put(kind);
    put(current ? current->name : NULL);
    put_end();
    put(current ? current->operator_now : NULL);
    put_end();
    stack_at = crash.report.len;
    put_stack(fault_pc);
    put_end();
    if (crash.pipe_fd >= 0)
        (void)!send(crash.pipe_fd, crash.report.text, crash.report.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (crash.pipe_fd < 0)
        say(crash.report.text + stack_at);
}

static uintptr_t pc_of(const void *context)
{
    const ucontext_t *u = context;

#if defined(__x86_64__)
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)u->uc_mcontext.pc;
#else
    (void)u;
    return 0;
#endif
}

static const char *signal_words(int number)
{
    switch (number) {
    case SIGSEGV:
        return "ended by SIGSEGV";
    case SIGBUS:
        return "ended by SIGBUS";
    case SIGFPE:
        return "ended by SIGFPE";
    case SIGILL:
        return "ended by SIGILL";
    case SIGABRT:
        return "ended by SIGABRT";
    default:
        return "ended by a signal";
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};

    (void)info;
    if (getpid() == crash.pid && __atomic_load_n(&crash.busy, __ATOMIC_SEQ_CST) && number != SIGABRT) {
        /* Another thread reports, or the reporter itself has failed: the alarm ends all. */
        sigaction(number, &by_default, NULL);
    } else if (may_report()) {
        sigaction(SIGALRM, &by_default, NULL);
        alarm(REPORT_LIMIT_S);
        write_report(signal_words(number), pc_of(context));
    }
    sigaction(number, &by_default, NULL);
    raise(number);
}

/* exit() in a function of the user: where, before anything is torn down under the other threads. */
static void on_exit_called(int status, void *arg)
{
    (void)arg;
    if (getpid() != crash.pid)
        _exit(status);
    if (crash.leaving || !wk_executor_current())
        return;
    if (may_report())
        write_report("ended by exit()", 0);
    _exit(status);
}

void wk_crash_thread_start(void)
{
    stack_t stack = {.ss_size = STACK_BYTES};

    /* Never unmapped: it is needed until the last instruction of its thread, and threads live as long as the process. */
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED)
        sigaltstack(&stack, NULL);
}

void wk_crash_install(int pipe_fd)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    void *warm[4];

    crash.pipe_fd = pipe_fd;
    crash.pid = getpid();
    (void)!backtrace(warm, 4); /* loads the unwinder now, not in a handler */
#ifdef HAVE_BACKTRACE
    crash.state = backtrace_create_state(NULL, 1, on_trouble, NULL);
#endif
    wk_crash_thread_start();
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        CHECK(sigaction(numbers[i], &action, NULL) == 0);
    CHECK(on_exit(on_exit_called, NULL) == 0);
}

void wk_crash_leaving(void)
{
    crash.leaving = true;
}
