/* warn.c - what is set and does nothing: one sentence each, with the nearest key that works. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/conf/conf_private.h"

static const struct conf_class_row *find_row(const char *key)
{
    const struct conf_class_row *best = NULL;
    size_t best_len = 0;

    for (size_t i = 0; i < conf_class_row_count; i++) {
        const struct conf_class_row *row = &conf_class_rows[i];
        size_t len = strlen(row->pattern);

        if (row->pattern[len - 1] != '*') {
            if (strcmp(row->pattern, key) == 0)
                return row;
        } else if (len > best_len && strncmp(row->pattern, key, len - 1) == 0) {
            best = row;
            best_len = len;
        }
    }
    return best;
}

enum conf_class conf_class(const char *key, const char **ret_why)
{
    const struct conf_class_row *row;

    if (ret_why != NULL)
        *ret_why = NULL;
    if (conf_option_find(key) >= 0)
        return CONF_WORKS;
    row = find_row(key);
    if (row == NULL)
        return CONF_UNKNOWN;
    if (ret_why != NULL)
        *ret_why = row->why;
    return row->class;
}

/* Levenshtein; gives up beyond limit. */
static unsigned edit_distance(const char *a, const char *b, unsigned limit)
{
    unsigned row[CONF_KEY_MAX + 2];
    size_t la = strlen(a), lb = strlen(b);

    if (lb > CONF_KEY_MAX || la > lb + limit || lb > la + limit)
        return limit + 1;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0], least = i;

        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
            least = MIN(least, row[j]);
        }
        if (least > limit)
            return limit + 1;
    }
    return row[lb];
}

/* The option that is fewer than `below` letters away, the nearest; NULL. *ret_distance is its distance. */
static const char *nearest_option(const char *key, unsigned below, unsigned *ret_distance)
{
    const char *found = NULL;

    for (int i = 0; i < OPT_COUNT; i++) {
        unsigned d = edit_distance(key, conf_option((enum conf_id)i)->key, below - 1);

        if (d < below) {
            below = d;
            found = conf_option((enum conf_id)i)->key;
        }
    }
    *ret_distance = below;
    return found;
}

static const char *nearest(const char *key)
{
    unsigned best = (unsigned)MAX(strlen(key) / 4, 2) + 1;
    const char *found = nearest_option(key, best, &best);

    for (size_t i = 0; i < conf_class_row_count; i++) {
        const char *other = conf_class_rows[i].pattern;
        unsigned d;

        if (strchr(other, '*') != NULL)
            continue;
        d = edit_distance(key, other, best - 1);
        if (d < best) {
            best = d;
            found = other;
        }
    }
    return found;
}

static char *warning(const struct conf_entry *e)
{
    const struct conf_class_row *row = find_row(e->key);
    const char *why, *near;
    unsigned distance;

    switch (conf_class(e->key, &why)) {
    case CONF_WORKS:
        return NULL;
    case CONF_MEANS_NOTHING:
        return mem_printf("%s: '%s' means nothing here: %s", e->origin, e->key, why);
    case CONF_NOT_YET:
        near = strchr(row->pattern, '*') ? nearest_option(e->key, 3, &distance) : NULL;
        if (near != NULL) /* not a key of Flink, but one of those that work, with a slip */
            return mem_printf("%s: unknown key '%s'; did you mean '%s'?", e->origin, e->key, near);
        return mem_printf("%s: '%s' is not supported yet and does nothing", e->origin, e->key);
    case CONF_UNKNOWN:
        break;
    }
    near = nearest(e->key);
    if (near != NULL)
        return mem_printf("%s: unknown key '%s'; did you mean '%s'?", e->origin, e->key, near);
    return mem_printf("%s: unknown key '%s'", e->origin, e->key);
}

void conf_warnings(const struct conf *conf, void (*each)(void *arg, const char *text), void *arg)
{
    for (size_t i = 0; i < conf_count(conf); i++) {
        char *text = warning(conf_at(conf, i));

        if (text != NULL)
            each(arg, text);
        mem_free(text);
    }
}
