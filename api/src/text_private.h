/*
 * text_private.h - which bytes make a name, for the vector forms of text.c and text_cells.c.
 *
 * By the lower and the upper half of a byte: each class of bytes has a bit that both tables have, 1: 0-9, 2: A-O and a-o,
 * 4: P-Z and p-z, 8: _.
 */
#ifndef API_TEXT_PRIVATE_H
#define API_TEXT_PRIVATE_H

#define NAME_LOWS  5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 2, 2, 2, 2, 10
#define NAME_HIGHS 0, 0, 0, 1, 2, 4 | 8, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0

#endif
