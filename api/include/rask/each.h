/*
 * rask/each.h - RASK_EACH_(M, N, (tuple), ...) is M(N, tuple's items) for each of 1 to 64 tuples.
 * Preprocessor alone; used by rask/row.h.  The pattern repeats, a line for each count.
 */
#ifndef RASK_EACH_H
#define RASK_EACH_H

enum { RASK_EACH_MAX = 64 };

#define RASK_UN_(...) __VA_ARGS__
#define RASK_CALL_(M, ...) M(__VA_ARGS__)
#define RASK_E1_(M, N, t) RASK_CALL_(M, N, RASK_UN_ t)
#define RASK_E2_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E1_(M, N, __VA_ARGS__)
#define RASK_E3_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E2_(M, N, __VA_ARGS__)
#define RASK_E4_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E3_(M, N, __VA_ARGS__)
#define RASK_E5_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E4_(M, N, __VA_ARGS__)
#define RASK_E6_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E5_(M, N, __VA_ARGS__)
#define RASK_E7_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E6_(M, N, __VA_ARGS__)
#define RASK_E8_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E7_(M, N, __VA_ARGS__)
#define RASK_E9_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E8_(M, N, __VA_ARGS__)
#define RASK_E10_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E9_(M, N, __VA_ARGS__)
#define RASK_E11_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E10_(M, N, __VA_ARGS__)
#define RASK_E12_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E11_(M, N, __VA_ARGS__)
#define RASK_E13_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E12_(M, N, __VA_ARGS__)
#define RASK_E14_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E13_(M, N, __VA_ARGS__)
#define RASK_E15_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E14_(M, N, __VA_ARGS__)
#define RASK_E16_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E15_(M, N, __VA_ARGS__)
#define RASK_E17_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E16_(M, N, __VA_ARGS__)
#define RASK_E18_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E17_(M, N, __VA_ARGS__)
#define RASK_E19_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E18_(M, N, __VA_ARGS__)
#define RASK_E20_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E19_(M, N, __VA_ARGS__)
#define RASK_E21_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E20_(M, N, __VA_ARGS__)
#define RASK_E22_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E21_(M, N, __VA_ARGS__)
#define RASK_E23_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E22_(M, N, __VA_ARGS__)
#define RASK_E24_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E23_(M, N, __VA_ARGS__)
#define RASK_E25_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E24_(M, N, __VA_ARGS__)
#define RASK_E26_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E25_(M, N, __VA_ARGS__)
#define RASK_E27_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E26_(M, N, __VA_ARGS__)
#define RASK_E28_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E27_(M, N, __VA_ARGS__)
#define RASK_E29_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E28_(M, N, __VA_ARGS__)
#define RASK_E30_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E29_(M, N, __VA_ARGS__)
#define RASK_E31_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E30_(M, N, __VA_ARGS__)
#define RASK_E32_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E31_(M, N, __VA_ARGS__)
#define RASK_E33_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E32_(M, N, __VA_ARGS__)
#define RASK_E34_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E33_(M, N, __VA_ARGS__)
#define RASK_E35_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E34_(M, N, __VA_ARGS__)
#define RASK_E36_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E35_(M, N, __VA_ARGS__)
#define RASK_E37_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E36_(M, N, __VA_ARGS__)
#define RASK_E38_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E37_(M, N, __VA_ARGS__)
#define RASK_E39_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E38_(M, N, __VA_ARGS__)
#define RASK_E40_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E39_(M, N, __VA_ARGS__)
#define RASK_E41_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E40_(M, N, __VA_ARGS__)
#define RASK_E42_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E41_(M, N, __VA_ARGS__)
#define RASK_E43_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E42_(M, N, __VA_ARGS__)
#define RASK_E44_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E43_(M, N, __VA_ARGS__)
#define RASK_E45_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E44_(M, N, __VA_ARGS__)
#define RASK_E46_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E45_(M, N, __VA_ARGS__)
#define RASK_E47_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E46_(M, N, __VA_ARGS__)
#define RASK_E48_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E47_(M, N, __VA_ARGS__)
#define RASK_E49_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E48_(M, N, __VA_ARGS__)
#define RASK_E50_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E49_(M, N, __VA_ARGS__)
#define RASK_E51_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E50_(M, N, __VA_ARGS__)
#define RASK_E52_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E51_(M, N, __VA_ARGS__)
#define RASK_E53_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E52_(M, N, __VA_ARGS__)
#define RASK_E54_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E53_(M, N, __VA_ARGS__)
#define RASK_E55_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E54_(M, N, __VA_ARGS__)
#define RASK_E56_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E55_(M, N, __VA_ARGS__)
#define RASK_E57_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E56_(M, N, __VA_ARGS__)
#define RASK_E58_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E57_(M, N, __VA_ARGS__)
#define RASK_E59_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E58_(M, N, __VA_ARGS__)
#define RASK_E60_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E59_(M, N, __VA_ARGS__)
#define RASK_E61_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E60_(M, N, __VA_ARGS__)
#define RASK_E62_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E61_(M, N, __VA_ARGS__)
#define RASK_E63_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E62_(M, N, __VA_ARGS__)
#define RASK_E64_(M, N, t, ...) RASK_CALL_(M, N, RASK_UN_ t) RASK_E63_(M, N, __VA_ARGS__)
#define RASK_PICK_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, \
    _17, _18, _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, _33, \
    _34, _35, _36, _37, _38, _39, _40, _41, _42, _43, _44, _45, _46, _47, _48, _49, _50, \
    _51, _52, _53, _54, _55, _56, _57, _58, _59, _60, _61, _62, _63, _64, X, ...) X
#define RASK_EACH_(M, N, ...) RASK_PICK_(__VA_ARGS__, RASK_E64_, RASK_E63_, RASK_E62_, \
    RASK_E61_, RASK_E60_, RASK_E59_, RASK_E58_, RASK_E57_, RASK_E56_, RASK_E55_, RASK_E54_, \
    RASK_E53_, RASK_E52_, RASK_E51_, RASK_E50_, RASK_E49_, RASK_E48_, RASK_E47_, RASK_E46_, \
    RASK_E45_, RASK_E44_, RASK_E43_, RASK_E42_, RASK_E41_, RASK_E40_, RASK_E39_, RASK_E38_, \
    RASK_E37_, RASK_E36_, RASK_E35_, RASK_E34_, RASK_E33_, RASK_E32_, RASK_E31_, RASK_E30_, \
    RASK_E29_, RASK_E28_, RASK_E27_, RASK_E26_, RASK_E25_, RASK_E24_, RASK_E23_, RASK_E22_, \
    RASK_E21_, RASK_E20_, RASK_E19_, RASK_E18_, RASK_E17_, RASK_E16_, RASK_E15_, RASK_E14_, \
    RASK_E13_, RASK_E12_, RASK_E11_, RASK_E10_, RASK_E9_, RASK_E8_, RASK_E7_, RASK_E6_, \
    RASK_E5_, RASK_E4_, RASK_E3_, RASK_E2_, RASK_E1_, 0)(M, N, __VA_ARGS__)

#endif
