/* test_net_contract.c - the contract of net.h over the real implementation. */
#include "test/contract/contract.h"

int main(void)
{
    return contract_run("net, real", contract_net, world_real_new);
}
