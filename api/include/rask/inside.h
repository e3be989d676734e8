/*
 * rask/inside.h - the types of what is inside ARRAY and MAP, for RASK_ROW. Macros alone; used by rask/row.h.
 *
 * A macro does not expand inside itself, so what stands in an ARRAY or MAP has names of its own (RASK_F1_), and what
 * stands in an ARRAY or MAP in one (RASK_F2_).
 */
#ifndef RASK_INSIDE_H
#define RASK_INSIDE_H

#include <rask/batch.h>

/* A schema that nobody names. C++ has no compound literals: there the statics of a function that is called once. */
#ifdef __cplusplus
#define RASK_INSIDE_(level, word, count, ...)                                      \
    ([]() -> const rask_schema * {                                                 \
        static const rask_field fields##level[] = {__VA_ARGS__};                   \
        static const rask_schema inside##level = {RASK_ABI, count, word, fields##level}; \
        return &inside##level;                                                     \
    }())
#else
#define RASK_INSIDE_(level, word, count, ...) \
    (&(const rask_schema){RASK_ABI, count, word, (const rask_field[]){__VA_ARGS__}})
#endif

#define RASK_F_ARRAY(T) RASK_T_ARRAY, 0, 0, 0, RASK_INSIDE_(1, "ARRAY", 1, {"element", RASK_F1_##T})
#define RASK_F_MAP(K, V) \
    RASK_T_MAP, 0, 0, 0, RASK_INSIDE_(1, "MAP", 2, {"key", RASK_F1_##K}, {"value", RASK_F1_##V})
#define RASK_F_NULL_ARRAY(T) RASK_T_ARRAY, 1, 0, 0, RASK_INSIDE_(1, "ARRAY", 1, {"element", RASK_F1_##T})
#define RASK_F_NULL_MAP(K, V) \
    RASK_T_MAP, 1, 0, 0, RASK_INSIDE_(1, "MAP", 2, {"key", RASK_F1_##K}, {"value", RASK_F1_##V})
#define RASK_F1_ARRAY(T) RASK_T_ARRAY, 0, 0, 0, RASK_INSIDE_(2, "ARRAY", 1, {"element", RASK_F2_##T})
#define RASK_F1_MAP(K, V) \
    RASK_T_MAP, 0, 0, 0, RASK_INSIDE_(2, "MAP", 2, {"key", RASK_F2_##K}, {"value", RASK_F2_##V})
#define RASK_F1_NULL_ARRAY(T) RASK_T_ARRAY, 1, 0, 0, RASK_INSIDE_(2, "ARRAY", 1, {"element", RASK_F2_##T})
#define RASK_F1_NULL_MAP(K, V) \
    RASK_T_MAP, 1, 0, 0, RASK_INSIDE_(2, "MAP", 2, {"key", RASK_F2_##K}, {"value", RASK_F2_##V})
#define RASK_F_ROW(name) RASK_T_ROW, 0, 0, 0, &name##_schema
#define RASK_F_NULL_ROW(name) RASK_T_ROW, 1, 0, 0, &name##_schema

#define RASK_F1_BOOLEAN RASK_F_BOOLEAN
#define RASK_F1_TINYINT RASK_F_TINYINT
#define RASK_F1_SMALLINT RASK_F_SMALLINT
#define RASK_F1_INT RASK_F_INT
#define RASK_F1_BIGINT RASK_F_BIGINT
#define RASK_F1_FLOAT RASK_F_FLOAT
#define RASK_F1_DOUBLE RASK_F_DOUBLE
#define RASK_F1_DECIMAL(p, s) RASK_F_DECIMAL(p, s)
#define RASK_F1_STRING RASK_F_STRING
#define RASK_F1_BYTES RASK_F_BYTES
#define RASK_F1_DATE RASK_F_DATE
#define RASK_F1_TIME RASK_F_TIME
#define RASK_F1_TIMESTAMP RASK_F_TIMESTAMP
#define RASK_F1_ROW(name) RASK_F_ROW(name)
#define RASK_F1_NULL_BOOLEAN RASK_F_NULL_BOOLEAN
#define RASK_F1_NULL_TINYINT RASK_F_NULL_TINYINT
#define RASK_F1_NULL_SMALLINT RASK_F_NULL_SMALLINT
#define RASK_F1_NULL_INT RASK_F_NULL_INT
#define RASK_F1_NULL_BIGINT RASK_F_NULL_BIGINT
#define RASK_F1_NULL_FLOAT RASK_F_NULL_FLOAT
#define RASK_F1_NULL_DOUBLE RASK_F_NULL_DOUBLE
#define RASK_F1_NULL_DECIMAL(p, s) RASK_F_NULL_DECIMAL(p, s)
#define RASK_F1_NULL_STRING RASK_F_NULL_STRING
#define RASK_F1_NULL_BYTES RASK_F_NULL_BYTES
#define RASK_F1_NULL_DATE RASK_F_NULL_DATE
#define RASK_F1_NULL_TIME RASK_F_NULL_TIME
#define RASK_F1_NULL_TIMESTAMP RASK_F_NULL_TIMESTAMP
#define RASK_F1_NULL_ROW(name) RASK_F_NULL_ROW(name)

#define RASK_F2_BOOLEAN RASK_F_BOOLEAN
#define RASK_F2_TINYINT RASK_F_TINYINT
#define RASK_F2_SMALLINT RASK_F_SMALLINT
#define RASK_F2_INT RASK_F_INT
#define RASK_F2_BIGINT RASK_F_BIGINT
#define RASK_F2_FLOAT RASK_F_FLOAT
#define RASK_F2_DOUBLE RASK_F_DOUBLE
#define RASK_F2_DECIMAL(p, s) RASK_F_DECIMAL(p, s)
#define RASK_F2_STRING RASK_F_STRING
#define RASK_F2_BYTES RASK_F_BYTES
#define RASK_F2_DATE RASK_F_DATE
#define RASK_F2_TIME RASK_F_TIME
#define RASK_F2_TIMESTAMP RASK_F_TIMESTAMP
#define RASK_F2_ROW(name) RASK_F_ROW(name)
#define RASK_F2_NULL_BOOLEAN RASK_F_NULL_BOOLEAN
#define RASK_F2_NULL_TINYINT RASK_F_NULL_TINYINT
#define RASK_F2_NULL_SMALLINT RASK_F_NULL_SMALLINT
#define RASK_F2_NULL_INT RASK_F_NULL_INT
#define RASK_F2_NULL_BIGINT RASK_F_NULL_BIGINT
#define RASK_F2_NULL_FLOAT RASK_F_NULL_FLOAT
#define RASK_F2_NULL_DOUBLE RASK_F_NULL_DOUBLE
#define RASK_F2_NULL_DECIMAL(p, s) RASK_F_NULL_DECIMAL(p, s)
#define RASK_F2_NULL_STRING RASK_F_NULL_STRING
#define RASK_F2_NULL_BYTES RASK_F_NULL_BYTES
#define RASK_F2_NULL_DATE RASK_F_NULL_DATE
#define RASK_F2_NULL_TIME RASK_F_NULL_TIME
#define RASK_F2_NULL_TIMESTAMP RASK_F_NULL_TIMESTAMP
#define RASK_F2_NULL_ROW(name) RASK_F_NULL_ROW(name)

#endif
