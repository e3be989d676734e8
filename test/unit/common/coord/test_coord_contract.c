/* test_coord_contract.c - the contract of coord.h over the real implementation. */
#include "test/contract/contract.h"

int main(void)
{
    return contract_run("coord, real", contract_coord, world_real_new);
}
