/*
 * tls_conf.h - TLS as the settings want it: security.ssl.*.  Thread: any; for the mains of daemons.
 */
#ifndef SECURITY_TLS_CONF_H
#define SECURITY_TLS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct conf;
struct net_tls;

#define TLS_CONF_TEXT_MAX 512

/* TLS inside the cluster; *ret is NULL when security.ssl.internal.enabled is false. The caller owns it
 * (tls_context_free). Errors name key and file. */
int tls_conf_internal(const struct conf *conf, int64_t now_s, struct net_tls **ret, struct err *err) MUST_CHECK;
/* TLS of REST, for the JobManager or for a client of it; likewise. */
int tls_conf_rest(const struct conf *conf, bool server, int64_t now_s, struct net_tls **ret, struct err *err) MUST_CHECK;
/* Whether data between workers is to be encrypted. */
bool tls_conf_data(const struct conf *conf);
/* A sentence about a certificate that expires soon, to be logged as a warning; false: nothing to say. */
bool tls_conf_expiry(const struct net_tls *tls, int64_t now_s, char out[TLS_CONF_TEXT_MAX]);

#endif
