/* test_sim_contract.c - the simulator keeps the contracts of env.h, net.h, fs.h and coord.h too. */
#include "test/contract/contract.h"

int main(void)
{
    return contract_run("env, simulated", contract_env, world_sim_new) +
           contract_run("net, simulated", contract_net, world_sim_new) +
           contract_run("fs, simulated", contract_fs, world_sim_new) +
           contract_run("coord, simulated", contract_coord, world_sim_new);
}
