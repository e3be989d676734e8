/* row_sample.h - rows of every type; test_row.c compiles it as C11 and C++17, warnings as errors. */
#include <rask/row.h>

RASK_ROW(one, (BIGINT, n));
RASK_ROW(every, (BOOLEAN, a), (TINYINT, b), (SMALLINT, c), (INT, d), (BIGINT, e), (FLOAT, f),
         (DOUBLE, g), (DECIMAL(18, 2), h), (DECIMAL(19, 0), i), (STRING, j), (BYTES, k), (DATE, l),
         (TIME, m), (TIMESTAMP, at));
RASK_ROW(every_null, (NULL_BOOLEAN, a), (NULL_TINYINT, b), (NULL_SMALLINT, c), (NULL_INT, d),
         (NULL_BIGINT, e), (NULL_FLOAT, f), (NULL_DOUBLE, g), (NULL_DECIMAL(1, 1), h),
         (NULL_DECIMAL(38, 38), i), (NULL_STRING, j), (NULL_BYTES, k), (NULL_DATE, l),
         (NULL_TIME, m), (NULL_TIMESTAMP, at));
RASK_STATE(spent, (BIGINT, cents), (INT, times), (BOOLEAN, known), (DECIMAL(30, 2), sum),
         (FLOAT, mean), (TIMESTAMP, at));
RASK_ROW(item, (STRING, name), (DECIMAL(12, 2), price), (NULL_INT, pieces));
RASK_ROW(order, (BIGINT, id), (ROW(item), first), (NULL_ROW(item), gift), (ARRAY(ROW(item)), items),
         (ARRAY(NULL_STRING), tags), (MAP(STRING, DECIMAL(18, 2)), prices),
         (NULL_MAP(STRING, NULL_ARRAY(ROW(item))), shelves), (NULL_ARRAY(ARRAY(INT)), grid));
RASK_ROW(price_entry, (STRING, key), (DECIMAL(18, 2), value));
RASK_ROW(wide, (INT, c1), (INT, c2), (INT, c3), (INT, c4), (INT, c5), (INT, c6), (INT, c7),
         (INT, c8), (INT, c9), (INT, c10), (INT, c11), (INT, c12), (INT, c13), (INT, c14),
         (INT, c15), (INT, c16), (INT, c17), (INT, c18), (INT, c19), (INT, c20), (INT, c21),
         (INT, c22), (INT, c23), (INT, c24), (INT, c25), (INT, c26), (INT, c27), (INT, c28),
         (INT, c29), (INT, c30), (INT, c31), (INT, c32), (INT, c33), (INT, c34), (INT, c35),
         (INT, c36), (INT, c37), (INT, c38), (INT, c39), (INT, c40), (INT, c41), (INT, c42),
         (INT, c43), (INT, c44), (INT, c45), (INT, c46), (INT, c47), (INT, c48), (INT, c49),
         (INT, c50), (INT, c51), (INT, c52), (INT, c53), (INT, c54), (INT, c55), (INT, c56),
         (INT, c57), (INT, c58), (INT, c59), (INT, c60), (INT, c61), (INT, c62), (INT, c63),
         (DECIMAL(12, 2), c64));
#ifdef ROW_CASE
ROW_CASE; /* what a test adds on the compiler's command line */
#endif
