/* tls_openssl_private.h - OpenSSL's headers, for tls_*openssl.c: one of its old type names is an error code of ours. */
#ifndef NET_TLS_OPENSSL_PRIVATE_H
#define NET_TLS_OPENSSL_PRIVATE_H

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
