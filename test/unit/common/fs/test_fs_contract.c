/* test_fs_contract.c - the contract of fs.h over the real implementation. */
#include "test/contract/contract.h"

int main(void)
{
    return contract_run("fs, real", contract_fs, world_real_new);
}
