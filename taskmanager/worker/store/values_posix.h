/*
 * values_posix.h - files of large values beside a LevelDB, which then has only the place of each.
 *
 * LevelDB writes a value again each time its level is compacted, ten times and more; a file of values is written once, and
 * what is alive in it once more when most of it is dead.  One thread writes (all but values_read); any may read
 * beside it.  What was put can be read after values_write.  Files never change once values_seal has ended them.  Each
 * record has a checksum, and what has not got its own is never given out: ERR_CORRUPT, and where.
 */
#ifndef WK_VALUES_POSIX_H
#define WK_VALUES_POSIX_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "taskmanager/worker/store/open_files_posix.h"
#include "taskmanager/worker/store/sums.h"

struct values;
struct value_place {
    uint32_t file; /* greater than 0, not used twice */
    uint32_t offset, len;
};
struct value_record { /* one that was found in a file; texts are borrowed until the next one */
    struct value_place place;
    const uint8_t *key, *value;
    uint32_t key_len;
};

#define VALUE_FILE 0x80000000u /* in the number of a wk_store_file: a file of values */

/* All borrowed. sums: of what is written, by number and VALUE_FILE. */
struct values *wk_values_new(const char *dir, struct open_files *open, struct sums *sums);
void wk_values_free(struct values *v); /* NULL is legal; closes, and removes nothing */

/* A file that is in the folder, with so many bytes of records that nobody needs. */
int wk_values_add_file(struct values *v, uint32_t file, uint64_t dead_bytes, struct err *err) MUST_CHECK;
/* Of the next file; and the first one whose records have checksums. */
void wk_values_number_from(struct values *v, uint32_t file, uint32_t checked_from);

int wk_values_put(struct values *v, const void *key, uint32_t key_len, const void *value, uint32_t len, struct value_place *ret,
               struct err *err) MUST_CHECK;
int wk_values_write(struct values *v, struct err *err) MUST_CHECK; /* what was put goes to the operating system */
int wk_values_seal(struct values *v, struct err *err) MUST_CHECK;  /* and the next one begins a file */
/* A record that has a key of so many bytes is not needed any more. */
void wk_values_dead(struct values *v, struct value_place place, uint32_t key_len);

/* 1: `to` is replaced; 0: the file has been removed, look its key up again. Any thread. */
int wk_values_read(struct values *v, struct value_place place, const void *key, uint32_t key_len, struct bytes *to,
                   struct err *err) MUST_CHECK;

/*
 * Room comes back: a file of which most is dead is walked, the caller puts again what it still needs, and removes the file
 * when readers can find the new places.
 */
uint32_t wk_values_worst(const struct values *v); /* 0: none is worth it */
struct value_walk {
    uint32_t file;
    uint64_t at, room_at;
    struct bytes room; /* bytes_init before, bytes_release after */
};
/* The next record in order: 1; 0: there is none. */
int wk_values_walk(struct values *v, struct value_walk *walk, struct value_record *ret, struct err *err) MUST_CHECK;
void wk_values_remove(struct values *v, uint32_t file);

struct value_file {
    uint32_t number;
    uint64_t size, dead;
};
uint32_t wk_values_count(const struct values *v);
struct value_file wk_values_file(const struct values *v, uint32_t i); /* of the writer */
uint32_t wk_values_next_number(const struct values *v);
uint32_t wk_values_checked_from(const struct values *v);
char *wk_values_path(const char *dir, uint32_t file); /* owned by the caller */

#endif
