/* conf_private.h - what the files of this folder share. */
#ifndef CONF_CONF_PRIVATE_H
#define CONF_CONF_PRIVATE_H

#include "common/conf/conf.h"

/* value.c: one value by the rules of its option. */
struct conf_value {
    int64_t integer; /* INT, BOOL, MEMORY in bytes, DURATION in ms */
    double number;   /* DOUBLE */
    size_t port_count;
    struct conf_port_range ports[CONF_PORT_RANGES_MAX];
    char word[32]; /* ENUM: spelled as in the table */
};
/* err says what is wrong with the text, not where it stands nor what is allowed. */
int conf_value_parse(const struct conf_option *option, const char *text, struct conf_value *ret,
                     struct err *err) MUST_CHECK;
/* "a whole number from 1 to 1024" */
void conf_value_allowed(const struct conf_option *option, struct bytes *out);

/* conf_yaml.c: calls emit for each leaf, nested keys joined by dots. A failing emit ends it. */
typedef int conf_emit(void *arg, const char *key, const char *value, unsigned line,
                      struct err *err);
int conf_yaml_parse(const char *name, const void *text, size_t len, conf_emit *emit, void *arg,
                    struct err *err) MUST_CHECK;

/* classes.c: keys of Flink that do nothing here. */
struct conf_class_row {
    const char *pattern; /* a key, or a prefix followed by '*' */
    enum conf_class class;
    const char *why; /* CONF_MEANS_NOTHING */
};
extern const struct conf_class_row conf_class_rows[];
extern const size_t conf_class_row_count;

/* -1: none */
int conf_option_find(const char *key);

#endif
