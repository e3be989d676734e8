/*
 * ckpt_cover.h - which image is the newest at each place of the hash space.
 *
 * Disjoint intervals of hash >> 32, sorted; a gap: no image there.  Thread: any, one at a time per object.
 */
#ifndef CKPT_COVER_H
#define CKPT_COVER_H

#include <stdbool.h>
#include <stdint.h>

struct ckpt_span {
    uint32_t first, last; /* both included */
    uint64_t to;          /* checkpoint of the image; > 0 */
};
struct ckpt_cover { /* zeroed: empty */
    struct ckpt_span *spans;
    uint32_t count, room;
};
void ckpt_cover_release(struct ckpt_cover *c);
/* Of any number of images in any order; spans is sorted in place and borrowed until return. c is empty before. */
void ckpt_cover_build(struct ckpt_cover *c, struct ckpt_span *spans, uint32_t count);
/* One more, not newer than those before: it fills what is still bare. */
void ckpt_cover_fill(struct ckpt_cover *c, uint32_t first, uint32_t last, uint64_t to);
/* Newest image at a place; 0: none. */
uint64_t ckpt_cover_at(const struct ckpt_cover *c, uint32_t hash);
/* Whether every place of the interval has an image newer than `to`. */
bool ckpt_cover_hides(const struct ckpt_cover *c, uint32_t first, uint32_t last, uint64_t to);

#endif
