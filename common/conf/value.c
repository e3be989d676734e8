/*
 * value.c - from the text of a value to what it means, by type and range of its option.
 *
 * The notations are Flink's: sizes are 1024-based, a bare number is bytes or milliseconds, words
 * are case-insensitive.  Strict: anything after the value is an error.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/conf/conf_private.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit memory_units[] = {
    {"", 1},           {"b", 1},          {"bytes", 1},         {"k", 1 << 10},
    {"kb", 1 << 10},   {"kibibytes", 1 << 10}, {"m", 1 << 20},  {"mb", 1 << 20},
    {"mebibytes", 1 << 20}, {"g", 1 << 30}, {"gb", 1 << 30},    {"gibibytes", 1 << 30},
    {"t", INT64_C(1) << 40}, {"tb", INT64_C(1) << 40}, {"tebibytes", INT64_C(1) << 40},
};

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S (1000 * NS_PER_MS)
static const struct unit duration_units[] = { /* in nanoseconds */
    {"", NS_PER_MS}, {"ms", NS_PER_MS}, {"milli", NS_PER_MS}, {"millis", NS_PER_MS},
    {"millisecond", NS_PER_MS}, {"milliseconds", NS_PER_MS},
    {"s", NS_PER_S}, {"sec", NS_PER_S}, {"secs", NS_PER_S},
    {"second", NS_PER_S}, {"seconds", NS_PER_S},
    {"m", 60 * NS_PER_S}, {"min", 60 * NS_PER_S}, {"minute", 60 * NS_PER_S},
    {"minutes", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S}, {"hour", 3600 * NS_PER_S}, {"hours", 3600 * NS_PER_S},
    {"d", 86400 * NS_PER_S}, {"day", 86400 * NS_PER_S}, {"days", 86400 * NS_PER_S},
    {"us", 1000}, {"\xc2\xb5s", 1000}, {"micro", 1000}, {"micros", 1000},
    {"microsecond", 1000}, {"microseconds", 1000},
    {"ns", 1}, {"nano", 1}, {"nanos", 1}, {"nanosecond", 1}, {"nanoseconds", 1},
};

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* Digits without a sign; NULL if there are none or too many. */
static const char *read_digits(const char *s, int64_t *ret)
{
    int64_t v = 0;

    if (!isdigit((unsigned char)*s))
        return NULL;
    for (; isdigit((unsigned char)*s); s++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return NULL;
    }
    *ret = v;
    return s;
}

/* The rest of the text as a unit, spaces around it allowed; NULL if it is none. */
static const struct unit *find_unit(const char *s, const struct unit *units, size_t count)
{
    size_t len;

    s = skip_space(s);
    len = strlen(s);
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == len && strncasecmp(units[i].name, s, len) == 0)
            return &units[i];
    }
    return NULL;
}

int conf_parse_memory(const char *text, uint64_t *ret_bytes, struct err *err)
{
    const struct unit *unit;
    const char *rest;
    int64_t v;

    if (strcasecmp(skip_space(text), "infinite") == 0) {
        *ret_bytes = CONF_MEMORY_INFINITE;
        return 0;
    }
    rest = read_digits(skip_space(text), &v);
    if (rest == NULL)
        return err_set(err, ERR_INVALID, "is not a memory size");
    unit = find_unit(rest, memory_units, ARRAY_LEN(memory_units));
    if (unit == NULL)
        return err_set(err, ERR_INVALID, "has no unit of memory (b, kb, mb, gb, tb)");
    if (__builtin_mul_overflow(v, unit->factor, &v))
        return err_set(err, ERR_INVALID, "is too large");
    *ret_bytes = (uint64_t)v;
    return 0;
}

/* ISO 8601 without years and months: P1DT2H3M4.5S. Returns false if the text is none. */
static bool parse_iso_duration(const char *s, int64_t *ret_ns)
{
    static const char order[] = "DHMS";
    static const int64_t factor[] = {86400 * NS_PER_S, 3600 * NS_PER_S, 60 * NS_PER_S, NS_PER_S};
    size_t next = 0;
    int64_t sum = 0, v, fraction;
    bool time = false, any = false;

    if (*s != 'P' && *s != 'p')
        return false;
    for (s++; *s != '\0'; s++) {
        const char *at;

        if ((*s == 'T' || *s == 't') && !time) {
            time = true;
            any = false;
            continue;
        }
        s = read_digits(s, &v);
        if (s == NULL)
            return false;
        fraction = 0;
        if (*s == '.') {
            int64_t scale = NS_PER_S / 10;

            for (s++; isdigit((unsigned char)*s); s++, scale /= 10)
                fraction += (*s - '0') * scale;
            if (toupper((unsigned char)*s) != 'S')
                return false;
        }
        at = *s != '\0' ? strchr(order, toupper((unsigned char)*s)) : NULL;
        if (at == NULL || (size_t)(at - order) < next || (at != order) != time)
            return false;
        next = (size_t)(at - order) + 1;
        if (__builtin_mul_overflow(v, factor[at - order], &v) ||
            __builtin_add_overflow(sum, v, &sum) || __builtin_add_overflow(sum, fraction, &sum))
            return false;
        any = true;
    }
    *ret_ns = sum;
    return any;
}

