"""What the figures of bench/run.py share: lines of figures, commands, clusters of their own, runs in turn."""
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORD = 1 << 64


class Failure(Exception):
    pass


def short(v):
    return f"{v:.0f}" if abs(v) >= 1000 or v == int(v) else f"{v:.4g}"


class Figure:
    """One line: a name, a value, and what it is compared with in the same run.

    best: how the value is taken from several runs: max for a throughput, median for a time.
    baseline: its runs, taken alike; baseline_name says what it is."""

    def __init__(self, name, unit, values, best=statistics.median, goal=None, baseline=None, baseline_name=None):
        self.name, self.unit, self.values, self.goal = name, unit, sorted(values), goal
        self.value, self.baseline_name = best(values), baseline_name
        self.baseline = best(baseline) if baseline else None
        self.baseline_values = sorted(baseline or [])

    HEAD = f"{'figure':<56} {'value':>8} {'unit':<10} {'baseline':<16} {'ratio':>9}  min / median / max"

    def line(self):
        spread = (self.values[0], statistics.median(self.values), self.values[-1])
        text = f"{self.name:<56} {short(self.value):>8} {self.unit:<10}"
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
                "baseline_runs": self.baseline_values,
                "ratio": self.value / self.baseline if self.baseline else None, "goal": self.goal}


def run(words, timeout=600, **options):
    """Output of a command that has to succeed."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              text=True, timeout=timeout, **options)
    except subprocess.TimeoutExpired as why:
        raise Failure(f"{' '.join(words)}: still running after {timeout} s") from why
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: status {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """One JobManager and TaskManagers with some slots each, in a folder of its own.  With start() it runs."""

    def __init__(self, bench, taskmanagers=1, slots=2, settings=()):
        self.bench = bench
        self.folder = tempfile.mkdtemp(dir=bench.folder)
        self.rest = free_port()
        self.read = {}  # of each output file, how much printed() has told
        for name in ("conf", "tmp"):
            os.mkdir(os.path.join(self.folder, name))
        self.write("conf/masters", "localhost\n")
        self.write("conf/workers", "localhost\n" * taskmanagers)
        self.write("conf/rask-conf.yaml", f"rest.port: {self.rest}\njobmanager.rpc.port: {free_port()}\n"
                   f"io.tmp.dirs: '{self.folder}/tmp'\ntaskmanager.numberOfTaskSlots: {slots}\n"
                   + "".join(f"{s}\n" for s in settings))
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

    def rask(self, *words, timeout=300):
        return run([self.bench.build + "/bin/rask", *words], timeout=timeout, env=self.env)

    def job(self, *words):
        """Submits, waits for the end if attached, and returns the job's id."""
        told = self.rask("run", *words)
        found = re.search(r"\b[0-9a-f]{32}\b", told)
        if not found:
            raise Failure(f"rask run told no job id: {told}")
        return found.group(0)

    def seconds(self, job):
        """From RUNNING to FINISHED."""
        times = self.get(f"/jobs/{job}")["timestamps"]
        return max(times["FINISHED"] - times["RUNNING"], 1) / 1e3

    def counted(self, job):
        """The job's accumulators, {name: value}."""
        told = self.get(f"/jobs/{job}/accumulators")["user-task-accumulators"]
        return {a["name"]: int(a["value"]) for a in told}

    def checked(self, job):
        """(rows, checksum) of a job whose sink is of bench/jobs/checksum_sink.h."""
        n = self.counted(job)
        return n["rows"], ((n["checksum_high"] << 32) + n["checksum_low"]) % WORD

    def places(self, job):
        """[(vertex name, TaskManager id), ...] of all subtasks."""
        return [(v["name"], t["taskmanager-id"]) for v in self.get(f"/jobs/{job}")["vertices"]
                for t in self.get(f"/jobs/{job}/vertices/{v['id']}")["subtasks"]]

    def pids(self):
        """Of the daemons: {"jobmanager": [pid], "taskmanager": [pid, ...]}"""
        pids = {}
        for name in os.listdir(self.folder + "/pid"):
            with open(f"{self.folder}/pid/{name}", encoding="utf-8") as f:
                pids[name.split("-")[-1].removesuffix(".pid")] = [int(p) for p in f.read().split()]
        return pids

    def workers(self):
        """Pids of the TaskManagers' children."""
        parents = set(self.pids()["taskmanager"])
        return [int(p) for p in os.listdir("/proc") if p.isdigit() and parent_of(p) in parents]

    def printed(self):
        """What jobs and daemons have written to standard output since the last call."""
        text = ""
        for name in sorted(os.listdir(self.folder + "/log")):
            if name.endswith(".out"):
                with open(f"{self.folder}/log/{name}", encoding="utf-8", errors="replace") as f:
                    f.seek(self.read.get(name, 0))
                    text += f.read()
                    self.read[name] = f.tell()
        return text

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

    def wait_for_slots(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            now = self.get("/overview")
            if now["slots-available"] == now["slots-total"]:
                return
            time.sleep(0.01)
        raise Failure("slots are not free 10 s after the job was cancelled")


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def cpu_seconds(pids):
    """CPU time that these processes have used so far, to the nanosecond."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="utf-8") as f:
                    total += int(f.read().split()[0])
    return total / 1e9


def memory_of(pid):
    """(RSS, PSS) in MiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    return tuple(int(fields[k].split()[0]) / 1024 for k in ("Rss", "Pss"))


class Bench:
    """One run of the suite."""

    def __init__(self, build, folder, quick, tell, check=False):
        self.build, self.folder, self.tell = os.path.abspath(build), folder, tell
        self.quick, self.check = quick or check, check
        self.runs = 1 if check else 2 if quick else 4
        self.seconds = 0.5 if quick else 1.0  # that a measured run should take at least

    def program(self, name):
        return f"{self.build}/bench/{name}"

    def c(self, name, *words):
        """(rows, checksum, seconds) of a program of bench/c."""
        told = dict(part.split("=") for part in run([self.program("c/" + name), *map(str, words)]).split())
        return int(told["rows"]), int(told["checksum"]), float(told["seconds"])

    def enough(self, seconds_of, rows, least=0, most=2_000_000_000):
        """Rows for a run of the wished time.  seconds_of(rows) runs the job once."""
        if self.check:
            return rows // 20
        while True:
            took = seconds_of(rows)
            if took >= 0.2 * self.seconds or rows >= most:
                break
            rows = min(rows * 8, most)
        return int(max(least, min(most, rows * self.seconds / took)))

    def versus(self, name, job, base, rows, goal=None, unit="M rows/s", baseline_name="C", per_row=True):
        """job(rows), base(rows): (rows, checksum, seconds); run in turn, compared by their checksums.
        per_row: rows that come out are counted, else what was asked for."""
        ours, theirs = [], []
        for _ in range(self.runs):
            expected = base(rows)
            got = job(rows)
            if got[:2] != expected[:2]:
                raise Failure(f"{name}: the job gave rows {got[0]} checksum {got[1]:#x}, "
                              f"{baseline_name} {expected[0]} {expected[1]:#x}")
            count = got[0] if per_row else rows
            ours.append(count / got[2] / 1e6)
            theirs.append(count / expected[2] / 1e6)
        self.tell(Figure(name, unit, ours, max, goal=goal, baseline=theirs, baseline_name=baseline_name))
        return max(ours)
