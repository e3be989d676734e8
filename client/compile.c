/*
 * compile.c - from the files of a job to a shared object: the system compiler behind a cache.
 *
 * The cache is a folder of artifacts named by their SHA-256, and of manifests named by what went into the
 * command (sources, flags, compiler).  A manifest lists every file that the compiler read with its hash, as
 * -MD told; if all are unchanged the artifact is taken and the compiler does not start.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client_private.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#define WORDS_MAX 256
#define CACHE_FILES_MAX 512
#define CACHE_BYTES_MAX (256u << 20)

struct words { /* an argument vector; strings owned */
    char *at[WORDS_MAX + 1];
    size_t count;
};

static void words_release(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        mem_free(w->at[i]);
    w->count = 0;
}

static int words_add(struct words *w, const char *word, struct err *err)
{
    if (w->count == WORDS_MAX)
        return err_set(err, ERR_LIMIT, "the compiler command has more than %d words", WORDS_MAX);
    w->at[w->count++] = mem_strdup(word);
    w->at[w->count] = NULL;
    return 0;
}

/* Splits at white space; '...' and "..." group, a backslash quotes one character. */
static int words_split(struct words *w, const char *text, struct err *err)
{
    while (*text) {
        struct bytes word = {0};
        char quote = 0;
        bool any = false;
        int code;
        char *s;

        while (isspace((unsigned char)*text))
            text++;
        for (; *text && (quote || !isspace((unsigned char)*text)); text++) {
            any = true;
            if (quote && *text == quote)
                quote = 0;
            else if (!quote && (*text == '\'' || *text == '"'))
                quote = *text;
            else if (*text == '\\' && quote != '\'' && text[1])
                bytes_add(&word, ++text, 1);
            else
                bytes_add(&word, text, 1);
        }
        s = any ? mem_strdup(word.data ? (char *)word.data : "") : NULL;
        bytes_release(&word);
        if (!any)
            break;
        code = words_add(w, s, err);
        mem_free(s);
        if (code < 0)
            return code;
    }
    return 0;
}

/* ---- files ---- */
static int map_file(const char *path, off_t max, const uint8_t **ret_data, size_t *ret_len, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code = 0;
    struct stat st;
    void *p = NULL;

    if (fd < 0)
        return err_errno(err, errno, "cannot read %s", path);
    if (fstat(fd, &st) < 0)
        code = err_errno(err, errno, "cannot read %s", path);
    else if (S_ISDIR(st.st_mode))
        code = err_set(err, ERR_INVALID, "%s is a directory, and should be a file", path);
    else if (!S_ISREG(st.st_mode))
        code = err_set(err, ERR_INVALID, "%s is not a regular file", path);
    else if (st.st_size > max)
        code = err_set(err, ERR_LIMIT, "%s has %lld bytes; at most %lld are taken", path, (long long)st.st_size, (long long)max);
    else if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            code = err_errno(err, errno, "cannot read %s", path);
    }
    close(fd);
    if (code < 0)
        return code;
    *ret_data = p;
    *ret_len = (size_t)st.st_size;
    return 0;
}

int cli_file_map(const char *path, const uint8_t **ret_data, size_t *ret_len, struct err *err)
{
    return map_file(path, CLI_FILE_MAX, ret_data, ret_len, err);
}

int cli_file_map_large(const char *path, const uint8_t **ret_data, size_t *ret_len, struct err *err)
{
    return map_file(path, INT64_MAX, ret_data, ret_len, err);
}

void cli_file_unmap(const uint8_t *data, size_t len)
{
    if (data)
        munmap((void *)data, len);
}

char *cli_program_dir(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash;

    if (n < 0)
        return mem_strdup(".");
    path[n] = 0;
    slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return mem_strdup(path);
}

/* The folder that holds rask/rask.h: beside an installed program, or in the source tree of a built one. */
static int sdk_include(char **ret, struct err *err)
{
    static const char *const places[] = {"../include", "../../api/include", "../../../api/include"};
    char *dir = cli_program_dir();

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char *header = mem_printf("%s/%s/rask/rask.h", dir, places[i]);
        bool found = access(header, R_OK) == 0;

        mem_free(header);
        if (found) {
            char *path = mem_printf("%s/%s", dir, places[i]), real[PATH_MAX];

            *ret = mem_strdup(realpath(path, real) ? real : path);
            mem_free(path);
            mem_free(dir);
            return 0;
        }
    }
    err_set(err, ERR_NOT_FOUND, "the header rask/rask.h is neither in %s/../include nor in a source tree around it", dir);
    mem_free(dir);
    return ERR_NOT_FOUND;
}