int conf_parse_duration(const char *text, uint64_t *ret_ms, struct err *err)
{
    const struct unit *unit;
    const char *rest;
    int64_t v;

    text = skip_space(text);
    if (parse_iso_duration(text, &v)) {
        *ret_ms = (uint64_t)v / NS_PER_MS + (v % NS_PER_MS != 0);
        return 0;
    }
    rest = read_digits(text, &v);
    if (rest == NULL)
        return err_set(err, ERR_INVALID, "is not a duration");
    unit = find_unit(rest, duration_units, ARRAY_LEN(duration_units));
    if (unit == NULL)
        return err_set(err, ERR_INVALID, "has no unit of time (ms, s, min, h, d)");
    if (unit->factor >= NS_PER_MS) {
        if (__builtin_mul_overflow(v, unit->factor / NS_PER_MS, &v))
            return err_set(err, ERR_INVALID, "is too large");
    } else {
        int64_t per_ms = NS_PER_MS / unit->factor;

        v = v / per_ms + (v % per_ms != 0);
    }
    *ret_ms = (uint64_t)v;
    return 0;
}

static int parse_int(const char *text, int64_t *ret, struct err *err)
{
    const char *rest;
    bool negative;

    text = skip_space(text);
    if (strcasecmp(text, "infinite") == 0) {
        *ret = CONF_INFINITE;
        return 0;
    }
    negative = *text == '-';
    rest = read_digits(text + negative, ret);
    if (rest == NULL || *skip_space(rest) != '\0')
        return err_set(err, ERR_INVALID, "is not a whole number");
    if (negative)
        *ret = -*ret;
    return 0;
}

