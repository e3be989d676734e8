/* test_text_plain.c - test_text.c for processors without vectors: the same tests on the loops that are left. */
#undef __SSE2__
#undef __SSSE3__
#include "api/src/text.c"
#include "api/src/text_cells.c"
#include "test/unit/api/test_text.c"
