#!/usr/bin/env python3
"""Does the exactly-once checker bite?  For each mutation: a copy of the tree with one line changed is built, and the checker has to
fail within so many runs.  A mutation whose anchor is not in its file exactly once fails loudly: move it along.

    test/chaos/mutate.py [--runs N] [--seed S] [NAME ...]      from the top of a built tree
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

BARRIER, SNAPSHOT = "taskmanager/worker/checkpoint/barrier.c", "taskmanager/worker/state/snapshot.c"
SINK, POSTGRES = "taskmanager/worker/operator/sink.c", "connectors/postgres/postgres_sink.c"
FINISH, PLAN = "jobmanager/checkpoint/finish.c", "common/ckpt/ckpt_plan.c"
INFLIGHT = "taskmanager/worker/checkpoint/inflight_io.c"
STORES, TABLES = "taskmanager/worker/store/stores_leveldb.c", "taskmanager/worker/state/tables.c"

# name: (file, anchor, what stands there instead, mode)
MUTATIONS = {
    # rows behind a barrier are taken before it has come on all channels
    "alignment": (BARRIER, "    wk_in_block(in, WK_BLOCK_BARRIER);\n", "", "aligned"),
    # the first barrier counts for all
    "first_barrier": (BARRIER, "    if (b->count < alive) {", "    if (b->count < 1) {", "aligned"),
    # sinks hear that a checkpoint is complete before its _metadata is written
    "commit_order": (FINISH, "    p->state = PENDING_WRITING;\n",
                     "    p->state = PENDING_WRITING;\n    c->options.hooks->complete(c->options.arg, p->id, p->entry->kind);\n", "aligned"),
    # what is written behind the barrier belongs to the frozen epoch
    "epoch_freeze": (SNAPSHOT, "    s->held = s->epoch;\n    s->epoch++;\n", "    s->held = s->epoch;\n", "incremental"),
    # what was prepared for a checkpoint that was given up is not committed with the next one
    "given_up": (SINK, "c->checkpoint > checkpoint) /* later ones", "c->checkpoint != checkpoint) /* later ones", "aligned"),
    # transactions of dead attempts stay
    "left_over": (POSTGRES, "    if (sscanf(gid + prefix,", "    if (true || sscanf(gid + prefix,", "aligned"),
    # rows that a barrier has overtaken are not written
    "overtaken_lost": (INFLIGHT, "    if (*at == f->count)\n", "    if (*at <= f->count)\n", "unaligned"),
    # they are written, and not given out again
    "overtaken_forgotten": (INFLIGHT, "    wk_task_replay_add(t, id, target, batch);\n", "    (void)target;\n    batch_unref(batch);\n", "unaligned"),
    # rows in flight of subtasks that are no more are left out
    "overtaken_orphans": (INFLIGHT, "s->from_subtask % e->source.parallelism == t->subtask", "s->from_subtask == t->subtask", "rescale"),
    # what LevelDB has in memory alone is not flushed to tables before they are linked
    "flush": (STORES, "    leveldb_compact_range(s->db, beyond, 7, beyond, 8);\n", "    (void)beyond;\n", "leveldb"),
    # the last table is not uploaded
    "table_left_out": (TABLES, "    if (stored->table < f->files.count)\n", "    if (stored->table + 1 < f->files.count)\n", "leveldb"),
    # sections that begin before the hashes of their new reader are left out
    "straddling": (PLAN, "    return s->hash_first <= last && s->hash_last >= first;\n",
                   "    return s->hash_first <= last && s->hash_first >= first;\n", "rescale"),
}


def mutate(tree, name):
    path, anchor, instead, _ = MUTATIONS[name]
    with open(f"{tree}/{path}", encoding="utf-8") as f:
        text = f.read()
    if text.count(anchor) != 1:
        sys.exit(f"mutate: {name}: its anchor stands {text.count(anchor)} times in {path}: change test/chaos/mutate.py with it")
    with open(f"{tree}/{path}", "w", encoding="utf-8") as f:
        f.write(text.replace(anchor, instead))


def bites(name, o, top):
    tree = f"{top}/{name}"
    shutil.copytree(".", tree, symlinks=True, ignore=lambda folder, names: [n for n in names if n in (".git", "unit", "sim", "fuzz", "bench")
                                                                           and folder in (".", "./build/test", "./build")])
    mutate(tree, name)
    built = subprocess.run(["make", "-j2", "all"] + ([f"CC={os.environ['CC']}"] if "CC" in os.environ else []), cwd=tree,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if built.returncode != 0:
        sys.exit(f"mutate: {name} does not build:\n{built.stdout[-2000:]}")
    run = subprocess.run(["test/chaos/chaos.py", "--build", "build", "--runs", str(o.runs), "--seed", str(o.seed), "--mode", MUTATIONS[name][3],
                          "--first-failure"], cwd=tree, stdout=subprocess.PIPE, text=True, check=False)
    shutil.rmtree(tree)
    lines = run.stdout.splitlines()
    failures = [line for line in lines if line.startswith("FAIL")]
    runs = len([line for line in lines if line.startswith(("ok ", "FAIL", "   chaos"))])
    if failures:
        print(f"ok mutation {name} is caught by run {runs}: {failures[0].split(': ', 1)[1][:160]}", flush=True)
    else:
        print(f"FAIL mutation {name} passes {runs} runs", flush=True)
    return bool(failures)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runs", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("names", nargs="*")
    o = p.parse_args()
    top = tempfile.mkdtemp(prefix="rask-mutate-")
    try:
        caught = [bites(name, o, top) for name in o.names or MUTATIONS]
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f"mutate: {sum(caught)} passed, {len(caught) - sum(caught)} failed")
    sys.exit(0 if all(caught) else 1)


if __name__ == "__main__":
    main()
