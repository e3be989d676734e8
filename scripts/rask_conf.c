/*
 * rask_conf.c - rask-conf, the configuration for shell scripts and people.
 *
 * A program of its own because the scripts must be fast: it links nothing but libyaml, so one call
 * takes about a millisecond.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/conf/conf.h"

#define SETTINGS_MAX 1000

static const char usage[] =
    "Usage: rask-conf [-c DIR] [-D key=value]... VERB\n"
    "  get KEY...   the values of these keys, or their defaults, a line each (empty: not set)\n"
    "  list         what is set, and where\n"
    "  check        reads all of it; says what is wrong or does nothing\n"
    "  options      every option with its default\n"
    "  doc          docs/configuration.md\n";

static int fail(const struct err *err)
{
    fprintf(stderr, "rask-conf: %s\n", err->text);
    return 1;
}

static int get(const struct conf *conf, int count, char **keys)
{
    for (int i = 0; i < count; i++) {
        const char *value = conf_raw(conf, keys[i]);

        for (int id = 0; value == NULL && id < OPT_COUNT; id++) {
            const struct conf_option *o = conf_option((enum conf_id)id);

            if (strcmp(o->key, keys[i]) == 0)
                value = o->def != NULL ? o->def : "";
        }
        if (value == NULL && conf_class(keys[i], NULL) == CONF_UNKNOWN) {
            fprintf(stderr, "rask-conf: unknown key '%s'\n", keys[i]);
            return 1;
        }
        puts(value != NULL ? value : "");
    }
    return 0;
}

static int list(const struct conf *conf)
{
    for (size_t i = 0; i < conf_count(conf); i++)
        printf("%s: %s\n", conf_at(conf, i)->key, conf_shown(conf_at(conf, i)));
    return 0;
}

static void print_warning(void *arg, const char *text)
{
    (void)arg;
    printf("%s\n", text);
}

static int print(void (*make)(struct bytes *out))
{
    struct bytes text;
    int written;

    bytes_init(&text);
    make(&text);
    written = fputs((const char *)text.data, stdout);
    bytes_release(&text);
    return written < 0;
}

static int run(const struct conf *conf, const char *verb, int count, char **rest)
{
    if (strcmp(verb, "get") == 0)
        return get(conf, count, rest);
    if (strcmp(verb, "list") == 0)
        return list(conf);
    if (strcmp(verb, "check") == 0) {
        conf_warnings(conf, print_warning, NULL);
        return 0;
    }
    fputs(usage, stderr);
    return 1;
}

int main(int argc, char **argv)
{
    static const char *settings[SETTINGS_MAX];
    const char *dir = NULL;
    struct conf *conf;
    struct err err;
    size_t n = 0;
    int c, code;

    while ((c = getopt(argc, argv, "+c:D:h")) != -1) {
        if (c == 'c') {
            dir = optarg;
        } else if (c == 'D' && n < SETTINGS_MAX) {
            settings[n++] = optarg;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 1;
        }
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 1;
    }
    if (strcmp(argv[optind], "doc") == 0)
        return print(conf_doc_markdown);
    if (strcmp(argv[optind], "options") == 0)
        return print(conf_doc_help);
    if (conf_open(dir, settings, n, &conf, &err) < 0)
        return fail(&err);
    code = run(conf, argv[optind], argc - optind - 1, argv + optind + 1);
    conf_free(conf);
    return fflush(stdout) != 0 ? 1 : code;
}
