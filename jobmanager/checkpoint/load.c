/*
 * load.c - the checkpoint or savepoint that a job begins with (run -s): read, and held against the job's operators.
 *
 * Without a claim its files stay the user's: the first checkpoint of the job is complete in itself.  With a claim (claim.c) they
 * are the job's, and go when no retained checkpoint needs them.  Pure; thread: the control loop.
 */
#include <string.h>

#include "common/base/check.h"
#include "jobmanager/checkpoint/coordinator_private.h"

static bool has_operator(const struct jm_ckpt *c, const uint8_t id[CKPT_OPERATOR_ID_BYTES])
{
    const Rask__Graph__StreamGraph *graph = c->options.graph->stream;

    for (size_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->operator_id.len == CKPT_OPERATOR_ID_BYTES &&
            memcmp(graph->nodes[i]->operator_id.data, id, CKPT_OPERATOR_ID_BYTES) == 0)
            return true;
    return false;
}

static int check_operators(const struct jm_ckpt *c, const struct ckpt_meta *m, struct err *err)
{
    for (uint32_t i = 0; i < m->operator_count && !c->ignore_unclaimed; i++) {
        const struct ckpt_operator *op = &m->operators[i];

        if (has_operator(c, op->id) || !ckpt_holds(m, op->id, NULL))
            continue;
        return err_set(err, ERR_INVALID,
                       "it holds %s operator \"%s\"%s%s%s, which the job does not have: give the operator its old uid, or "
                       "leave them out with --allowNonRestoredState (%s)",
                       op->state_count > 0 ? "state of" : "rows in flight to", op->name, *op->uid ? " (uid \"" : "", op->uid, *op->uid ? "\")" : "",
                       conf_option(OPT_EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED_STATE)->key);
    }
    return 0;
}

static void keep(struct jm_ckpt *c, struct ckpt_meta *meta)
{
    struct complete *done = MEM_NEW(struct complete);

    *done = (struct complete){.id = meta->checkpoint, .dir = mem_strdup(c->load_path), .meta = meta};
    done->foreign = !c->claimed;
    done->entry = jm_ckpt_entry_new(c->options.graph, done->id,
                                    meta->kind == CKPT_SAVEPOINT ? KIND(SAVEPOINT) : KIND(CHECKPOINT));
    done->entry->status = JM_CKPT_COMPLETED;
    done->entry->restored = true;
    done->entry->trigger_ms = meta->created_ms;
    done->entry->end_ms = meta->completed_ms;
    done->entry->path = mem_strdup(done->dir);
    done->entry->state_bytes = ckpt_meta_bytes(meta, NULL);
    c->counter = meta->checkpoint;
    list_push_back(&c->completes, &done->link);
    jm_ck_ref_files(c, done->dir, meta);
}

static void refuse(struct jm_ckpt *c, struct err *err)
{
    err_wrap(err, "cannot begin with \"%s\"%s", c->load_path, ckpt_gone_hint(c->load_path, err->code));
    c->options.hooks->fail(c->options.arg, ERR_INVALID, err->text); /* another try would find the same */
}

static void on_claimed(struct jm_ckpt *c, struct err *error)
{
    struct ckpt_meta *meta = c->loaded;

    c->loading = false;
    c->loaded = NULL;
    if (error) {
        ckpt_meta_free(meta);
        mem_free(c->claimed); /* it is another's */
        c->claimed = NULL;
        refuse(c, error);
        return;
    }
    keep(c, meta);
    env_log(c->env, LOG_INFO, CK_MODULE, c->job, "begins with checkpoint %llu of \"%s\"",
            (unsigned long long)c->counter, c->load_path);
    c->options.hooks->idle(c->options.arg);
}

static void on_metadata(void *arg, const struct fs_result *result)
{
    struct jm_ckpt *c = arg;
    struct err err = result->err;
    int code = result->code;
    bool own = strcmp(conf_string(c->options.conf, OPT_EXECUTION_STATE_RECOVERY_CLAIM_MODE), "CLAIM") == 0;

    if (code == 0)
        code = ckpt_meta_unpack(result->data, result->len, c->load_path, &c->loaded, &err);
    if (code == 0)
        code = check_operators(c, c->loaded, &err);
    if (code < 0)
        on_claimed(c, &err);
    else
        jm_ck_claim(c, own, on_claimed);
}

int jm_ck_load_start(struct jm_ckpt *c, struct err *err)
{
    const char *text = conf_string(c->options.conf, OPT_EXECUTION_STATE_RECOVERY_PATH);
    char *path, *name;
    size_t len;

    if (!text || !*text)
        return 0;
    if (jm_ckpt_path(text, &c->load_path, err) < 0)
        return err_wrap(err, "the savepoint to begin with");
    len = strlen(c->load_path);
    name = len > 10 ? c->load_path + len - 10 : c->load_path;
    if (strcmp(name, "/_metadata") == 0)
        *name = 0;
    c->ignore_unclaimed = conf_bool(c->options.conf, OPT_EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED_STATE);
    c->loading = true;
    path = mem_printf("%s/_metadata", c->load_path);
    c->env->fs->ops->read_all(c->env->fs, path, CKPT_META_MAX, on_metadata, c);
    mem_free(path);
    return 0;
}
