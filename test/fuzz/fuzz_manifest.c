/*
 * fuzz_manifest.c - LevelDB's MANIFEST and its list of tables, from any bytes.  What is written anew is read, and written to the same.
 * First byte: which; how many tables are asked for; whether the rest is a record, whose checksum is made to fit.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/store/manifest.h"

#define TABLES_MAX 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void list(const uint8_t *data, size_t size)
{
    char *text = mem_printf("%.*s", (int)size, (const char *)data);
    struct wk_manifest_table *tables;
    struct err err = {0};
    uint32_t count;

    if (wk_manifest_parse_tables(text, &tables, &count, &err) == 0)
        mem_free(tables);
    else
        CHECK(err.text[0]);
    mem_free(text);
}

/* In one piece, or in two. */
static void add_record(struct bytes *to, const uint8_t *data, size_t size, bool halves)
{
    size_t first = halves ? size / 2 : size;

    for (size_t at = 0; at < size || at == 0; at += first, first = size - at) {
        uint8_t type = !halves ? 1 : at == 0 ? 2 : 4;
        uint32_t crc = hash_crc32c(hash_crc32c(0, &type, 1), data + at, first);

        bytes_add_u32(to, ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
        bytes_add_u16(to, (uint16_t)first);
        bytes_add_u8(to, type);
        bytes_add(to, data + at, first);
        if (first == 0)
            return;
    }
}

static void rewrite(const uint8_t *data, size_t size, uint8_t which)
{
    struct wk_manifest_table tables[TABLES_MAX];
    uint32_t count = which >> 2 & 7;
    struct bytes whole, once, twice;
    struct err err = {0};

    for (uint32_t i = 0; i < count; i++) {
        if (size < 3)
            return;
        tables[i] = (struct wk_manifest_table){data[0], data[1], data[2]};
        data += 3;
        size -= 3;
    }
    bytes_init(&whole);
    bytes_init(&once);
    bytes_init(&twice);
    if (which & 32 && size < 30000)
        add_record(&whole, data, size, which & 64);
    else
        bytes_add(&whole, data, size);
    if (wk_manifest_rewrite(whole.data, whole.len, tables, count, &once, &err) == 0) {
        CHECK(wk_manifest_rewrite(once.data, once.len, tables, count, &twice, &err) == 0);
        CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    } else {
        CHECK(err.text[0]);
    }
    bytes_release(&whole);
    bytes_release(&once);
    bytes_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 4 == 0)
        list(data + 1, size - 1);
    else
        rewrite(data + 1, size - 1, data[0]);
    return 0;
}
