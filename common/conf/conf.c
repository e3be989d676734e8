/*
 * conf.c - the settings: an ordered map from key to text, checked as they come in.
 *
 * Values stay text and are read again by each getter: getters run at the start of processes and
 * jobs, never per record.
 */
#include <ctype.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/conf/conf_private.h"

struct conf {
    struct conf_entry **entries; /* owned, in the order of first setting */
    size_t count, cap;
    struct map *by_key;  /* key -> struct conf_entry, borrowed from entries */
};

static const struct conf_option options[OPT_COUNT] = {
#define CONF_ROW_(id, key, type, def, range, when, doc)                                            \
    [OPT_##id] = {key, CONF_##type, def, range, CONF_##when, doc},
    CONF_OPTIONS(CONF_ROW_)
#undef CONF_ROW_
};

/* Names that Flink 1.20 still takes; those that stand in the table of options themselves are not here. */
static const struct {
    const char *older;
    enum conf_id id;
} older_names[] = {
    {"execution.savepoint-restore-mode", OPT_EXECUTION_STATE_RECOVERY_CLAIM_MODE},
    {"execution.savepoint.ignore-unclaimed-state", OPT_EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED_STATE},
    {"execution.savepoint.path", OPT_EXECUTION_STATE_RECOVERY_PATH},
    {"restart-strategy", OPT_RESTART_STRATEGY_TYPE},
    {"state.backend", OPT_STATE_BACKEND_TYPE},
    {"state.backend.incremental", OPT_EXECUTION_CHECKPOINTING_INCREMENTAL},
    {"state.checkpoints.dir", OPT_EXECUTION_CHECKPOINTING_DIR},
    {"state.checkpoints.num-retained", OPT_EXECUTION_CHECKPOINTING_NUM_RETAINED},
    {"state.savepoints.dir", OPT_EXECUTION_CHECKPOINTING_SAVEPOINT_DIR},
};

static const char *newer_name(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(older_names); i++)
        if (strcmp(older_names[i].older, key) == 0)
            return options[older_names[i].id].key;
    return key;
}

const struct conf_option *conf_option(enum conf_id id)
{
    CHECK(id < OPT_COUNT);
    return &options[id];
}

int conf_option_find(const char *key)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        if (strcmp(options[i].key, key) == 0)
            return i;
    }
    return -1;
}

struct conf *conf_new(void)
{
    struct conf *conf = MEM_NEW(struct conf);

    conf->by_key = map_new();
    return conf;
}

static void free_entry(struct conf_entry *e)
{
    mem_free((char *)e->key);
    mem_free((char *)e->value);
    mem_free((char *)e->origin);
    mem_free(e);
}

void conf_free(struct conf *conf)
{
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->count; i++)
        free_entry(conf->entries[i]);
    mem_free(conf->entries);
    map_free(conf->by_key);
    mem_free(conf);
}

/* No checks: the value was checked before, or needs none. */
static void put(struct conf *conf, const char *key, const char *value, const char *origin)
{
    struct conf_entry *e = map_get_str(conf->by_key, key);

    if (e == NULL) {
        e = MEM_NEW(struct conf_entry);
        e->key = mem_strdup(key);
        if (conf->count == conf->cap) {
            conf->cap = conf->cap == 0 ? 32 : conf->cap * 2;
            conf->entries = mem_realloc(conf->entries, conf->cap * sizeof(*conf->entries));
        }
        conf->entries[conf->count++] = e;
        map_put_str(conf->by_key, key, e);
    } else {
        mem_free((char *)e->value);
        mem_free((char *)e->origin);
    }
    e->value = mem_strdup(value);
    e->origin = mem_strdup(origin);
}

static void forget(struct conf *conf, const char *key)
{
    struct conf_entry *e = map_remove_str(conf->by_key, key);
    size_t i = 0;

    if (e == NULL)
        return;
    while (conf->entries[i] != e)
        i++;
    memmove(&conf->entries[i], &conf->entries[i + 1],
            (conf->count - i - 1) * sizeof(*conf->entries));
    conf->count--;
    free_entry(e);
}

