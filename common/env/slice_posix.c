/* slice_posix.c - see slice_posix.h. */
#include "common/env/slice_posix.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct attr { /* the kernel's struct sched_attr, version 0: not every libc has it */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void env_thread_slice(uint64_t ns)
{
    struct attr attr;

    memset(&attr, 0, sizeof(attr));
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) != 0 || attr.policy != 0)
        return; /* not an ordinary thread: somebody has chosen for it */
    attr.size = sizeof(attr);
    attr.flags = 0;
    attr.runtime_ns = ns;
    if (syscall(SYS_sched_setattr, 0, &attr, 0) != 0)
        return; /* a sandbox without it: the turns stay as they are */
}
