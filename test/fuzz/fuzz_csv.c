/* fuzz_csv.c - records, fields and cells of csv on any bytes, whole and in two pieces; the first byte chooses where. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/types/batch.h"
#include "connectors/file/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NULLABLE(n, t, p, s) {n, RASK_T_##t, 1, p, s, NULL}
static const rask_field fields[] = {
    NULLABLE("b", BOOLEAN, 0, 0),  NULLABLE("t", TINYINT, 0, 0),  NULLABLE("i", INT, 0, 0),
    NULLABLE("l", BIGINT, 0, 0),   NULLABLE("f", FLOAT, 0, 0),    NULLABLE("d", DOUBLE, 0, 0),
    NULLABLE("m", DECIMAL, 9, 2),  NULLABLE("n", DECIMAL, 38, 5), NULLABLE("s", STRING, 0, 0),
    NULLABLE("y", BYTES, 0, 0),    NULLABLE("day", DATE, 0, 0),   NULLABLE("time", TIME, 0, 0),
    NULLABLE("at", TIMESTAMP, 3, 0)};
static const rask_schema schema = {RASK_ABI, 13, "all", fields};
static const struct csv_format format = {',', '"', NULL};

static int full(rask_out *out, void *arg)
{
    (void)arg;
    batch_unref(out_take(out));
    return 0;
}
static int batch(rask_out *out, void *arg, rask_batch **b)
{
    (void)out;
    (void)arg;
    batch_unref(*b);
    return 0;
}
static int refused(rask_out *out, void *arg, const char *text)
{
    (void)out;
    (void)arg;
    CHECK(text != NULL);
    return -1;
}
static const struct out_hooks hooks = {full, batch, refused};

static void cells(rask_str record, rask_out *out, struct bytes *scratch)
{
    struct csv_field found[13];
    struct bytes expected;
    uint32_t count;

    bytes_init(&expected);
    bytes_clear(scratch);
    count = csv_split(&format, record, found, 13, scratch);
    CHECK(count >= 1);
    CHECK(rask_out_begin(out, &schema) == 0);
    for (uint32_t i = 0; i < count && i < 13; i++)
        for (int c = 0; c < 13; c++) {
            bytes_clear(&expected);
            CHECK(csv_cell(&format, &found[i], &fields[c], c, out, &expected) == (expected.len == 0));
        }
    CHECK(rask_out_end(out) == 0);
    bytes_release(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    struct pool *pool;
    rask_out *out;
    struct bytes scratch;

    if (size < 2)
        return 0;
    pool = pool_new(0);
    out = out_new(pool, &schema, 0, &hooks, NULL);
    bytes_init(&scratch);
    for (size_t at = 0, len = size - 1; at < len;) {
        struct csv_scan whole = {0}, pieces = {0};
        size_t n = 0, m = 0, left = len - at, first = data[0] % (left + 1);
        const char *reason = NULL, *again = NULL;
        enum csv_found found = csv_scan(&format, &whole, text + at, left, true, &n, &reason), other;

        CHECK(found != CSV_MORE && n > 0 && n <= left);
        other = first ? csv_scan(&format, &pieces, text + at, first, false, &m, &again) : CSV_MORE;
        if (other == CSV_MORE)
            other = csv_scan(&format, &pieces, text + at, left, true, &m, &again);
        CHECK(other == found && reason == again);
        if (found == CSV_RECORD) {
            CHECK(m == n);
            cells((rask_str){text + at, (uint32_t)(n - (text[at + n - 1] == '\n'))}, out, &scratch);
        }
        at += n;
    }
    out_free(out);
    bytes_release(&scratch);
    pool_free(pool);
    return 0;
}
