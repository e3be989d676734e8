/* sums.c - see sums.h. A map from file and piece to the piece's CRC (low half) and its length so far. */
#include "taskmanager/worker/store/sums.h"

#include <pthread.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"

struct sums {
    pthread_mutex_t mutex;
    struct map *pieces;
};

static uint64_t key_of(uint32_t file, uint64_t offset)
{
    return (uint64_t)file << 32 | (uint32_t)(offset / SUM_PIECE);
}

struct sums *wk_sums_new(void)
{
    struct sums *sums = MEM_NEW(struct sums);

    sums->pieces = map_new();
    pthread_mutex_init(&sums->mutex, NULL);
    return sums;
}

void wk_sums_free(struct sums *sums)
{
    if (!sums)
        return;
    map_free(sums->pieces);
    pthread_mutex_destroy(&sums->mutex);
    mem_free(sums);
}

void wk_sums_add(struct sums *sums, uint32_t file, uint64_t offset, const void *data, size_t len)
{
    pthread_mutex_lock(&sums->mutex);
    while (len > 0) {
        uint64_t key = key_of(file, offset), at = offset % SUM_PIECE, has;
        size_t n = MIN(len, SUM_PIECE - (size_t)at);

        has = at == 0 ? 0 : (uint64_t)(uintptr_t)map_get_u64(sums->pieces, key);
        if (has >> 32 == at) /* else there is a gap, of which nothing is known */
            map_put_u64(sums->pieces, key, (void *)(uintptr_t)((at + n) << 32 | hash_crc32c((uint32_t)has, data, n)));
        data = (const char *)data + n;
        offset += n;
        len -= n;
    }
    pthread_mutex_unlock(&sums->mutex);
}

bool wk_sums_known(struct sums *sums, uint32_t file)
{
    bool known;

    pthread_mutex_lock(&sums->mutex);
    known = map_get_u64(sums->pieces, key_of(file, 0)) != NULL;
    pthread_mutex_unlock(&sums->mutex);
    return known;
}

bool wk_sums_fit(struct sums *sums, uint32_t file, uint64_t offset, const void *data, size_t len)
{
    uint64_t has;

    pthread_mutex_lock(&sums->mutex);
    has = (uint64_t)(uintptr_t)map_get_u64(sums->pieces, key_of(file, offset));
    pthread_mutex_unlock(&sums->mutex);
    if (offset % SUM_PIECE != 0 || has >> 32 != len)
        return true;
    return (uint32_t)has == hash_crc32c(0, data, len);
}

void wk_sums_keep(struct sums *sums, const struct wk_store_file *files, uint32_t count)
{
    struct map *kept = map_new();

    pthread_mutex_lock(&sums->mutex);
    for (uint32_t i = 0; i < count; i++)
        for (uint64_t offset = 0; offset < files[i].size; offset += SUM_PIECE) {
            void *has = map_get_u64(sums->pieces, key_of(files[i].number, offset));

            if (has)
                map_put_u64(kept, key_of(files[i].number, offset), has);
        }
    map_free(sums->pieces);
    sums->pieces = kept;
    pthread_mutex_unlock(&sums->mutex);
}
