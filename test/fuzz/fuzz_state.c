/*
 * fuzz_state.c - `rask state get` and `check` over a section of any bytes.  The first byte says of which state; what is printed goes
 * nowhere.
 */
#include <rask/operator.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "client/state.h"
#include "common/base/check.h"

int LLVMFuzzerInitialize(const int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rask_field inner_fields[] = {{"element", RASK_T_INT, 1, 0, 0, NULL}};
static const rask_schema inner = {RASK_ABI, 1, "inner", inner_fields};
static const rask_field fields[] = {{"n", RASK_T_INT, 0, 0, 0, NULL}, {"s", RASK_T_STRING, 1, 0, 0, NULL},
                                    {"list", RASK_T_ARRAY, 1, 0, 0, &inner}};
static const rask_schema wide = {RASK_ABI, 3, "row", fields}, narrow = {RASK_ABI, 1, "row", fields};

static const struct {
    enum ckpt_section_kind section;
    struct ckpt_state state;
} kinds[] = {
    {CKPT_IMAGE, {.name = "value", .kind = RASK_VALUE, .key = &narrow, .value = &wide}},
    {CKPT_DELTA, {.name = "list", .kind = RASK_LIST, .key = &wide, .value = &narrow}},
    {CKPT_DELTA, {.name = "map", .kind = RASK_MAP, .key = &narrow, .map_key = &wide, .value = &narrow, .ttl_ms = 1}},
    {CKPT_LIST, {.name = "splits", .kind = RASK_OPERATOR_LIST}},
    {CKPT_UNION, {.name = "all", .kind = RASK_OPERATOR_UNION, .value = &wide}},
    {CKPT_BROADCAST, {.name = "rules", .kind = RASK_BROADCAST, .map_key = &wide, .value = &wide}},
    {CKPT_INFLIGHT, {.name = ""}},
    {CKPT_TABLE, {.name = ""}},
};

int LLVMFuzzerInitialize(const int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    stdout = stderr = fopen("/dev/null", "w");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_state s = {.folder = (char *)"/nowhere", .meta = ckpt_meta_new()};
    struct ckpt_section section = {.hash_last = UINT32_MAX, .to = 1, .file = CKPT_NO_FILE};
    struct ckpt_operator op = {.uid = "uid", .name = "name", .parallelism = 1, .max_parallelism = 128};
    struct err err = {0};
    struct bytes record;
    uint32_t at;

    if (size > 0) {
        struct ckpt_state state = kinds[data[0] % ARRAY_LEN(kinds)].state;

        bytes_init(&record);
        s.meta->checkpoint = 1;
        section.kind = kinds[data[0] % ARRAY_LEN(kinds)].section;
        section.state = state.name;
        section.rows = data[0] / ARRAY_LEN(kinds);
        at = ckpt_meta_operator(s.meta, &op);
        if (*state.name)
            CHECK(ckpt_meta_state(s.meta, at, &state, &err) == 0);
        ckpt_record_add(&section, data + 1, size - 1, CKPT_PLAIN, &record);
        section.data = (rask_bytes){(const char *)record.data, (uint32_t)record.len};
        ckpt_meta_add(s.meta, &section);
        (void)!cli_state_check(&s, NULL, &err);
        if (*state.name)
            (void)!cli_state_print(&s, &s.meta->operators[at], &s.meta->operators[at].states[0], NULL, &err);
        bytes_release(&record);
    }
    ckpt_meta_free(s.meta);
    return 0;
}
