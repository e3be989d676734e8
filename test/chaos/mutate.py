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
FINISH = "jobmanager/checkpoint/finish.c"

# name: (file, anchor, what stands there instead, mode)
MUTATIONS = {
    # rows behind a barrier are taken before it has come on all channels
    "alignment": (BARRIER, "    if (b->exactly_once)\n        wk_in_block(in);", "", "aligned"),
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
