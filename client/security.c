/*
 * security.c - `rask security init`: a certificate authority of the cluster's own, and the files of its daemons.
 *
 *     ca-key.pem        key of the authority: makes further certificates; no daemon reads it
 *     truststore.pem    its certificate: whom daemons trust
 *     keystore.pem      certificate and key of the daemons
 *
 * With an authority that is there already only a new keystore is made. Nothing is ever overwritten.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/security/certs.h"

static const char help[] =
    "rask security init [OPTIONS]\n"
    "Makes what TLS between the daemons of a cluster needs: a certificate authority of its own (ca-key.pem,\n"
    "truststore.pem), and the daemons' certificate with its key (keystore.pem). Copy keystore.pem and truststore.pem\n"
    "to every host, and put ca-key.pem away: who has it can make certificates that the cluster accepts.\n"
    "Nothing is overwritten. Where the authority is there and keystore.pem is not, a new keystore.pem is made.\n"
    "\n"
    "  --dir DIR         where to (conf/security)\n"
    "  --days N          how long the daemons' certificate is valid (365); the authority's, ten times as long\n"
    "  --host NAME       a name or address that clients of REST use; may be repeated (localhost and this host's name)\n"
    "  --write-conf      adds the settings to the configuration file, instead of printing them\n"
    "  -D key=value      a setting of the configuration\n";

#define DAYS_DEFAULT     365
#define AUTHORITY_FACTOR 10
#define CLOCK_SLACK_S    3600 /* hosts whose clocks are behind accept the certificate, too */
#define DAY_S            86400

enum { CA_KEY, TRUSTSTORE, KEYSTORE, FILES };
struct init {
    const struct cli_options *options;
    const char *dir;
    char *path[FILES]; /* owned */
    bool made[FILES];
    struct bytes authority, authority_key, keystore; /* PEM */
    bool old_authority;
};

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static int write_file(struct init *in, int which, const struct bytes *text, mode_t mode, struct err *err)
{
    const char *path = in->path[which];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    ssize_t n;

    if (fd < 0)
        return err_errno(err, errno, "file %s", path);
    in->made[which] = true;
    n = write(fd, text->data, text->len);
    if (n < 0 || (size_t)n != text->len || fchmod(fd, mode) < 0 || fsync(fd) < 0) {
        int error = n >= 0 && (size_t)n != text->len ? ENOSPC : errno;

        close(fd);
        return err_errno(err, error, "file %s", path);
    }
    return close(fd) < 0 ? err_errno(err, errno, "file %s", path) : 0;
}

static int read_file(const char *path, struct bytes *out, struct err *err)
{
    const uint8_t *data;
    size_t len;
    int code = cli_file_map(path, &data, &len, err);

    if (code < 0)
        return code;
    bytes_add(out, data, len);
    bytes_add_u8(out, 0);
    cli_file_unmap(data, len);
    return 0;
}

static int make_folder(const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "folder %s", dir);
    return 0;
}

/* What is there already decides what is made. */
static int look(struct init *in, struct err *err)
{
    bool key = exists(in->path[CA_KEY]), trust = exists(in->path[TRUSTSTORE]);

    if (exists(in->path[KEYSTORE]))
        return err_set(err, ERR_EXISTS, "%s exists, and nothing is overwritten: put it away first, or choose another --dir",
                       in->path[KEYSTORE]);
    if (key != trust)
        return err_set(err, ERR_EXISTS,
                       "%s exists without %s: with both a new keystore.pem is made, with neither a new authority; "
                       "nothing is overwritten",
                       in->path[key ? CA_KEY : TRUSTSTORE], in->path[key ? TRUSTSTORE : CA_KEY]);
    in->old_authority = key;
    if (!key)
        return 0;
    if (read_file(in->path[TRUSTSTORE], &in->authority, err) < 0 || read_file(in->path[CA_KEY], &in->authority_key, err) < 0)
        return err->code;
    return 0;
}

static int make_authority(struct init *in, uint32_t days, struct err *err)
{
    int64_t now = time(NULL);
    struct certs_request request = {.name = "authority of a cluster", .from_s = now - CLOCK_SLACK_S,
                                    .until_s = now + (int64_t)days * DAY_S * AUTHORITY_FACTOR};
    int code;

    if (in->old_authority)
        return 0;
    code = certs_make_authority(&request, &in->authority, &in->authority_key, err);
    if (code == 0)
        code = write_file(in, CA_KEY, &in->authority_key, 0600, err);
    if (code == 0)
        code = write_file(in, TRUSTSTORE, &in->authority, 0644, err);
    return code;
}

