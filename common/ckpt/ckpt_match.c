/*
 * ckpt_match.c - whether what a checkpoint has can go on in a job: its states, its rows in flight. See ckpt_meta.h.
 *
 * A restore asks it, and `rask state check`, so both come to one verdict in the same words.  Pure.
 */
#include <rask/operator.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_meta.h"

const char *ckpt_gone_hint(const char *dir, int code)
{
    const char *folder = strrchr(dir, '/');

    return code == ERR_NOT_FOUND && folder && strncmp(folder, "/chk-", 5) == 0
               ? " (a job that runs removes its older checkpoints: take a savepoint of it, or the newest of them)"
               : "";
}

static int schemas_differ(const char *operator, const char *state, const char *what, const rask_schema *has,
                          const rask_schema *now, struct err *err)
{
    struct bytes text;
    int rc;

    if (has == now || (has && now && schema_equal(has, now)))
        return 0;
    bytes_init(&text);
    bytes_add_str(&text, "in the checkpoint (");
    if (has)
        schema_format(has, &text);
    bytes_add_str(&text, "), in the job (");
    if (now)
        schema_format(now, &text);
    rc = err_set(err, ERR_INVALID, "operator \"%s\": the %s of state \"%s\" is not the same: %s)", operator, what, state,
                 (const char *)text.data);
    bytes_release(&text);
    return rc;
}

int ckpt_state_match(const char *operator, const struct ckpt_state *has, const struct ckpt_state *now, enum schema_change *ret,
                     struct err *err)
{
    int rc;

    *ret = SCHEMA_SAME;
    if (has->kind != now->kind)
        return err_set(err, ERR_INVALID, "operator \"%s\": state \"%s\" is a %s in the checkpoint, and the job declares a %s",
                       operator, now->name, ckpt_state_kind_name(has->kind), ckpt_state_kind_name(now->kind));
    if ((has->ttl_ms > 0) != (now->ttl_ms > 0)) /* what is kept has a time, or none */
        return err_set(err, ERR_INVALID, "operator \"%s\": state \"%s\" has %s time to live in the checkpoint, and %s in the job: it "
                       "may get another one, but not its first or none", operator, now->name, has->ttl_ms > 0 ? "a" : "no",
                       now->ttl_ms > 0 ? "one" : "none");
    rc = schemas_differ(operator, now->name, "key", has->key, now->key, err);
    if (rc == 0 && (has->kind == RASK_MAP || has->map_key)) /* what is older does not say which row it is */
        rc = schemas_differ(operator, now->name, ckpt_map_key_name(has->kind), has->map_key, now->map_key, err);
    if (rc != 0)
        return rc;
    if (!has->value || !now->value)
        return schemas_differ(operator, now->name, "value", has->value, now->value, err);
    rc = schema_compatible(has->value, now->value, now->name, ret, err);
    if (rc != 0)
        err_wrap(err, "operator \"%s\": the value of state \"%s\"", operator, now->name);
    return rc;
}

bool ckpt_is_of_timers(const char *state)
{
    return strncmp(state, CKPT_TIMERS, strlen(CKPT_TIMERS)) == 0;
}

bool ckpt_holds(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES], const char *state)
{
    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (memcmp(s->operator_id, id, CKPT_OPERATOR_ID_BYTES) != 0)
            continue;
        if (s->kind == CKPT_TABLE ? s->edge != 0 && !(state && ckpt_is_of_timers(state))
                                  : s->rows > 0 && (!state || (ckpt_is_of_state(s->kind) && strcmp(s->state, state) == 0)))
            return true;
    }
    return false;
}

int ckpt_state_gone(const struct ckpt_meta *m, const struct ckpt_operator *op, const char *state, struct err *err)
{
    if (m && !ckpt_holds(m, op->id, state))
        return 0;
    if (ckpt_is_of_timers(state))
        return err_set(err, ERR_INVALID, "operator \"%s\" may have timers in the checkpoint, and in the job it has no function for "
                       "them: give it its on_timer again, or restore with --allowNonRestoredState to drop them", op->name);
    return err_set(err, ERR_INVALID, "operator \"%s\": the checkpoint has a state \"%s\", and the job declares none of this name: "
                   "restore with --allowNonRestoredState to drop it", op->name, state);
}

int ckpt_edge_gone(const struct ckpt_meta *m, const struct ckpt_section *s, struct err *err)
{
    const struct ckpt_operator *op = &m->operators[ckpt_meta_find_operator(m, s->operator_id)];

    return err_set(err, ERR_INVALID,
                   "%llu rows were in flight to operator \"%s\" over an edge that the job does not have (an operator was removed, "
                   "or is chained to another one now): give the job its old form, begin with a savepoint, or leave the rows out "
                   "with --allowNonRestoredState", (unsigned long long)s->rows, op->name);
}

int ckpt_rows_match(const char *operator, rask_str has, const rask_schema *now, struct err *err)
{
    struct bytes text;
    int rc = 0;

    bytes_init(&text);
    schema_format(now, &text);
    if (text.len != has.len || memcmp(text.data, has.data, has.len) != 0)
        rc = err_set(err, ERR_INVALID,
                     "rows in flight to operator \"%s\" are (%.*s), and the job has (%.*s) there: change a schema with a savepoint",
                     operator, (int)has.len, has.data, (int)text.len, (const char *)text.data);
    bytes_release(&text);
    return rc;
}