static int make_dirs(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            *p = '/';
            return -1;
        }
        *p = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

/* Without a home, as services and containers are: a folder among the temporary ones, of this user and closed to others. */
static int cache_without_home(char **ret, struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/rask-cache-%u", tmp && tmp[0] == '/' ? tmp : "/tmp", (unsigned)geteuid());
    struct stat st;
    int code = 0;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        code = err_errno(err, errno, "cannot make %s for compiled jobs (XDG_CACHE_HOME names another place)", dir);
    else if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        code = err_set(err, ERR_PERMISSION,
                       "%s, for compiled jobs, is not a folder of this user alone; set HOME or XDG_CACHE_HOME", dir);
    if (code == 0)
        *ret = dir;
    else
        mem_free(dir);
    return code;
}

static int cache_open(char **ret, struct err *err)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir;

    if (base && base[0] == '/')
        dir = mem_printf("%s/rask", base);
    else if (home && home[0] == '/')
        dir = mem_printf("%s/.cache/rask", home);
    else
        return cache_without_home(ret, err);
    if (make_dirs(dir) < 0 || access(dir, W_OK | X_OK) < 0) {
        int code = err_errno(err, errno, "cannot write to %s, where compiled jobs are kept (XDG_CACHE_HOME names another place)",
                             dir);
        mem_free(dir);
        return code;
    }
    *ret = dir;
    return 0;
}

/* ---- the key of a manifest ---- */

/* Size and time of a compiler stand for its version: asking it would mean starting it. */
static void key_add_program(struct bytes *key, const char *name)
{
    const char *path = getenv("PATH");
    struct stat st;

    bytes_printf(key, "word %s\n", name);
    if (strchr(name, '/')) {
        if (stat(name, &st) == 0)
            bytes_printf(key, "program %lld %lld %llu\n", (long long)st.st_size, (long long)st.st_mtime,
                         (unsigned long long)st.st_ino);
        return;
    }
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char *file = mem_printf("%.*s/%s", (int)n, path, name);
        bool found = n > 0 && stat(file, &st) == 0 && S_ISREG(st.st_mode);

        mem_free(file);
        if (found) {
            bytes_printf(key, "program %lld %lld %llu\n", (long long)st.st_size, (long long)st.st_mtime,
                         (unsigned long long)st.st_ino);
            return;
        }
        path += n + (path[n] == ':');
    }
}

static char *absolute(const char *path)
{
    char real[PATH_MAX];

    return mem_strdup(realpath(path, real) ? real : path);
}

static char *manifest_path(const char *cache, const struct words *cc, size_t cc_programs,
                           const struct words *flags, const struct words *libs, const struct cli_options *o)
{
    /* what else gcc and clang look at */
    static const char *const environment[] = {"CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"};
    struct bytes key = {0};
    uint8_t hash[32];
    char hex[65];

    bytes_add_str(&key, "rask-cache 1\n");
    for (size_t i = 0; i < cc->count; i++) {
        if (i < cc_programs)
            key_add_program(&key, cc->at[i]);
        else
            bytes_printf(&key, "word %s\n", cc->at[i]);
    }
    for (size_t i = 0; i < flags->count; i++)
        bytes_printf(&key, "flag %s\n", flags->at[i]);
    for (size_t i = 0; i < libs->count; i++)
        bytes_printf(&key, "lib %s\n", libs->at[i]);
    for (size_t i = 0; i < ARRAY_LEN(environment); i++)
        if (getenv(environment[i]))
            bytes_printf(&key, "env %s %s\n", environment[i], getenv(environment[i]));
    for (size_t i = 0; i < o->file_count; i++) {
        char *real = absolute(o->files[i]);

        bytes_printf(&key, "source %s\n", real);
        mem_free(real);
    }
    hash_sha256(key.data, key.len, hash);
    hash_hex(hash, 16, hex);
    bytes_release(&key);
    return mem_printf("%s/%s.manifest", cache, hex);
}

