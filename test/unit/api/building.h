/* building.h - an env whose artifact is the test program itself. */
#ifndef TEST_API_BUILDING_H
#define TEST_API_BUILDING_H

#include "api/runtime.h"

static struct rask_artifact building_artifact;
static const uint8_t building_hash[32] = {1, 2, 3};

__attribute__((unused)) static rask_env *building_args(int argc, const char *const *argv)
{
    struct rask_env_options options = {.offset_of = rask_artifact_offset,
                                       .arg = &building_artifact,
                                       .artifact = building_hash,
                                       .artifact_name = "test.so",
                                       .argc = argc,
                                       .argv = (char *const *)argv};

    assert_int_equal(rask_artifact_of(building_hash, &building_artifact, NULL), 0);
    return rask_env_new(&options);
}

__attribute__((unused)) static rask_env *building(void)
{
    return building_args(0, NULL);
}

#endif