static int make_keystore(struct init *in, uint32_t days, struct err *err)
{
    const struct cli_options *o = in->options;
    const char *hosts[CLI_HOSTS_MAX + 4] = {"localhost", "127.0.0.1", "::1"};
    char own[HOST_NAME_MAX + 1] = "";
    size_t count = 3;
    int64_t now = time(NULL);
    struct certs_request request = {.name = "daemon of a cluster", .from_s = now - CLOCK_SLACK_S,
                                    .until_s = now + (int64_t)days * DAY_S, .hosts = hosts};
    struct bytes key;
    int code;

    if (gethostname(own, sizeof(own) - 1) == 0 && own[0] && strcmp(own, "localhost") != 0)
        hosts[count++] = own;
    for (size_t i = 0; i < o->host_count; i++)
        hosts[count++] = o->hosts[i];
    request.host_count = count;
    bytes_init(&key);
    code = certs_make(&request, (const char *)in->authority.data, (const char *)in->authority_key.data, &in->keystore,
                      &key, err);
    bytes_add(&in->keystore, key.data, key.len);
    if (key.len > 0)
        memset(key.data, 0, key.len);
    bytes_release(&key);
    if (code == 0)
        code = write_file(in, KEYSTORE, &in->keystore, 0600, err);
    return code;
}

/* ---- the settings ---- */

static void quote(struct bytes *out, const char *text)
{
    bytes_add_u8(out, '\'');
    for (; *text; text++) {
        bytes_add_u8(out, (uint8_t)*text);
        if (*text == '\'')
            bytes_add_u8(out, '\'');
    }
    bytes_add_u8(out, '\'');
}

static void settings_text(const struct init *in, struct bytes *out)
{
    bytes_printf(out, "%s: true\n%s: ", conf_option(OPT_SECURITY_SSL_INTERNAL_ENABLED)->key,
                 conf_option(OPT_SECURITY_SSL_INTERNAL_KEYSTORE)->key);
    quote(out, in->path[KEYSTORE]);
    bytes_printf(out, "\n%s: ", conf_option(OPT_SECURITY_SSL_INTERNAL_TRUSTSTORE)->key);
    quote(out, in->path[TRUSTSTORE]);
    bytes_add_str(out, "\n");
}

/* Lines at the end of the file, which is replaced as a whole. */
static int append(const char *path, const struct bytes *more, struct err *err)
{
    struct bytes text;
    char *next = mem_printf("%s.new", path);
    struct stat st = {.st_mode = 0644};
    FILE *f = NULL;
    int code = 0;

    bytes_init(&text);
    if (stat(path, &st) == 0)
        code = read_file(path, &text, err);
    if (text.len > 0)
        text.len--; /* its 0 byte */
    if (code == 0) {
        if (text.len > 0 && text.data[text.len - 1] != '\n')
            bytes_add_u8(&text, '\n');
        bytes_add(&text, more->data, more->len);
        f = fopen(next, "we");
        if (!f || fwrite(text.data, 1, text.len, f) != text.len || fchmod(fileno(f), st.st_mode & 07777) < 0)
            code = err_errno(err, errno, "file %s", next);
        if (f && fclose(f) != 0 && code == 0)
            code = err_errno(err, errno, "file %s", next);
        if (code == 0 && rename(next, path) < 0)
            code = err_errno(err, errno, "file %s", path);
    }
    bytes_release(&text);
    mem_free(next);
    return code;
}

static int check_conf(const struct conf *conf, struct err *err)
{
    static const enum conf_id ids[] = {OPT_SECURITY_SSL_INTERNAL_ENABLED, OPT_SECURITY_SSL_INTERNAL_KEYSTORE,
                                       OPT_SECURITY_SSL_INTERNAL_TRUSTSTORE};

    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (conf_is_set(conf, ids[i]))
            return err_set(err, ERR_EXISTS, "--write-conf: %s is set already; without this option the settings are printed",
                           conf_option(ids[i])->key);
    return 0;
}

