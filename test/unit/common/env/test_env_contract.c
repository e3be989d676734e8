/* test_env_contract.c - the contract of env.h over the real implementation. */
#include "test/contract/contract.h"

int main(void)
{
    return contract_run("env, real", contract_env, world_real_new);
}