/* ---- reading and writing manifests ---- */
static bool dependency_unchanged(char *line)
{
    char *space = strchr(line, ' ');
    const uint8_t *data;
    size_t len;
    bool same;

    if (!space || cli_file_map(space + 1, &data, &len, NULL) < 0)
        return false;
    same = strtoull(line, NULL, 16) == hash_xxh3(data ? data : (const uint8_t *)"", len);
    cli_file_unmap(data, len);
    return same;
}

/* True if the artifact of this manifest is there and nothing that went into it has changed. */
static bool manifest_hit(const char *manifest, const char *cache, struct cli_artifact *ret)
{
    const uint8_t *data, *so;
    size_t len, so_len;
    char *text, *line, *save, hex[65], *path = NULL;
    bool ok = false;

    if (cli_file_map(manifest, &data, &len, NULL) < 0 || !data)
        return false;
    text = mem_alloc(len + 1);
    memcpy(text, data, len);
    cli_file_unmap(data, len);
    line = strtok_r(text, "\n", &save);
    if (!line || strcmp(line, "rask-cache 1") != 0 || !(line = strtok_r(NULL, "\n", &save)) || strlen(line) != 64)
        goto out;
    path = mem_printf("%s/%s.so", cache, line);
    memcpy(hex, line, 65);
    while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
        if (!dependency_unchanged(line))
            goto out;
    }
    if (cli_file_map(path, &so, &so_len, NULL) < 0 || !so)
        goto out;
    hash_sha256(so, so_len, ret->sha256);
    cli_file_unmap(so, so_len);
    hash_hex(ret->sha256, 32, text); /* the manifest is longer than 64 characters */
    ok = strcmp(text, hex) == 0;
out:
    mem_free(text);
    if (ok) {
        utimensat(AT_FDCWD, path, NULL, 0);
        utimensat(AT_FDCWD, manifest, NULL, 0);
        ret->path = path;
        return true;
    }
    mem_free(path);
    return false;
}

/* Adds the files of a make rule, as -MD writes it, to the manifest. */
static int manifest_add_rule(struct bytes *manifest, const char *rule_path, struct err *err)
{
    const uint8_t *data;
    size_t len, i = 0;
    int code = cli_file_map(rule_path, &data, &len, err);

    if (code < 0)
        return code;
    while (i < len && data[i] != ':')
        i++;
    i++;
    while (i < len) {
        struct bytes name = {0};
        char *real;
        const uint8_t *dep;
        size_t dep_len;

        while (i < len && (isspace(data[i]) || (data[i] == '\\' && i + 1 < len && data[i + 1] == '\n')))
            i++;
        for (; i < len && !isspace(data[i]); i++) {
            if (data[i] == '\\' && i + 1 < len && (data[i + 1] == ' ' || data[i + 1] == '#'))
                i++;
            else if (data[i] == '$' && i + 1 < len && data[i + 1] == '$')
                i++;
            bytes_add(&name, &data[i], 1);
        }
        if (name.len == 0)
            break;
        real = absolute((char *)name.data);
        bytes_release(&name);
        code = cli_file_map(real, &dep, &dep_len, err);
        if (code == 0) {
            bytes_printf(manifest, "%016llx %s\n", (unsigned long long)hash_xxh3(dep ? dep : (const uint8_t *)"", dep_len),
                         real);
            cli_file_unmap(dep, dep_len);
        }
        mem_free(real);
        if (code < 0)
            break;
    }
    cli_file_unmap(data, len);
    return code;
}

static int write_file(const char *path, const void *data, size_t len, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t done = 0;

    if (fd < 0)
        return err_errno(err, errno, "cannot write %s", path);
    while (done < len) {
        ssize_t n = write(fd, (const char *)data + done, len - done);

        if (n < 0) {
            int e = errno;

            close(fd);
            return err_errno(err, e, "cannot write %s", path);
        }
        done += (size_t)n;
    }
    close(fd);
    return 0;
}

struct cache_file {
    char *name;
    struct timespec used;
    off_t size;
};

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const struct cache_file *)a)->used, *y = &((const struct cache_file *)b)->used;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Forgets what was not used for longest while the cache is over its limits. */
static void cache_prune(const char *cache)
{
    DIR *dir = opendir(cache);
    struct cache_file *files = NULL;
    size_t count = 0, cap = 0;
    uint64_t total = 0;
    struct dirent *e;

    while (dir && (e = readdir(dir)) != NULL) {
        struct stat st;

        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (count == cap) {
            cap = cap ? cap * 2 : 64;
            files = mem_realloc(files, cap * sizeof(*files));
        }
        files[count++] = (struct cache_file){mem_strdup(e->d_name), st.st_mtim, st.st_size};
        total += (uint64_t)st.st_size;
    }
    if (count > 1)
        qsort(files, count, sizeof(*files), by_age);
    for (size_t i = 0; i < count; i++) {
        if (count - i > CACHE_FILES_MAX || total > CACHE_BYTES_MAX) {
            unlinkat(dirfd(dir), files[i].name, 0);
            total -= (uint64_t)files[i].size;
        }
        mem_free(files[i].name);
    }
    mem_free(files);
    if (dir)
        closedir(dir);
}

