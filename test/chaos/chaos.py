#!/usr/bin/env python3
"""The exactly-once checker: jobs count numbered lines per key and write every count through two-phase sinks (part files, and tables
of a real PostgreSQL), while processes, links, disks and folders come to harm at moments drawn from a seed and tied to what
checkpoints do.  At the end the output has to be the input's image.  See README.md.

    test/chaos/chaos.py --build build [--runs N] [--seed S] [--mode MODE] [--keep]

Prints a line per run, then counts by mode, phase and fault, then "N passed, N failed".
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import MODES, Run, write_inputs  # noqa: E402
from world import Cluster, Failure, Postgres, own_mounts  # noqa: E402


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--runs", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--mode", choices=MODES + ["any"], default="any")
    p.add_argument("--keep", action="store_true", help="keep logs, and what failed")
    p.add_argument("--first-failure", action="store_true", help="stop at the first failure")
    return p.parse_args()


def compile_all(top):
    cc = os.environ.get("CC", "cc").split()
    for source, target, flags in (("test/chaos/numbered.c", "numbered.so", ["-Iapi/include"]), ("test/chaos/harm.c", "harm.so", [])):
        subprocess.run(cc + ["-shared", "-fPIC", "-g", "-O1", *flags, "-o", f"{top}/{target}", source, "-ldl"], check=True)


class Checker:
    def __init__(self, o, top, mounts):
        self.o, self.top, self.mounts, self.cluster, self.clusters = o, top, mounts, None, 0
        self.pg = Postgres(tempfile.mkdtemp(prefix="rask-chaos-postgres-"))
        self.passed = self.failed = self.void = 0
        self.modes, self.phases, self.faults = Counter(), Counter(), Counter()

    def need_cluster(self, mode):
        """State of the mode leveldb is larger than the memory for it."""
        managed = "6m" if mode == "leveldb" else "88m"
        if self.cluster and self.cluster.managed != managed:
            self.drop_cluster(False)
        if not self.cluster:
            self.clusters += 1
            self.cluster = Cluster(os.path.abspath(self.o.build), f"{self.top}/cluster-{self.clusters}", self.mounts, self.top + "/harm.so",
                                   managed)

    def drop_cluster(self, keep):
        if not self.cluster:
            return
        if keep and self.mounts:  # the disk goes with its mount
            shutil.copytree(self.cluster.disk.path, self.cluster.top + "/kept", dirs_exist_ok=True)
        self.cluster.stop()
        if not keep and not self.o.keep:
            shutil.rmtree(self.cluster.top, ignore_errors=True)
        self.cluster = None

    def one(self, seed):
        mode = self.o.mode if self.o.mode != "any" else MODES[seed % len(MODES)]
        self.need_cluster(mode)
        began = time.monotonic()
        run = Run(self.cluster, self.pg, seed, mode, self.top)
        try:
            self.cluster.ready()
            run.go()
        except (Failure, OSError) as e:
            self.failed += 1
            print(f"FAIL chaos {mode} seed {seed}: {e}; {run.story()}", flush=True)
            self.drop_cluster(True)
            return
        if not run.counts():
            self.void += 1
            print(f"   chaos {mode} seed {seed}: does not count ({run.story()})", flush=True)
            return
        self.passed += 1
        self.modes[mode] += 1
        for phase, fault in run.done:
            self.phases[phase] += 1
            self.faults[fault] += 1
        print(f"ok chaos {mode} seed {seed} ({time.monotonic() - began:.1f} s): {run.story()}", flush=True)

    def report(self):
        for name, counter in (("modes", self.modes), ("phases", self.phases), ("faults", self.faults)):
            print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in sorted(counter.items())))
        print(f"chaos: {self.passed} passed, {self.failed} failed")


def main():
    o = arguments()
    if subprocess.run(["test/postgres.sh", "check", "-"], check=False).returncode == 77:
        return
    top = tempfile.mkdtemp(prefix="rask-chaos-")
    mounts = own_mounts()
    if not mounts:
        print("this system permits no mounts of our own: no full disks, no read-only folders")
    compile_all(top)
    write_inputs(top)
    checker = Checker(o, top, mounts)
    try:
        seed = o.seed
        while checker.passed + checker.failed < o.runs and checker.void < o.runs + 10:
            checker.one(seed)
            seed += 1
            if checker.failed and o.first_failure:
                break
    finally:
        checker.drop_cluster(False)
        checker.pg.stop()
        if o.keep:
            print("kept: " + top)
        else:
            shutil.rmtree(top, ignore_errors=True)
    checker.report()
    sys.exit(1 if checker.failed or checker.passed < o.runs else 0)


if __name__ == "__main__":
    main()
