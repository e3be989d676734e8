/*
 * ckpt_file.h - the state files of checkpoints and savepoints: a sequence of sections with an index.
 *
 * The writer turns sections into bytes, one at a time, so that no more than a section is in memory; the caller does the
 * I/O.  The reader checks everything that it hands out.  Layout byte by byte: docs/file-formats.md.
 *
 *   header   magic "RASKSTAT", version, job, checkpoint, worker, created_ms, CRC32C
 *   section  length, what it is, payload, CRC32C                                     (a "record")
 *   index    every section's fields and offset, in the order of the file
 *   schemas  operators and states (as in _metadata)
 *   footer   index offset, index length, CRC32C of index and schemas, of the footer, magic
 *
 * Pure functions over memory.  Thread: any, one at a time per writer.
 */
#ifndef CKPT_FILE_H
#define CKPT_FILE_H

#include "common/ckpt/ckpt_meta.h"

#define CKPT_FILE_HEADER_BYTES 56u
#define CKPT_FILE_FOOTER_BYTES 40u
#define CKPT_FILE_SPLIT_BYTES (256u << 20) /* a new file is begun after this many */

struct ckpt_file_head {
    uint8_t job[16];
    uint64_t checkpoint;
    uint32_t worker;
    int64_t created_ms;
};

/* ---- one section ---- */

/*
 * Appends the record of a section: what it is (of section: kind .. rows), payload, CRC. Sets section->raw_bytes, codec and
 * stored_bytes.  With codec CKPT_ZSTD a payload that does not shrink is kept plain.
 */
void ckpt_record_add(struct ckpt_section *section, const void *payload, size_t len, enum ckpt_codec codec, struct bytes *out);
/*
 * Takes a record apart and checks it: CRC, limits, and that it is the section `expected` (fields of an index; NULL: any).
 * *ret_payload points into data, or into room when it was decoded. ret may be NULL; its texts are in the arena.
 * where: file and the like, for messages.
 */
int ckpt_record_open(const void *data, size_t len, const struct ckpt_section *expected, const char *where,
                     struct arena *arena, struct ckpt_section *ret, struct bytes *room, rask_bytes *ret_payload,
                     struct err *err) MUST_CHECK;

/* ---- a file, written ---- */

struct ckpt_writer;
/* codec: for all its sections. */
struct ckpt_writer *ckpt_writer_new(const struct ckpt_file_head *head, enum ckpt_codec codec);
void ckpt_writer_free(struct ckpt_writer *w);
/* What comes next in the file is appended to out, in this order: begin, sections, end. */
void ckpt_writer_begin(struct ckpt_writer *w, struct bytes *out);
/* Also sets section->offset. section is copied into the index. */
void ckpt_writer_section(struct ckpt_writer *w, struct ckpt_section *section, const void *payload, size_t len,
                         struct bytes *out);
/*
 * The same of a payload that is made where it is to stand, and has no codec: `room` leaves room for what comes before it, and says
 * where the section begins; the payload is appended to out; `made` puts the rest around it.  Where there is no section after
 * all, out->len is set back to its begin.
 */
size_t ckpt_writer_room(const struct ckpt_writer *w, struct bytes *out);
void ckpt_writer_made(struct ckpt_writer *w, struct ckpt_section *section, size_t begin, struct bytes *out);
/* schemas: a meta whose operators and states the file describes itself with (sections of it are ignored). */
void ckpt_writer_end(struct ckpt_writer *w, const struct ckpt_meta *schemas, struct bytes *out);
uint64_t ckpt_writer_size(const struct ckpt_writer *w); /* bytes given out so far */
uint32_t ckpt_writer_crc(const struct ckpt_writer *w);  /* CRC32C of them */

/* ---- a file, read without its _metadata ---- */

/* Of the last CKPT_FILE_FOOTER_BYTES of a file of `size` bytes: where index and schemas are. */
int ckpt_file_footer(const void *data, uint64_t size, const char *where, uint64_t *ret_offset, uint64_t *ret_len,
                     uint32_t *ret_crc, struct err *err) MUST_CHECK;
/* Of the first CKPT_FILE_HEADER_BYTES. */
int ckpt_file_header(const void *data, const char *where, struct ckpt_file_head *ret, struct err *err) MUST_CHECK;
/* Of those index bytes: a meta with the file's operators, states and sections (file 0). Owned result. */
int ckpt_file_index(const void *data, size_t len, uint32_t crc, const char *where, struct ckpt_meta **ret,
                    struct err *err) MUST_CHECK;
/* A whole file in memory: header, every section, index, footer; nothing between them. ret may be NULL. */
int ckpt_file_check(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err) MUST_CHECK;

#endif