void conf_merge(struct conf *conf, const struct conf *over)
{
    for (size_t i = 0; i < over->count; i++)
        put(conf, over->entries[i]->key, over->entries[i]->value, over->entries[i]->origin);
}

int conf_merge_job(struct conf *conf, const struct conf *job, struct err *err)
{
    for (size_t i = 0; i < job->count; i++) {
        const struct conf_entry *e = job->entries[i];
        int id = conf_option_find(e->key);

        if (id >= 0 && options[id].when == CONF_START)
            return err_set(err, ERR_INVALID,
                           "%s: '%s' is a setting of the cluster, which a job cannot change; set "
                           "it in %s",
                           e->origin, e->key, CONF_FILE_NAME);
    }
    conf_merge(conf, job);
    return 0;
}

struct conf *conf_clone(const struct conf *conf)
{
    struct conf *copy = conf_new();

    conf_merge(copy, conf);
    return copy;
}

/* For messages: short, one line, printable. */
static const char *shown_value(const char *key, const char *value, char out[64])
{
    size_t i = 0;

    if (conf_is_secret(key))
        return CONF_HIDDEN;
    for (; value[i] != '\0' && i < 57; i++)
        out[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i];
    memcpy(out + i, value[i] == '\0' ? "" : "...", value[i] == '\0' ? 1 : 4);
    return out;
}

static int check_key(const char *key, const char *origin, struct err *err)
{
    size_t len = strlen(key);

    if (len == 0)
        return err_set(err, ERR_INVALID, "%s: empty key", origin);
    if (len > CONF_KEY_MAX)
        return err_set(err, ERR_INVALID, "%s: key longer than %u bytes", origin, CONF_KEY_MAX);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)key[i] <= 0x20 || key[i] == 0x7f || key[i] == '=') {
            char shown[64];

            return err_set(err, ERR_INVALID, "%s: '%s' is no key: it has a space, '=' or the like",
                           origin, shown_value("", key, shown));
        }
    }
    return 0;
}

int conf_set(struct conf *conf, const char *key, const char *value, const char *origin,
             struct err *err)
{
    struct conf_value parsed;
    struct err why;
    int id, code = check_key(key, origin, err);

    if (code < 0)
        return code;
    key = newer_name(key);
    if (value == NULL) {
        forget(conf, key);
        return 0;
    }
    if (strlen(value) > CONF_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "%s: %s: value longer than %u bytes", origin, key,
                       CONF_VALUE_MAX);
    if (conf->count >= CONF_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "%s: %s: more than %u settings", origin, key,
                       CONF_ENTRIES_MAX);
    id = conf_option_find(key);
    if (id >= 0 && conf_value_parse(&options[id], value, &parsed, &why) < 0) {
        struct bytes allowed;
        char shown[64];

        bytes_init(&allowed);
        conf_value_allowed(&options[id], &allowed);
        err_set(err, ERR_INVALID, "%s: %s: '%s' %s; allowed: %s", origin, key,
                shown_value(key, value, shown), why.text, (const char *)allowed.data);
        bytes_release(&allowed);
        return ERR_INVALID;
    }
    if (id >= 0 && options[id].type == CONF_ENUM)
        value = parsed.word;
    put(conf, key, value, origin);
    return 0;
}

int conf_set_pair(struct conf *conf, const char *pair, const char *origin, struct err *err)
{
    const char *equals = strchr(pair, '=');
    char key[CONF_KEY_MAX + 1];
    size_t len;

    if (equals == NULL)
        return err_set(err, ERR_INVALID, "%s %.100s: expected key=value", origin, pair);
    len = (size_t)(equals - pair);
    if (len > CONF_KEY_MAX)
        return err_set(err, ERR_INVALID, "%s: key longer than %u bytes", origin, CONF_KEY_MAX);
    memcpy(key, pair, len);
    key[len] = '\0';
    return conf_set(conf, key, equals + 1, origin, err);
}

char *conf_hostport(const char *host, int64_t port)
{
    bool bare_v6 = strchr(host, ':') != NULL && host[0] != '[';

    return mem_printf(bare_v6 ? "[%s]:%lld" : "%s:%lld", host, (long long)port);
}