static int parse_double(const char *text, double *ret, struct err *err)
{
    char *end;

    text = skip_space(text);
    if (*text == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0')
        return err_set(err, ERR_INVALID, "is not a number");
    errno = 0;
    *ret = strtod(text, &end);
    if (*end != '\0' || errno != 0 || !isfinite(*ret))
        return err_set(err, ERR_INVALID, "is not a number");
    return 0;
}

static int parse_bool(const char *text, int64_t *ret, struct err *err)
{
    if (strcasecmp(text, "true") == 0)
        *ret = 1;
    else if (strcasecmp(text, "false") == 0)
        *ret = 0;
    else
        return err_set(err, ERR_INVALID, "is neither true nor false");
    return 0;
}

static int parse_ports(const char *text, struct conf_value *ret, struct err *err)
{
    const char *s = text;

    for (;;) {
        int64_t first, last;

        s = read_digits(skip_space(s), &first);
        last = first;
        if (s != NULL && *(s = skip_space(s)) == '-')
            s = read_digits(skip_space(s + 1), &last);
        if (s == NULL)
            return err_set(err, ERR_INVALID, "is not a list of ports");
        if (first > 65535 || last > 65535)
            return err_set(err, ERR_INVALID, "names a port over 65535");
        if (last < first)
            return err_set(err, ERR_INVALID, "has a range that ends before it starts");
        if (ret->port_count == CONF_PORT_RANGES_MAX)
            return err_set(err, ERR_INVALID, "has more than %d ranges", CONF_PORT_RANGES_MAX);
        ret->ports[ret->port_count++] =
            (struct conf_port_range){(uint16_t)first, (uint16_t)last};
        s = skip_space(s);
        if (*s == '\0')
            return 0;
        if (*s++ != ',')
            return err_set(err, ERR_INVALID, "is not a list of ports");
    }
}

static int parse_enum(const char *range, const char *text, struct conf_value *ret, struct err *err)
{
    for (const char *at = range; *at != '\0';) {
        size_t len = strcspn(at, "|");

        if (strlen(text) == len && strncasecmp(at, text, len) == 0) {
            CHECK(len < sizeof(ret->word));
            memcpy(ret->word, at, len);
            ret->word[len] = '\0';
            return 0;
        }
        at += len;
        at += *at == '|';
    }
    return err_set(err, ERR_INVALID, "is none of them");
}

static int parse_by_type(const struct conf_option *o, const char *text, struct conf_value *ret,
                         struct err *err)
{
    uint64_t u = 0;
    int code = 0;

    switch (o->type) {
    case CONF_STRING:
        return 0;
    case CONF_ENUM:
        return parse_enum(o->range, text, ret, err);
    case CONF_INT:
        return parse_int(text, &ret->integer, err);
    case CONF_BOOL:
        return parse_bool(text, &ret->integer, err);
    case CONF_DOUBLE:
        return parse_double(text, &ret->number, err);
    case CONF_PORTS:
        return parse_ports(text, ret, err);
    case CONF_MEMORY:
        code = conf_parse_memory(text, &u, err);
        break;
    case CONF_DURATION:
        code = conf_parse_duration(text, &u, err);
        break;
    }
    ret->integer = (int64_t)u;
    return code;
}

/* The two ends of "1..4096" as texts; empty where open. False: the range is no interval. */
static bool split_range(const char *range, char low[32], char high[32])
{
    const char *dots = strstr(range, "..");

    if (dots == NULL)
        return false;
    CHECK((size_t)(dots - range) < 32);
    CHECK(strlen(dots + 2) < 32);
    memcpy(low, range, (size_t)(dots - range));
    low[dots - range] = '\0';
    memcpy(high, dots + 2, strlen(dots + 2) + 1);
    return true;
}

static bool in_range(const struct conf_option *o, const struct conf_value *v)
{
    struct conf_value end = {0};
    char low[32], high[32];

    if (o->type == CONF_BOOL && o->range[0] != '\0')
        return v->integer == (strcmp(o->range, "true") == 0);
    if (o->type == CONF_ENUM || !split_range(o->range, low, high))
        return true;
    if (low[0] != '\0') {
        CHECK(parse_by_type(o, low, &end, NULL) == 0);
        if (o->type == CONF_DOUBLE ? v->number < end.number : v->integer < end.integer)
            return false;
    }
    if (high[0] != '\0') {
        CHECK(parse_by_type(o, high, &end, NULL) == 0);
        if (o->type == CONF_DOUBLE ? v->number > end.number : v->integer > end.integer)
            return false;
    }
    return true;
}

int conf_value_parse(const struct conf_option *option, const char *text, struct conf_value *ret,
                     struct err *err)
{
    bool may_be_infinite = option->def != NULL && strcmp(option->def, "infinite") == 0;
    int code;

    *ret = (struct conf_value){0};
    code = parse_by_type(option, text, ret, err);
    if (code < 0)
        return code;
    if ((option->type == CONF_INT || option->type == CONF_MEMORY) &&
        ret->integer == CONF_INFINITE && !may_be_infinite)
        return err_set(err, ERR_INVALID, "is not possible");
    if (!in_range(option, ret))
        return err_set(err, ERR_INVALID, "is out of range");
    return 0;
}

void conf_value_allowed(const struct conf_option *option, struct bytes *out)
{
    static const char *const what[] = {
        [CONF_STRING] = "any text",
        [CONF_INT] = "a whole number",
        [CONF_DOUBLE] = "a number",
        [CONF_MEMORY] = "a memory size such as 512m or 1 gb",
        [CONF_DURATION] = "a duration such as 100 ms, 10 s or 5 min",
        [CONF_PORTS] = "ports such as 8081 or 50100-50200,50300",
    };
    char low[32], high[32];

    if (option->type == CONF_BOOL) {
        bytes_add_str(out, option->range[0] != '\0' ? option->range : "true or false");
        return;
    }
    if (option->type == CONF_ENUM) {
        for (const char *at = option->range; *at != '\0'; at++) {
            if (*at == '|')
                bytes_add_str(out, " or ");
            else
                bytes_add(out, at, 1);
        }
        return;
    }
    bytes_add_str(out, what[option->type]);
    if (split_range(option->range, low, high)) {
        if (low[0] != '\0')
            bytes_printf(out, high[0] != '\0' ? " from %s" : ", at least %s", low);
        if (high[0] != '\0')
            bytes_printf(out, low[0] != '\0' ? " to %s" : ", at most %s", high);
    }
    if (option->def != NULL && strcmp(option->def, "infinite") == 0)
        bytes_add_str(out, ", or infinite");
}
