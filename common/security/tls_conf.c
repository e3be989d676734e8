/*
 * tls_conf.c - from security.ssl.* to a context of TLS: what falls back to what, and what must not be missing.
 */
#include "common/security/tls_conf.h"

#include <stdio.h>

#include "common/conf/conf.h"
#include "common/net/tls.h"

#define WARN_DAYS 30

/* The special key, or the general one, whichever is set; named for messages. */
static struct tls_setting setting(const struct conf *conf, enum conf_id special, enum conf_id general)
{
    enum conf_id id = conf_string(conf, special) == NULL && conf_string(conf, general) != NULL ? general : special;

    return (struct tls_setting){conf_option(id)->key, conf_string(conf, id)};
}

static struct tls_setting plain(const struct conf *conf, enum conf_id id)
{
    return (struct tls_setting){conf_option(id)->key, conf_string(conf, id)};
}

static int is_there(const struct tls_setting *s, enum conf_id enabled, struct err *err)
{
    if (s->value != NULL)
        return 0;
    return err_set(err, ERR_INVALID,
                   "%s is true, but %s is not set: `rask security init` makes the files and names the keys",
                   conf_option(enabled)->key, s->key);
}

int tls_conf_internal(const struct conf *conf, int64_t now_s, struct net_tls **ret, struct err *err)
{
    struct tls_options options = {
        .keystore = setting(conf, OPT_SECURITY_SSL_INTERNAL_KEYSTORE, OPT_SECURITY_SSL_KEYSTORE),
        .key_password = setting(conf, OPT_SECURITY_SSL_INTERNAL_KEY_PASSWORD, OPT_SECURITY_SSL_KEY_PASSWORD),
        .truststore = setting(conf, OPT_SECURITY_SSL_INTERNAL_TRUSTSTORE, OPT_SECURITY_SSL_TRUSTSTORE),
        .fingerprint = plain(conf, OPT_SECURITY_SSL_INTERNAL_CERT_FINGERPRINT),
        .ciphers = plain(conf, OPT_SECURITY_SSL_ALGORITHMS),
        .handshake_timeout_ms = conf_int(conf, OPT_SECURITY_SSL_INTERNAL_HANDSHAKE_TIMEOUT),
        .close_timeout_ms = conf_int(conf, OPT_SECURITY_SSL_INTERNAL_CLOSE_NOTIFY_FLUSH_TIMEOUT),
        .members = true,
        .now_s = now_s,
    };
    int code;

    *ret = NULL;
    if (!conf_bool(conf, OPT_SECURITY_SSL_INTERNAL_ENABLED))
        return 0;
    code = is_there(&options.keystore, OPT_SECURITY_SSL_INTERNAL_ENABLED, err);
    if (code == 0)
        code = is_there(&options.truststore, OPT_SECURITY_SSL_INTERNAL_ENABLED, err);
    if (code == 0)
        code = tls_context_new(&options, ret, err);
    return code;
}

/* The server shows a certificate; the client looks at it, and shows one if it is asked for. */
int tls_conf_rest(const struct conf *conf, bool server, int64_t now_s, struct net_tls **ret, struct err *err)
{
    bool mutual = conf_bool(conf, OPT_SECURITY_SSL_REST_AUTHENTICATION_ENABLED);
    struct tls_options options = {
        .keystore = setting(conf, OPT_SECURITY_SSL_REST_KEYSTORE, OPT_SECURITY_SSL_KEYSTORE),
        .key_password = setting(conf, OPT_SECURITY_SSL_REST_KEY_PASSWORD, OPT_SECURITY_SSL_KEY_PASSWORD),
        .truststore = setting(conf, OPT_SECURITY_SSL_REST_TRUSTSTORE, OPT_SECURITY_SSL_TRUSTSTORE),
        .fingerprint = plain(conf, OPT_SECURITY_SSL_REST_CERT_FINGERPRINT),
        .ciphers = plain(conf, OPT_SECURITY_SSL_ALGORITHMS),
        .ask_no_certificate = server && !mutual,
        .now_s = now_s,
    };
    int code = 0;

    *ret = NULL;
    if (server || mutual)
        code = is_there(&options.keystore, OPT_SECURITY_SSL_REST_ENABLED, err);
    else
        options.keystore.value = NULL; /* often it is the server's, and not for the eyes of clients */
    if (code == 0 && (!server || mutual))
        code = is_there(&options.truststore, OPT_SECURITY_SSL_REST_ENABLED, err);
    else
        options.truststore.value = NULL;
    return code == 0 ? tls_context_new(&options, ret, err) : code;
}

bool tls_conf_data(const struct conf *conf)
{
    return conf_bool(conf, OPT_SECURITY_SSL_INTERNAL_ENABLED) && conf_bool(conf, OPT_TASKMANAGER_DATA_SSL_ENABLED);
}

bool tls_conf_expiry(const struct net_tls *tls, int64_t now_s, char out[TLS_CONF_TEXT_MAX])
{
    int64_t days = tls_context_days_left(tls, now_s);

    if (days >= WARN_DAYS)
        return false;
    snprintf(out, TLS_CONF_TEXT_MAX,
             "the certificate of this daemon expires in %lld days: a process that starts or connects after that is refused",
             (long long)days);
    return true;
}
