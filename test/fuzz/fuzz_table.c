/*
 * fuzz_table.c - a table of LevelDB and a file of values, from any bytes: whole, or refused with a sentence.
 * First byte: which, and whether footer and checksums are made to fit.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "taskmanager/worker/store/manifest.h"
#include "taskmanager/worker/store/values_posix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_varint(struct bytes *to, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        bytes_add_u8(to, (uint8_t)(v | 0x80));
    bytes_add_u8(to, (uint8_t)v);
}

/* Two blocks of the input, filters and index, and what stands behind them. */
static void add_table(struct bytes *to, const uint8_t *data, size_t size)
{
    size_t sizes[2] = {size / 3, size - size / 3}, at[2], footer;

    for (int i = 0; i < 2; i++) {
        uint32_t crc;

        at[i] = to->len;
        bytes_add(to, data + (i ? sizes[0] : 0), sizes[i]);
        bytes_add_u8(to, 0);
        crc = hash_crc32c(0, to->data + at[i], sizes[i] + 1);
        bytes_add_u32(to, ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
    }
    footer = to->len;
    for (int i = 0; i < 2; i++) {
        add_varint(to, at[i]);
        add_varint(to, sizes[i]);
    }
    while (to->len < footer + 40)
        bytes_add_u8(to, 0);
    bytes_add_u64(to, 0xdb4775248b80fb57u);
}

static void walk(const uint8_t *data, size_t size, bool checked)
{
    static char dir[4096];
    struct open_files *files = wk_open_files_new(2);
    struct sums *sums = wk_sums_new();
    struct value_walk walk = {.file = 1};
    struct value_record record;
    struct err err = {0};
    struct values *v;
    char *path;
    int fd, rc;

    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "%s/rask-fuzz-table.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        CHECK(mkdtemp(dir));
    }
    path = wk_values_path(dir, 1);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, data, size) == (ssize_t)size);
    close(fd);
    v = wk_values_new(dir, files, sums);
    wk_values_number_from(v, 2, checked ? 0 : 2);
    CHECK(wk_values_add_file(v, 1, 0, &err) == 0);
    bytes_init(&walk.room);
    while ((rc = wk_values_walk(v, &walk, &record, &err)) == 1) {
        struct bytes value;

        bytes_init(&value);
        CHECK(wk_values_read(v, record.place, record.key, record.key_len, &value, &err) == 1);
        CHECK(value.len == record.place.len && memcmp(value.data, record.value, value.len) == 0);
        bytes_release(&value);
    }
    CHECK(rc == 0 || err.text[0]);
    bytes_release(&walk.room);
    wk_values_remove(v, 1);
    wk_values_free(v);
    wk_sums_free(sums);
    wk_open_files_free(files);
    mem_free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct bytes table;

    if (size == 0)
        return 0;
    if (data[0] % 8 == 0) {
        walk(data + 1, size - 1, data[0] & 8);
        return 0;
    }
    bytes_init(&table);
    if (data[0] & 1)
        add_table(&table, data + 1, size - 1);
    else
        bytes_add(&table, data + 1, size - 1);
    if (wk_manifest_check_table(table.data, table.len, &err) != 0)
        CHECK(err.text[0]);
    bytes_release(&table);
    return 0;
}
