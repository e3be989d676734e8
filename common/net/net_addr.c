/*
 * net_addr.c - addresses as text and as sockaddr; who holds a port.
 * Thread: any.  net_address_resolve blocks, the others do not wait for anything.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/net/net_private.h"

static int bad_address(struct err *err, const char *address, const char *why)
{
    return err_set(err, ERR_INVALID,
                   "address '%.300s': %s; expected HOST:PORT, [IPv6]:PORT or inproc:NAME", address,
                   why);
}

int net_address_parse(const char *address, struct net_hostport *ret, struct err *err)
{
    const char *colon = strrchr(address, ':'), *host = address;
    size_t host_len;
    unsigned long port = 0;

    if (colon == NULL || colon[1] == '\0')
        return bad_address(err, address, "no port");
    for (const char *p = colon + 1; *p != '\0'; p++) {
        if (!isdigit((unsigned char)*p))
            return bad_address(err, address, "the port is not a number");
        port = port * 10 + (unsigned long)(*p - '0');
        if (port > UINT16_MAX)
            return bad_address(err, address, "the port is above 65535");
    }
    host_len = (size_t)(colon - host);
    if (host_len >= 2 && host[0] == '[' && colon[-1] == ']') {
        host++;
        host_len -= 2;
    } else if (memchr(host, ':', host_len) != NULL) {
        return bad_address(err, address, "an IPv6 address needs brackets");
    }
    if (host_len == 0)
        return bad_address(err, address, "no host");
    if (host_len >= NET_HOST_MAX)
        return bad_address(err, address, "the host is longer than 253 bytes");
    memcpy(ret->host, host, host_len);
    ret->host[host_len] = '\0';
    ret->port = (uint16_t)port;
    return 0;
}

bool net_address_numeric(const struct net_hostport *hp, struct net_sockaddr *ret)
{
    const char *host = strcasecmp(hp->host, "localhost") == 0 ? "127.0.0.1" : hp->host;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(hp->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(hp->port)};

    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&ret->storage, &v4, sizeof(v4));
        ret->len = sizeof(v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(&ret->storage, &v6, sizeof(v6));
        ret->len = sizeof(v6);
        return true;
    }
    return false;
}

int net_address_resolve(const struct net_hostport *hp, struct net_sockaddr *ret, size_t max,
                        size_t *ret_count, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char port[8];
    size_t count = 0;
    int rc;

    snprintf(port, sizeof(port), "%u", hp->port);
    rc = getaddrinfo(hp->host, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_UNAVAILABLE, "cannot resolve host '%s': %s", hp->host,
                       gai_strerror(rc));
    for (struct addrinfo *ai = found; ai != NULL && count < max; ai = ai->ai_next) {
        if (ai->ai_addrlen > sizeof(ret[count].storage))
            continue;
        memset(&ret[count], 0, sizeof(ret[count]));
        memcpy(&ret[count].storage, ai->ai_addr, ai->ai_addrlen);
        ret[count++].len = ai->ai_addrlen;
    }
    freeaddrinfo(found);
    *ret_count = count;
    if (count == 0)
        return err_set(err, ERR_UNAVAILABLE, "cannot resolve host '%s': it has no address",
                       hp->host);
    return 0;
}

void net_address_format(const struct sockaddr *sa, char out[NET_ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, sa, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(out, NET_ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4.sin_port));
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, sa, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        snprintf(out, NET_ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6.sin6_port));
    } else {
        snprintf(out, NET_ADDRESS_TEXT_MAX, "local socket");
    }
}

bool net_is_loopback(const char *address)
{
    struct net_hostport hp;
    struct net_sockaddr sa;

    if (net_is_inproc(address))
        return true;
    if (net_address_parse(address, &hp, NULL) != 0) { /* a bare host */
        if (strlen(address) >= NET_HOST_MAX)
            return false;
        memcpy(hp.host, address, strlen(address) + 1);
        hp.port = 0;
    }
    if (!net_address_numeric(&hp, &sa))
        return false;
    if (sa.storage.ss_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, &sa.storage, sizeof(v4));
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 v6;

    memcpy(&v6, &sa.storage, sizeof(v6));
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

/* ---- who holds a port: the inode of the listening socket, then the process that has it open ---- */

#define COMM_MAX 15 /* bytes of a name in /proc/PID/comm */

static unsigned long listening_inode(const char *table, uint16_t port, unsigned *ret_uid)
{
    FILE *f = fopen(table, "re");
    char line[512];
    unsigned long inode = 0;

    if (f == NULL)
        return 0;
    while (inode == 0 && fgets(line, sizeof(line), f) != NULL) {
        unsigned local_port, state;
        unsigned long found;

        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %u %*d %lu",
                   &local_port, &state, ret_uid, &found) == 4 &&
            local_port == port && state == 0x0a)
            inode = found;
    }
    fclose(f);
    return inode;
}

static bool process_has(const char *pid, const char *link_wanted)
{
    char path[300], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, entry->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        found = strcmp(target, link_wanted) == 0;
    }
    closedir(dir);
    return found;
}

/* The first line, or string, of a file of a process. */
static void read_first(const char *pid, const char *file, char *out, size_t out_size)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, file);
    f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fgets(out, (int)out_size, f) != NULL)
        out[strcspn(out, "\n")] = '\0';
    fclose(f);
}

static void describe_process(const char *pid, char *out, size_t out_size)
{
    char name[64] = "?", command[256] = "";
    const char *slash;

    read_first(pid, "comm", name, sizeof(name));
    read_first(pid, "cmdline", command, sizeof(command));
    slash = strrchr(command, '/');
    slash = slash != NULL ? slash + 1 : command;
    if (strlen(name) == COMM_MAX && strncmp(slash, name, COMM_MAX) == 0)
        snprintf(name, sizeof(name), "%.60s", slash); /* the kernel cuts a longer name */
    snprintf(out, out_size, " (held by %s, pid %.20s)", name, pid);
}

void net_port_holder(uint16_t port, char *out, size_t out_size)
{
    unsigned uid = 0;
    unsigned long inode = listening_inode("/proc/net/tcp", port, &uid);
    char link_wanted[64];
    struct dirent *entry;
    DIR *dir;

    out[0] = '\0';
    if (inode == 0)
        inode = listening_inode("/proc/net/tcp6", port, &uid);
    dir = inode == 0 ? NULL : opendir("/proc");
    if (dir == NULL)
        return;
    snprintf(link_wanted, sizeof(link_wanted), "socket:[%lu]", inode);
    while (out[0] == '\0' && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && process_has(entry->d_name, link_wanted))
            describe_process(entry->d_name, out, out_size);
    closedir(dir);
    if (out[0] == '\0') /* its descriptors are not for us to see */
        snprintf(out, out_size, " (held by a process of user id %u)", uid);
}
