/* fuzz_conf.c - any bytes as a configuration file; what is accepted is read by every getter. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a getter tells is within the option's range, "1..4096", either end of which may be missing. */
static void check_range(double value, const char *range)
{
    const char *dots = strstr(range, "..");

    CHECK(dots != NULL);
    CHECK(dots == range || value >= strtod(range, NULL));
    CHECK(!dots[2] || value <= strtod(dots + 2, NULL));
}

static void read_all(const struct conf *conf)
{
    struct conf_port_range ports[CONF_PORT_RANGES_MAX];

    for (int i = 0; i < OPT_COUNT; i++) {
        enum conf_id id = (enum conf_id)i;

        switch (conf_option(id)->type) {
        case CONF_STRING:
        case CONF_ENUM:
            (void)conf_string(conf, id);
            break;
        case CONF_INT:
            (void)conf_int(conf, id);
            break;
        case CONF_BOOL:
            (void)conf_bool(conf, id);
            break;
        case CONF_DOUBLE:
            check_range(conf_double(conf, id), conf_option(id)->range);
            break;
        case CONF_MEMORY:
            (void)conf_memory_bytes(conf, id);
            break;
        case CONF_DURATION:
            (void)conf_duration_ms(conf, id);
            break;
        case CONF_PORTS:
            CHECK(conf_ports(conf, id, ports) <= CONF_PORT_RANGES_MAX);
            break;
        }
    }
}

static void take_warning(void *arg, const char *text)
{
    CHECK(strlen(text) > 0);
    ++*(size_t *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *conf = conf_new(), *copy;
    struct err err = {0};
    size_t warnings = 0;

    if (conf_load_text(conf, "fuzz", data, size, &err) < 0)
        CHECK(strlen(err.text) > 0);
    else
        (void)!conf_check(conf, &err);
    read_all(conf);
    conf_warnings(conf, take_warning, &warnings);
    copy = conf_clone(conf);
    CHECK(conf_count(copy) == conf_count(conf));
    CHECK(warnings <= conf_count(conf));
    conf_free(copy);
    conf_free(conf);
    return 0;
}