/* ---- running the compiler ---- */

/* While there is a work folder, a signal that would end this program waits until the folder is gone; the compiler gets it. */
static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t ended_by, compiler_pid;

static void on_ending(int number)
{
    ended_by = number;
    if (compiler_pid > 0)
        kill(compiler_pid, number);
}

static void signals_hold(struct sigaction *ret_before)
{
    struct sigaction hold = {.sa_handler = on_ending};

    ended_by = 0;
    sigemptyset(&hold.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++) {
        sigaction(ending_signals[i], NULL, &ret_before[i]);
        if (ret_before[i].sa_handler != SIG_IGN) /* nohup */
            sigaction(ending_signals[i], &hold, NULL);
    }
}

static void signals_release(const struct sigaction *before)
{
    for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++)
        sigaction(ending_signals[i], &before[i], NULL);
    if (ended_by)
        raise(ended_by);
}

static int run_compiler(struct words *w, struct err *err)
{
    pid_t pid;
    int status;

    fflush(NULL);
    if (ended_by)
        return err_set(err, ERR_CANCELED, "interrupted");
    pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "cannot start the compiler");
    if (pid == 0) {
        for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++) {
            struct sigaction now;

            sigaction(ending_signals[i], NULL, &now);
            if (now.sa_handler == on_ending)
                signal(ending_signals[i], SIG_DFL);
        }
        dup2(2, 1); /* the compiler's own messages, all of them on stderr */
        execvp(w->at[0], w->at);
        fprintf(stderr, "rask: cannot start the compiler `%s`: %s. Install one, or name it in CC\n", w->at[0],
                strerror(errno));
        _exit(127);
    }
    compiler_pid = pid;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return err_errno(err, errno, "waiting for the compiler");
    }
    compiler_pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        return err_set(err, ERR_INVALID, "the compiler was ended by %s", strsignal(WTERMSIG(status)));
    return err_set(err, ERR_INVALID, "the compiler refused it (exit code %d)", WEXITSTATUS(status));
}

static int words_add_all(struct words *w, const struct words *more, struct err *err)
{
    for (size_t i = 0; i < more->count; i++) {
        int code = words_add(w, more->at[i], err);

        if (code < 0)
            return code;
    }
    return 0;
}

/* Compiles one source to work/N.o and adds what it read to the manifest. */
static int compile_one(const struct words *cc, const struct words *flags, const char *work, size_t n,
                       const char *source, struct bytes *manifest, struct err *err)
{
    struct words w = {0};
    char *object = mem_printf("%s/%zu.o", work, n), *rule = mem_printf("%s/%zu.d", work, n);
    const char *const tail[] = {"-c", "-MD", "-MF", rule, "-o", object, source};
    int code = words_add_all(&w, cc, err);

    if (code == 0)
        code = words_add_all(&w, flags, err);
    for (size_t i = 0; code == 0 && i < ARRAY_LEN(tail); i++)
        code = words_add(&w, tail[i], err);
    if (code == 0) {
        code = run_compiler(&w, err);
        if (code < 0)
            err_wrap(err, "cannot compile %s", source);
    }
    if (code == 0)
        code = manifest_add_rule(manifest, rule, err);
    words_release(&w);
    mem_free(object);
    mem_free(rule);
    return code;
}

