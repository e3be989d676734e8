/* ckpt_match.c - whether a state that a checkpoint has can be the one that a job declares now. See ckpt_meta.h. Pure. */
#include "common/base/check.h"
#include "common/ckpt/ckpt_meta.h"

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
    if (rc == 0)
        rc = schemas_differ(operator, now->name, "map key", has->map_key, now->map_key, err);
    if (rc != 0)
        return rc;
    if (!has->value || !now->value)
        return schemas_differ(operator, now->name, "value", has->value, now->value, err);
    rc = schema_compatible(has->value, now->value, now->name, ret, err);
    if (rc != 0)
        err_wrap(err, "operator \"%s\": the value of state \"%s\"", operator, now->name);
    return rc;
}