const char *conf_raw(const struct conf *conf, const char *key)
{
    const struct conf_entry *e = map_get_str(conf->by_key, key);

    return e != NULL ? e->value : NULL;
}

bool conf_is_set(const struct conf *conf, enum conf_id id)
{
    return conf_raw(conf, conf_option(id)->key) != NULL;
}

static const char *text_of(const struct conf *conf, enum conf_id id)
{
    const char *value = conf_raw(conf, conf_option(id)->key);

    return value != NULL ? value : options[id].def;
}

/* Checked when it was set; a default that does not pass its own check fails a unit test. */
static struct conf_value value_of(const struct conf *conf, enum conf_id id, enum conf_type type)
{
    const char *text = text_of(conf, id);
    struct conf_value v = {0};

    CHECK(options[id].type == type);
    if (text != NULL)
        CHECK(conf_value_parse(&options[id], text, &v, NULL) == 0);
    return v;
}

const char *conf_string(const struct conf *conf, enum conf_id id)
{
    CHECK(conf_option(id)->type == CONF_STRING || options[id].type == CONF_ENUM);
    return text_of(conf, id);
}

int64_t conf_int(const struct conf *conf, enum conf_id id)
{
    return value_of(conf, id, CONF_INT).integer;
}

bool conf_bool(const struct conf *conf, enum conf_id id)
{
    return value_of(conf, id, CONF_BOOL).integer != 0;
}

bool conf_unaligned(const struct conf *conf)
{
    return conf_bool(conf, OPT_EXECUTION_CHECKPOINTING_UNALIGNED_ENABLED) || conf_bool(conf, OPT_EXECUTION_CHECKPOINTING_UNALIGNED);
}

bool conf_from_local(const struct conf *conf)
{
    return conf_bool(conf, conf_is_set(conf, OPT_EXECUTION_STATE_RECOVERY_FROM_LOCAL) ? OPT_EXECUTION_STATE_RECOVERY_FROM_LOCAL
                                                                                      : OPT_STATE_BACKEND_LOCAL_RECOVERY);
}

bool conf_local_backup(const struct conf *conf)
{
    return conf_is_set(conf, OPT_EXECUTION_CHECKPOINTING_LOCAL_BACKUP_ENABLED)
               ? conf_bool(conf, OPT_EXECUTION_CHECKPOINTING_LOCAL_BACKUP_ENABLED)
               : conf_from_local(conf);
}

double conf_double(const struct conf *conf, enum conf_id id)
{
    return value_of(conf, id, CONF_DOUBLE).number;
}

uint64_t conf_memory_bytes(const struct conf *conf, enum conf_id id)
{
    return (uint64_t)value_of(conf, id, CONF_MEMORY).integer;
}

uint64_t conf_duration_ms(const struct conf *conf, enum conf_id id)
{
    return (uint64_t)value_of(conf, id, CONF_DURATION).integer;
}

size_t conf_ports(const struct conf *conf, enum conf_id id,
                  struct conf_port_range ret[CONF_PORT_RANGES_MAX])
{
    struct conf_value v = value_of(conf, id, CONF_PORTS);

    memcpy(ret, v.ports, sizeof(v.ports));
    return v.port_count;
}

size_t conf_count(const struct conf *conf)
{
    return conf->count;
}

const struct conf_entry *conf_at(const struct conf *conf, size_t i)
{
    CHECK(i < conf->count);
    return conf->entries[i];
}

bool conf_is_secret(const char *key)
{
    static const char *const words[] = {
        "password",  "secret",     "fs.azure.account.key", "apikey",       "api-key",
        "auth-params", "service-key", "token",             "basic-auth",   "jaas.config",
        "http-headers", "access-key", "access.key",        "accesskey",    "credential",
    };
    char lower[CONF_KEY_MAX + 1];
    size_t len = 0;

    for (; key[len] != '\0' && len < CONF_KEY_MAX; len++)
        lower[len] = (char)tolower((unsigned char)key[len]);
    lower[len] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strstr(lower, words[i]) != NULL)
            return true;
    }
    return false;
}

const char *conf_shown(const struct conf_entry *entry)
{
    return conf_is_secret(entry->key) ? CONF_HIDDEN : entry->value;
}
