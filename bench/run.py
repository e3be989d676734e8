#!/usr/bin/env python3
"""The figures of docs/performance.md: runs, and prints one line for each.

Runs that are compared are interleaved: one of each, then the next of each.  A throughput is told by its best run, a
time by its median; smallest, median and largest stand behind.  Clusters are started for it on free ports of the
loopback, with their files in a temporary folder; nothing is left.  Exit status 1 after a sentence if anything failed
or counted wrong; a figure that misses its goal is no failure.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20


class Figure:
    """One line: a name, a value, and what it is compared with."""

    def __init__(self, name, unit, values, best=statistics.median, goal=None, baseline=None, baseline_name=None):
        self.name, self.unit, self.values, self.goal = name, unit, sorted(values), goal
        self.value, self.baseline, self.baseline_name = best(values), baseline, baseline_name

    def line(self):
        spread = (self.values[0], statistics.median(self.values), self.values[-1])
        text = f"{self.name:<44} {short(self.value):>8} {self.unit:<10}"
        if self.baseline:
            told = f"{self.baseline_name} {short(self.baseline)}"
            text += f" {told:<16} {self.value / self.baseline:7.3f} x "
        else:
            text += " " * 28
        text += f" {' / '.join(short(v) for v in spread):<24}"
        return text + (f" goal {self.goal}" if self.goal else "")

    def object(self):
        return {"name": self.name, "unit": self.unit, "value": self.value, "min": self.values[0],
                "median": statistics.median(self.values), "max": self.values[-1], "runs": len(self.values),
                "baseline": self.baseline, "baseline_name": self.baseline_name,
                "ratio": self.value / self.baseline if self.baseline else None, "goal": self.goal}


def short(v):
    return f"{v:.0f}" if abs(v) >= 1000 or v == int(v) else f"{v:.4g}"


class Failure(Exception):
    pass


def run(words, **options):
    """Output of a command that has to succeed."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, timeout=600, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: status {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """One JobManager and one TaskManager with two slots, in a folder of its own."""

    def __init__(self, bench):
        self.bench = bench
        self.folder = tempfile.mkdtemp(dir=bench.folder)
        self.rest = free_port()
        for name in ("conf", "tmp"):
            os.mkdir(os.path.join(self.folder, name))
        for name in ("masters", "workers"):
            self.write("conf/" + name, "localhost\n")
        self.write("conf/rask-conf.yaml", f"rest.port: {self.rest}\njobmanager.rpc.port: {free_port()}\n"
                   f"io.tmp.dirs: '{self.folder}/tmp'\ntaskmanager.numberOfTaskSlots: 2\n")
        self.env = dict(os.environ, RASK_BUILD=bench.build, RASK_CONF_DIR=self.folder + "/conf",
                        RASK_LOG_DIR=self.folder + "/log", RASK_PID_DIR=self.folder + "/pid")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Failure):
            run([HOME + "/scripts/stop-cluster.sh"], env=self.env)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        run([HOME + "/scripts/start-cluster.sh"], env=self.env)
        return self

    def get(self, path, timeout=5):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=timeout) as answer:
            return json.load(answer)

    def rask(self, *words):
        return run([self.bench.build + "/bin/rask", *words], env=self.env)

    def job(self, *words):
        """Submits, waits for the end if attached, and returns the job's id."""
        told = self.rask("run", *words)
        found = re.search(r"\b[0-9a-f]{32}\b", told)
        if not found:
            raise Failure(f"rask run told no job id: {told}")
        return found.group(0)

    def pids(self):
        """{"jobmanager": pid, "taskmanager": pid}"""
        pids = {}
        for name in os.listdir(self.folder + "/pid"):
            with open(f"{self.folder}/pid/{name}", encoding="utf-8") as f:
                pids[name.split("-")[-1].removesuffix(".pid")] = int(f.read().split()[0])
        return pids

    def running_since(self, job):
        """When each task of a job began to run: seconds since 1970.  Waits for a picture that has it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            since = []
            vertices = self.get(f"/jobs/{job}")["vertices"]
            for v in vertices:
                for t in self.get(f"/jobs/{job}/vertices/{v['id']}")["subtasks"]:
                    if t["status"] in ("RUNNING", "FINISHED"):
                        spent = t["status-duration"]
                        since.append((t["start-time"] + spent["DEPLOYING"] + spent["INITIALIZING"]) / 1e3)
            if since and len(since) == sum(v["parallelism"] for v in vertices):
                return sorted(since)
            time.sleep(0.02)
        raise Failure(f"job {job} does not run after 10 s")


class Bench:
    def __init__(self, build, folder, quick, tell):
        self.build, self.folder, self.quick, self.tell = os.path.abspath(build), folder, quick, tell

    def program(self, name):
        return f"{self.build}/bench/{name}"

    def some_text(self, lines):
        """A file of the first lines of the example's log."""
        path = os.path.join(self.folder, f"lines-{lines}")
        with open(HOME + "/examples/data/access.log", "rb") as log, open(path, "wb") as out:
            out.writelines(line for line, _ in zip(log, range(lines)))
        return path

    # ---- the machine ----

    def cores(self):
        trip = float(run([self.program("pingpong")]))
        self.tell(Figure("round trip between two cores", "ns", [trip]))

    # ---- word count ----

    def wordcount(self):
        size, runs = (100_000_000, 3) if self.quick else (500_000_000, 5)
        text = os.path.join(self.folder, "text")
        with open(text, "wb") as out:
            subprocess.run([self.program("gen_text"), str(size), "1"], stdout=out, check=True)
        base, job, wall = [], {1: [], 2: []}, {1: [], 2: []}
        expected = None
        with Cluster(self).start() as cluster:
            for _ in range(runs):
                told = dict(part.split("=") for part in run([self.program("wordcount"), text]).split())
                expected = {"updates": told["words"], "checksum": told["checksum"]}
                base.append(float(told["words"]) / float(told["seconds"]) / 1e6)
                for p in (1, 2):
                    seconds, took = self.count_words(cluster, text, p, expected)
                    job[p].append(float(told["words"]) / seconds / 1e6)
                    wall[p].append(float(told["words"]) / took / 1e6)
        os.unlink(text)
        for p in (1, 2):
            self.tell(Figure(f"word count p={p}, RUNNING to FINISHED", "M words/s", job[p], max,
                             baseline=max(base), baseline_name="C"))
            self.tell(Figure(f"word count p={p}, rask run from start to end", "M words/s", wall[p], max,
                             baseline=max(base), baseline_name="C"))
        self.tell(Figure("word count, one thread of C", "M words/s", base, max))

    def count_words(self, cluster, text, p, expected):
        """Seconds of the job, and of the command; the result is what the C program counted."""
        begin = time.monotonic()
        job = cluster.job("-p", str(p), self.program("jobs/wordcount.so"), "--input", text)
        took = time.monotonic() - begin
        counted = {a["name"]: a["value"] for a in cluster.get(f"/jobs/{job}/accumulators")["user-task-accumulators"]}
        if counted != expected:
            raise Failure(f"word count at p={p} counted {counted}, and C {expected}")
        times = cluster.get(f"/jobs/{job}")["timestamps"]
        return (times["FINISHED"] - times["RUNNING"]) / 1e3, took

    # ---- start, submission ----

    def endless(self, cluster):
        """Submits the job that never ends; returns its id."""
        return cluster.job("-d", self.program("jobs/endless.so"))

    def start(self):
        registered, first = [], []
        for _ in range(5 if self.quick else 15):
            with Cluster(self) as cluster:
                begin = time.time()
                seen = []
                watch = threading.Thread(target=self.watch_registration, args=(cluster, seen))
                watch.start()
                cluster.start()
                job = self.endless(cluster)
                watch.join()
                registered.append((seen[0] - begin) * 1e3)
                first.append((cluster.running_since(job)[0] - begin) * 1e3)
                cluster.rask("cancel", job)
        self.tell(Figure("start-cluster.sh to TaskManager registered", "ms", registered, goal="<= 100"))
        self.tell(Figure("start-cluster.sh to first task running", "ms", first, goal="<= 200"))

    @staticmethod
    def watch_registration(cluster, seen):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if cluster.get("/overview")["taskmanagers"] >= 1:
                    break
            except OSError:
                pass
            time.sleep(0.002)
        seen.append(time.time())

    def run(self):
        times = []
        with Cluster(self).start() as cluster:
            for i in range(10 if self.quick else 30):
                begin = time.time()
                job = self.endless(cluster)
                since = cluster.running_since(job)[-1]
                if i > 0:
                    times.append((since - begin) * 1e3)
                cluster.rask("cancel", job)
                self.wait_for_slots(cluster)
        self.tell(Figure("rask run of a ready .so to RUNNING", "ms", times, goal="<= 50"))

    @staticmethod
    def wait_for_slots(cluster):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            now = cluster.get("/overview")
            if now["slots-available"] == now["slots-total"]:
                return
            time.sleep(0.01)
        raise Failure("slots are not free 10 s after the job was cancelled")

    # ---- memory ----

    def idle(self):
        with Cluster(self).start() as cluster:
            time.sleep(2)
            for daemon in ("jobmanager", "taskmanager"):
                rss, pss = memory_of(cluster.pids()[daemon])
                self.tell(Figure(f"idle {daemon}, RSS", "MiB", [rss], goal="<= 16"))
                self.tell(Figure(f"idle {daemon}, PSS", "MiB", [pss]))

    # ---- embedded ----

    def local(self):
        lines = self.some_text(10)
        cache = tempfile.mkdtemp(dir=self.folder)
        env = dict(os.environ, XDG_CACHE_HOME=cache)
        cold, warm = [], []
        words = [self.build + "/bin/rask", "run", "--target", "local", HOME + "/examples/wordcount.c", "--input", lines]
        for _ in range(5 if self.quick else 15):
            shutil.rmtree(cache)
            os.mkdir(cache)
            for times in (cold, warm):
                begin = time.monotonic()
                run(words, env=env)
                times.append((time.monotonic() - begin) * 1e3)
        self.tell(Figure("rask run wordcount.c --target local, cold", "ms", cold, goal="<= 300"))
        self.tell(Figure("rask run wordcount.c --target local, warm", "ms", warm, goal="<= 30"))

    # ---- jobs without end ----

    def leaks(self):
        before, jobs = (30, 100) if self.quick else (100, 1000)
        told = run([HOME + "/bench/leaks.sh", str(before), str(jobs)],
                   env=dict(os.environ, RASK_BUILD=self.build, TMPDIR=self.folder))
        for line in told.splitlines():
            name, value, unit = line.rsplit(" ", 2)
            goal = {"MiB": "<= 1", "ms/job": None}.get(unit, "0")
            self.tell(Figure(f"{jobs} jobs: {name}", unit, [float(value)], goal=goal))

    # ---- size ----

    def size(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        run(["make", "-s", "-C", HOME, "install", f"DESTDIR={folder}/", "PREFIX=rask"])
        total = sum(os.lstat(os.path.join(path, name)).st_size
                    for path, _, names in os.walk(folder) for name in names)
        self.tell(Figure("installed", "MB", [total / 1e6], goal="<= 10"))


def memory_of(pid):
    """(RSS, PSS) in MiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    return tuple(int(fields[k].split()[0]) / 1024 for k in ("Rss", "Pss"))


PARTS = ("cores", "wordcount", "start", "run", "idle", "local", "leaks", "size")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", default=HOME + "/build")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    args = options.parse_args()
    parts = args.only.split(",")
    if not set(parts) <= set(PARTS):
        options.error(f"--only: of {','.join(PARTS)}")
    figures = []

    def tell(figure):
        figures.append(figure)
        if not args.json:
            print(figure.line(), flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="rask-bench.") as folder:
        bench = Bench(args.build, folder, args.quick, tell)
        if not args.json:
            print(f"{'figure':<44} {'value':>8} {'unit':<10} {'baseline':<16} {'ratio':>9}  min / median / max")
        for part in PARTS:
            if part in parts:
                getattr(bench, part)()
    if args.json:
        json.dump([f.object() for f in figures], sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench: {why}")
