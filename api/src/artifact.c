/*
 * artifact.c - a loaded shared object as a range of addresses: pointers to offsets and back.
 * Not here: loading it (the programs do, from a private copy).
 */
#include <link.h>

#include "api/runtime.h"

struct search {
    uintptr_t address;
    struct rask_artifact found;
    bool done;
};

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    struct rask_artifact a = {info->dlpi_addr, UINTPTR_MAX, 0};

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;

        if (p->p_type != PT_LOAD)
            continue;
        if (start < a.start)
            a.start = start;
        if (start + p->p_memsz > a.end)
            a.end = start + p->p_memsz;
        if (s->address >= start && s->address < start + p->p_memsz)
            s->done = true;
    }
    s->found = a;
    return s->done;
}

int rask_artifact_of(const void *address, struct rask_artifact *ret, struct err *err)
{
    struct search s = {.address = (uintptr_t)address};

    dl_iterate_phdr(look, &s);
    if (!s.done)
        return err_set(err, ERR_NOT_FOUND, "the address belongs to no loaded shared object");
    *ret = s.found;
    return 0;
}

bool rask_artifact_offset(void *artifact, const void *pointer, uint64_t *ret_offset)
{
    const struct rask_artifact *a = artifact;
    uintptr_t p = (uintptr_t)pointer;

    if (p < a->start || p >= a->end)
        return false;
    *ret_offset = p - a->base;
    return true;
}

void *rask_artifact_pointer(const struct rask_artifact *artifact, uint64_t offset, size_t size)
{
    uintptr_t low = artifact->start - artifact->base, high = artifact->end - artifact->base;

    if (offset < low || offset > high || size > high - offset)
        return NULL;
    return (void *)(artifact->base + (uintptr_t)offset);
}
