#!/usr/bin/env python3
"""The figures of docs/performance.md: runs, and prints one line for each.

Runs that are compared are interleaved: one of each, then the next of each.  A throughput is told by its best run, a
time by its median; smallest, median and largest stand behind.  Clusters are started for it on free ports of the
loopback, with their files in a temporary folder; nothing is left.  Exit status 1 after a sentence if anything failed
or counted wrong; a figure that misses its goal is no failure.
"""
import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # the source tree stays as it is

# pylint: disable=wrong-import-position
import checkpoints
import footprint
import latency
import recovery
import state
import throughput
from harness import HOME, Bench, Failure, Figure

PARTS = {
    "cores": footprint.cores,
    "generate": throughput.generate,
    "generate-row": throughput.generate_row,
    "chain10": throughput.chain10,
    "chain10-row": throughput.chain10_row,
    "functions": throughput.functions,
    "channel": throughput.channel,
    "shuffle": throughput.shuffle,
    "tcp": throughput.tcp,
    "tls": throughput.tls,
    "lz4": throughput.lz4,
    "sum100": throughput.sum100,
    "sum1m": throughput.sum1m,
    "sum10m": throughput.sum10m,
    "channels128": throughput.channels128,
    "parallelism128": throughput.parallelism128,
    "update1m": state.update1m,
    "update10m": state.update10m,
    "leveldb": state.leveldb,
    "timers": state.timers,
    "q0": throughput.q0,
    "q1": throughput.q1,
    "q2": throughput.q2,
    "wordcount": throughput.wordcount,
    "image": checkpoints.image,
    "incremental": checkpoints.incremental,
    "checkpoint-cost": checkpoints.checkpoint_cost,
    "latency-checkpoint": checkpoints.latency_checkpoint,
    "latency": latency.latency,
    "latency-half": latency.latency_half,
    "latency-spin": latency.latency_spin,
    "one-row": latency.one_row,
    "idle-job": latency.idle_job,
    "idle-jobs": latency.idle_jobs,
    "recovery": recovery.recovery,
    "recovery1g": recovery.recovery1g,
    "start": footprint.start,
    "run": footprint.submit,
    "idle": footprint.idle,
    "local": footprint.embedded,
    "leaks": footprint.leaks,
    "size": footprint.size,
}


# Their results are compared: a run of each shows that job and C program still agree.
CHECKED = ("generate", "generate-row", "channel", "shuffle", "tcp", "tls", "lz4", "sum100", "update1m", "timers", "channels128", "q0", "q1", "q2", "wordcount")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", default=HOME + "/build")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--check", action="store_true", help="one short run of what is compared; no figures")
    options.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    args = options.parse_args()
    parts = list(CHECKED) if args.check else args.only.split(",")
    if not set(parts) <= set(PARTS):
        options.error(f"--only: of {','.join(PARTS)}")
    figures, begun = [], time.monotonic()

    def tell(figure):
        figures.append(figure)
        if not args.json and not args.check:
            print(figure.line(), flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="rask-bench.") as folder:
        bench = Bench(args.build, folder, args.quick, tell, args.check)
        if not args.json and not args.check:
            print(Figure.HEAD)
        for name, part in PARTS.items():
            if name in parts:
                part(bench)
                if args.check:
                    print(f"ok {name}", flush=True)
    if parts == list(PARTS):
        tell(Figure("all of these figures", "minutes", [(time.monotonic() - begun) / 60], goal="<= 15"))
    if args.json:
        json.dump([f.object() for f in figures], sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench: {why}")