static int link_all(const struct words *cc, const struct words *flags, const struct words *libs, const char *work,
                    const struct cli_options *o, char **ret_path, struct err *err)
{
    struct words w = {0};
    char *path = mem_printf("%s/job.so", work);
    int code = words_add_all(&w, cc, err);

    if (code == 0)
        code = words_add_all(&w, flags, err);
    if (code == 0)
        code = words_add(&w, "-shared", err);
    for (size_t i = 0; code == 0 && i < o->file_count; i++) {
        char *object = mem_printf("%s/%zu.o", work, i);

        code = words_add(&w, object, err);
        mem_free(object);
    }
    if (code == 0)
        code = words_add(&w, "-o", err);
    if (code == 0)
        code = words_add(&w, path, err);
    if (code == 0)
        code = words_add_all(&w, libs, err);
    if (code == 0) {
        code = run_compiler(&w, err);
        if (code < 0)
            err_wrap(err, "cannot link %s", o->files[0]);
    }
    words_release(&w);
    *ret_path = path;
    return code;
}

static void remove_work(const char *work)
{
    DIR *dir = opendir(work);
    struct dirent *e;

    while (dir && (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir)
        closedir(dir);
    rmdir(work);
}

/* Moves the shared object to its name by content, then writes the manifest that leads to it. */
static int cache_put(const char *cache, const char *built, const char *manifest_file, const struct bytes *deps,
                     const char *work, struct cli_artifact *ret, struct err *err)
{
    struct bytes manifest = {0};
    const uint8_t *data;
    size_t len;
    char hex[65], *temporary = mem_printf("%s/manifest", work);
    int code = cli_file_map(built, &data, &len, err);

    if (code == 0) {
        hash_sha256(data, len, ret->sha256);
        cli_file_unmap(data, len);
        hash_hex(ret->sha256, 32, hex);
        ret->path = mem_printf("%s/%s.so", cache, hex);
        bytes_printf(&manifest, "rask-cache 1\n%s\n", hex);
        bytes_add(&manifest, deps->data, deps->len);
        if (rename(built, ret->path) < 0)
            code = err_errno(err, errno, "cannot write %s", ret->path);
    }
    if (code == 0)
        code = write_file(temporary, manifest.data, manifest.len, err);
    if (code == 0 && rename(temporary, manifest_file) < 0)
        code = err_errno(err, errno, "cannot write %s", manifest_file);
    mem_free(temporary);
    bytes_release(&manifest);
    return code;
}

static int compile_all(const char *cache, const char *manifest, const struct words *cc, const struct words *flags,
                       const struct words *libs, const struct cli_options *o, struct cli_artifact *ret,
                       struct err *err)
{
    struct bytes deps = {0};
    char *work = mem_printf("%s/work-XXXXXX", cache), *built = NULL;
    struct sigaction before[ARRAY_LEN(ending_signals)];
    int code = 0;

    signals_hold(before);
    if (!mkdtemp(work)) {
        code = err_errno(err, errno, "cannot make a folder in %s", cache);
        signals_release(before);
        mem_free(work);
        return code;
    }
    for (size_t i = 0; code == 0 && i < o->file_count; i++)
        code = compile_one(cc, flags, work, i, o->files[i], &deps, err);
    if (code == 0)
        code = link_all(cc, flags, libs, work, o, &built, err);
    if (code == 0)
        code = cache_put(cache, built, manifest, &deps, work, ret, err);
    ret->compiled = true;
    remove_work(work);
    signals_release(before);
    mem_free(work);
    mem_free(built);
    bytes_release(&deps);
    if (code == 0)
        cache_prune(cache);
    return code;
}

static int compile_cached(const struct cli_options *o, struct cli_artifact *ret, struct err *err)
{
    static const char *const fixed[] = {"-fPIC", "-O2", "-g", "-Wall", "-fno-omit-frame-pointer"};
    struct words cc = {0}, flags = {0}, libs = {0};
    char *cache = NULL, *include = NULL, *manifest = NULL;
    const char *named = getenv("CC");
    int code = cache_open(&cache, err);

    if (code == 0)
        code = sdk_include(&include, err);
    if (code == 0)
        code = words_split(&cc, named && *named ? named : "cc", err);
    for (size_t i = 0; code == 0 && i < ARRAY_LEN(fixed); i++)
        code = words_add(&flags, fixed[i], err);
    if (code == 0 && o->sanitize)
        code = words_split(&flags, "-O1 -fsanitize=address,undefined", err);
    if (code == 0)
        code = words_add(&flags, "-I", err);
    if (code == 0)
        code = words_add(&flags, include, err);
    if (code == 0 && o->cflags)
        code = words_split(&flags, o->cflags, err);
    if (code == 0 && o->libs)
        code = words_split(&libs, o->libs, err);
    if (code == 0) {
        manifest = manifest_path(cache, &cc, cc.count, &flags, &libs, o);
        if (!manifest_hit(manifest, cache, ret))
            code = compile_all(cache, manifest, &cc, &flags, &libs, o, ret, err);
    }
    words_release(&cc);
    words_release(&flags);
    words_release(&libs);
    mem_free(cache);
    mem_free(include);
    mem_free(manifest);
    return code;
}

/* ---- the entry ---- */
enum file_kind { FILE_C, FILE_SHARED_OBJECT };

static int classify(const char *path, enum file_kind *ret, struct err *err)
{
    const uint8_t *data;
    size_t len, n = strlen(path);
    int code = cli_file_map(path, &data, &len, err);

    if (code < 0)
        return code;
    if (len >= 4 && memcmp(data, "\177ELF", 4) == 0)
        *ret = FILE_SHARED_OBJECT;
    else if (n > 3 && strcmp(path + n - 3, ".so") == 0)
        code = err_set(err, ERR_INVALID, "%s is not a shared object: it has no ELF header", path);
    else if (n < 3 || strcmp(path + n - 2, ".c") != 0)
        code = err_set(err, ERR_INVALID, "%s is neither a C file (*.c) nor a shared object (*.so)", path);
    else if (len && memchr(data, 0, MIN(len, 4096)))
        code = err_set(err, ERR_INVALID, "%s is not C source: it holds binary data", path);
    else
        *ret = FILE_C;
    cli_file_unmap(data, len);
    return code;
}

int cli_artifact_get(const struct cli_options *o, struct cli_artifact *ret, struct err *err)
{
    enum file_kind kind = FILE_C;
    const char *slash = strrchr(o->files[0], '/');
    const uint8_t *data;
    size_t len;
    int code;

    memset(ret, 0, sizeof(*ret));
    ret->name = mem_strdup(slash ? slash + 1 : o->files[0]);
    for (size_t i = 0; i < o->file_count; i++) {
        code = classify(o->files[i], &kind, err);
        if (code < 0)
            return code;
        if (kind == FILE_SHARED_OBJECT && o->file_count > 1)
            return err_set(err, ERR_INVALID, "%s is a shared object: it must be the only job file", o->files[i]);
    }
    if (kind == FILE_C)
        return compile_cached(o, ret, err);
    code = cli_file_map(o->files[0], &data, &len, err);
    if (code < 0)
        return code;
    hash_sha256(data, len, ret->sha256);
    cli_file_unmap(data, len);
    ret->path = absolute(o->files[0]);
    return 0;
}

void cli_artifact_release(struct cli_artifact *a)
{
    mem_free(a->path);
    mem_free(a->name);
    memset(a, 0, sizeof(*a));
}

/* One line of output of `cc -print-file-name=NAME`. */
static int ask_compiler(const char *argument, char *ret, size_t size, struct err *err)
{
    struct words w = {0};
    const char *named = getenv("CC");
    int fds[2], code = words_split(&w, named && *named ? named : "cc", err);
    ssize_t n = -1;
    pid_t pid;

    if (code == 0)
        code = words_add(&w, argument, err);
    if (code == 0 && pipe2(fds, O_CLOEXEC) < 0)
        code = err_errno(err, errno, "cannot make a pipe");
    if (code == 0) {
        pid = fork();
        if (pid == 0) {
            dup2(fds[1], 1);
            execvp(w.at[0], w.at);
            _exit(127);
        }
        close(fds[1]);
        n = read(fds[0], ret, size - 1);
        close(fds[0]);
        if (pid > 0)
            waitpid(pid, NULL, 0);
        ret[n > 0 ? n : 0] = 0;
        ret[strcspn(ret, "\n")] = 0;
    }
    words_release(&w);
    return code;
}

int cli_reexec_sanitized(char **argv, struct err *err)
{
    char library[PATH_MAX];
    int code;

    if (getenv("RASK_SANITIZED"))
        return 0;
    code = ask_compiler("-print-file-name=libasan.so", library, sizeof(library), err);
    if (code < 0)
        return code;
    if (library[0] != '/')
        return err_set(err, ERR_NOT_FOUND,
                       "--sanitize: the compiler has no libasan.so (gcc and its sanitizer library are needed)");
    setenv("RASK_SANITIZED", "1", 1);
    setenv("LD_PRELOAD", library, 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
    execv("/proc/self/exe", argv);
    return err_errno(err, errno, "cannot start again with %s", library);
}