static int tell_settings(const struct init *in, struct err *err)
{
    struct bytes text;
    char *folder = conf_dir(), *path = NULL;
    int code = 0;

    bytes_init(&text);
    settings_text(in, &text);
    if (!in->options->write_conf) {
        fprintf(stderr, "Put this into %s of every host:\n", CONF_FILE_NAME);
        fwrite(text.data, 1, text.len, stdout);
    } else if (!folder) {
        code = err_set(err, ERR_NOT_FOUND, "--write-conf: there is no configuration folder; set RASK_CONF_DIR");
    } else {
        path = mem_printf("%s/%s", folder, CONF_FILE_NAME);
        code = append(path, &text, err);
        if (code == 0)
            fprintf(stderr, "Added security.ssl.internal.* to %s\n", path);
    }
    mem_free(path);
    mem_free(folder);
    bytes_release(&text);
    return code;
}

static void tell_files(const struct init *in)
{
    char fingerprint[96];
    struct err err;

    if (!in->old_authority)
        fprintf(stderr, "Made %s (whom the daemons trust) and %s (makes further certificates: put it away)\n",
                in->path[TRUSTSTORE], in->path[CA_KEY]);
    if (certs_fingerprint((const char *)in->keystore.data, fingerprint, &err) == 0)
        fprintf(stderr, "Made %s (the daemons' certificate and key), SHA-256 %s\n", in->path[KEYSTORE], fingerprint);
}

/* ---- the command ---- */

static void init_begin(struct init *in, const struct cli_options *o, char *dir)
{
    static const char *const names[FILES] = {"ca-key.pem", "truststore.pem", "keystore.pem"};

    *in = (struct init){.options = o, .dir = dir};
    for (int i = 0; i < FILES; i++)
        in->path[i] = mem_printf("%s/%s", dir, names[i]);
    bytes_init(&in->authority);
    bytes_init(&in->authority_key);
    bytes_init(&in->keystore);
}

static void init_end(struct init *in, bool failed)
{
    struct bytes *secrets[] = {&in->authority_key, &in->keystore, &in->authority};

    for (int i = 0; i < FILES; i++) {
        if (failed && in->made[i])
            unlink(in->path[i]);
        mem_free(in->path[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        if (secrets[i]->len > 0)
            memset(secrets[i]->data, 0, secrets[i]->len);
        bytes_release(secrets[i]);
    }
}

/* The folder as the daemons will find it: an absolute path. */
static int folder_of(const struct cli_options *o, char **ret, struct err *err)
{
    char *conf = conf_dir(), *wanted = NULL, resolved[PATH_MAX];
    int code = 0;

    if (o->dir)
        wanted = mem_strdup(o->dir);
    else if (conf)
        wanted = mem_printf("%s/security", conf);
    else
        code = err_set(err, ERR_NOT_FOUND, "there is no configuration folder: set RASK_CONF_DIR, or say --dir");
    if (code == 0)
        code = make_folder(wanted, err);
    if (code == 0 && !realpath(wanted, resolved))
        code = err_errno(err, errno, "folder %s", wanted);
    if (code == 0)
        *ret = mem_strdup(resolved);
    mem_free(wanted);
    mem_free(conf);
    return code;
}

static int init(const struct cli_options *o, struct err *err)
{
    uint32_t days = o->days ? o->days : DAYS_DEFAULT;
    struct conf *conf = NULL;
    struct init in;
    char *dir = NULL;
    int code = cli_open_conf(o, &conf, err);

    if (code == 0 && o->write_conf)
        code = check_conf(conf, err);
    if (code == 0)
        code = folder_of(o, &dir, err);
    conf_free(conf);
    if (code < 0)
        return code;
    init_begin(&in, o, dir);
    code = look(&in, err);
    if (code == 0)
        code = make_authority(&in, days, err);
    if (code == 0)
        code = make_keystore(&in, days, err);
    if (code == 0) {
        tell_files(&in);
        if (!in.old_authority)
            code = tell_settings(&in, err);
    }
    init_end(&in, code < 0);
    mem_free(dir);
    return code;
}

int cli_security(int argc, char **argv)
{
    struct cli_options options;
    struct err err = {0};
    int code = cli_parse(&options, CLI_OPT_SECURITY, argc - 2, argv + 2, &err);

    if (code < 0)
        return cli_fail(&err);
    if (options.help || (options.file_count == 1 && strcmp(options.files[0], "help") == 0)) {
        fputs(help, stdout);
        return 0;
    }
    if (options.file_count != 1 || strcmp(options.files[0], "init") != 0) {
        err_set(&err, ERR_INVALID, "`rask security` knows one thing to do: init");
        return cli_fail(&err);
    }
    return init(&options, &err) < 0 ? cli_fail(&err) : 0;
}
