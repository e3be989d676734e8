/* client_private.h - what the files of client/ share beside client.h: files mapped into memory. */
#ifndef CLIENT_PRIVATE_H
#define CLIENT_PRIVATE_H

#include "client/client.h"

#define CLI_FILE_MAX (1u << 30)

/* A whole regular file, read-only. *ret_data is NULL for an empty one. */
int cli_file_map(const char *path, const uint8_t **ret_data, size_t *ret_len, struct err *err) MUST_CHECK;
void cli_file_unmap(const uint8_t *data, size_t len);

#endif
