#!/usr/bin/env python3
"""Timely Dataflow beside Rask, on the same rows, in turn: where Rust's cargo is to be had.

Builds bench/timely (the crate timely, with its usual settings for speed) in the build folder.  Exit status 1 after a
sentence if cargo is missing, the crate cannot be had, or results differ.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import HOME, Bench, Cluster, Failure, Figure, run
from throughput import Rows


def build_timely(build):
    """The program, made from a copy: cargo writes beside its manifest."""
    if not shutil.which("cargo"):
        raise Failure("there is no cargo, so there is no Timely to compare with (Debian: cargo, or rustup)")
    source = os.path.join(build, "bench", "timely")
    shutil.copytree(HOME + "/bench/timely", source, dirs_exist_ok=True)
    try:
        run(["cargo", "build", "--release", "-q", "--manifest-path", source + "/Cargo.toml"], timeout=900,
            env=dict(os.environ, RUSTFLAGS="-C target-cpu=native"))
    except Failure as why:
        raise Failure(f"Timely cannot be built here: {why}") from why
    return source + "/target/release/rask-bench-timely"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", default=HOME + "/build")
    options.add_argument("--quick", action="store_true")
    args = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    program = build_timely(os.path.abspath(args.build))
    with tempfile.TemporaryDirectory(prefix="rask-bench.") as folder:
        bench = Bench(args.build, folder, args.quick, lambda figure: print(figure.line(), flush=True))

        def timely(way, keys, rows):
            told = dict(part.split("=") for part in run([program, way, str(rows), str(keys), "-w", "2"]).split())
            return int(told["rows"]), int(told["checksum"]), float(told["seconds"])

        print(Figure.HEAD)
        with Cluster(bench, settings=["taskmanager.memory.process.size: 8g"]).start() as cluster:
            for name, way, keys in (("shuffle 2x2, one process", "hash", 0), ("keyed sum, 1 M keys", "sum", 1_000_000)):
                job = Rows(bench, cluster, 2, "--way", way, "--keys", str(keys))
                bench.versus(name, job, lambda n, w=way, k=keys: timely("sum" if w == "sum" else "shuffle", k, n),
                             job.enough(8_000_000), baseline_name="Timely")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench-timely: {why}")
