/* test_key_bytes_plain.c - test_key_bytes.c for processors without vectors: the same tests on the loops that are left. */
#undef __SSSE3__
#include "common/types/key_bytes.c"
#include "test/unit/common/types/test_key_bytes.c"
