/* elf.c - which function an address of a shared object lies in, from the symbol tables of the file. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "client/client_private.h"

struct elf_file {
    const uint8_t *data;
    size_t len;
};

/* NULL when the range is not inside the file. */
static const void *elf_range(const struct elf_file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->len && size <= f->len - offset ? f->data + offset : NULL;
}

static bool elf_section(const struct elf_file *f, const Elf64_Ehdr *h, uint64_t i, Elf64_Shdr *ret)
{
    const void *p = i < h->e_shnum ? elf_range(f, h->e_shoff + i * sizeof(*ret), sizeof(*ret)) : NULL;

    if (p)
        memcpy(ret, p, sizeof(*ret));
    return p != NULL;
}

static bool elf_find(const struct elf_file *f, const Elf64_Ehdr *h, const Elf64_Shdr *table, uint64_t address,
                     char *ret_name, size_t size)
{
    Elf64_Shdr strings;

    if (!elf_section(f, h, table->sh_link, &strings) || !elf_range(f, strings.sh_offset, strings.sh_size) ||
        !elf_range(f, table->sh_offset, table->sh_size))
        return false;
    for (uint64_t i = 0; i < table->sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym s;
        const char *name;

        memcpy(&s, f->data + table->sh_offset + i * sizeof(s), sizeof(s));
        if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || address < s.st_value || address - s.st_value >= s.st_size ||
            s.st_name >= strings.sh_size)
            continue;
        name = (const char *)f->data + strings.sh_offset + s.st_name;
        snprintf(ret_name, size, "%.*s", (int)strnlen(name, (size_t)(strings.sh_size - s.st_name)), name);
        ret_name[strcspn(ret_name, ".")] = 0; /* the compiler's ".constprop.0" */
        return true;
    }
    return false;
}

void cli_elf_function(const char *path, uint64_t address, char *ret_name, size_t size)
{
    struct elf_file f;
    Elf64_Ehdr h;
    Elf64_Shdr s;

    ret_name[0] = 0;
    if (cli_file_map(path, &f.data, &f.len, NULL) < 0)
        return;
    if (f.len >= sizeof(h) && memcmp(f.data, ELFMAG, SELFMAG) == 0 && f.data[EI_CLASS] == ELFCLASS64) {
        bool found = false;

        memcpy(&h, f.data, sizeof(h));
        for (uint64_t i = 0; !found && i < h.e_shnum && elf_section(&f, &h, i, &s); i++)
            found = (s.sh_type == SHT_SYMTAB || s.sh_type == SHT_DYNSYM) &&
                    elf_find(&f, &h, &s, address, ret_name, size);
    }
    cli_file_unmap(f.data, f.len);
}
