/* test_tls_contract.c - the contract of net.h once more over TLS, by certificates and by a secret. */
#include "test/contract/contract.h"
#include "test/unit/common/net/tls_files.h"

static struct net_tls *by_certificate, *by_secret;

static void secure_by_certificate(struct net *net, struct net_conn *conn, bool accepting)
{
    net->ops->secure(conn, &(struct net_secure){.tls = by_certificate, .accepting = accepting});
}

static void secure_by_secret(struct net *net, struct net_conn *conn, bool accepting)
{
    static const uint8_t psk[NET_PSK_BYTES] = {1, 2, 3};

    net->ops->secure(conn, &(struct net_secure){
                               .tls = by_secret, .accepting = accepting, .psk_name = "job 7", .psk = psk});
}

static int certificate_world(void **state)
{
    int rc = world_real_new(state);

    ((struct world *)*state)->secure = secure_by_certificate;
    return rc;
}

static int secret_world(void **state)
{
    int rc = world_real_new(state);

    ((struct world *)*state)->secure = secure_by_secret;
    return rc;
}

int main(void)
{
    struct tls_files files;
    int failed;

    tls_files_new(&files, -60, 86400);
    by_certificate = tls_files_context(&files);
    by_secret = tls_files_secret_context();
    failed = contract_run("net, TLS by certificates", contract_net, certificate_world) +
             contract_run("net, TLS by a secret", contract_net, secret_world);
    tls_context_free(by_certificate);
    tls_context_free(by_secret);
    tls_files_end(&files);
    return failed;
}
