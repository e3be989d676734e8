/*
 * fuzz_job_store.c - a job of the job store, from any bytes: refused with a sentence, or packed again to what is read as the same.
 * Header and checksum are made to fit.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "jobmanager/job_store/job_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jm_job_snapshot *job = NULL, *again = NULL;
    struct bytes b, once, twice;
    struct err err = {0};

    bytes_init(&b);
    bytes_init(&once);
    bytes_init(&twice);
    bytes_add(&b, "RKJS", 4);
    bytes_add_u16(&b, 1);
    bytes_add_u16(&b, 0);
    bytes_add_u32(&b, (uint32_t)size);
    bytes_add_u32(&b, hash_crc32c(0, data, size));
    bytes_add(&b, data, size);
    if (jm_job_unpack(b.data, b.len, "fuzz", &job, &err) == 0) {
        jm_job_pack(job, &once);
        CHECK(jm_job_unpack(once.data, once.len, "fuzz", &again, &err) == 0);
        jm_job_pack(again, &twice);
        CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
        jm_job_snapshot_unref(again);
        jm_job_snapshot_unref(job);
    } else {
        CHECK(err.text[0]);
    }
    CHECK(jm_job_unpack(data, size, "fuzz", &job, NULL) != 0);
    bytes_release(&b);
    bytes_release(&once);
    bytes_release(&twice);
    return 0;
}
