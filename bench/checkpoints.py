"""What checkpoints cost the stream: stalls, throughput, bytes, latency, CPU time."""
import collections
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
import urllib.request

import flame
import latency
from harness import Cluster, Failure, Figure, memory_of, run

MEMORY = "8g"  # taskmanager.memory.process.size of the figures with much state
GIB_OF_KEYS = 9_400_000  # with values of 104 bytes an image of them has 1 GiB
NARROW_BYTES = 19  # of an entry in a file: 3, a BIGINT as key, another as value
AROUND_MS = 1500  # before a checkpoint and behind it: what its stream is compared with


class Watched:
    """bench/jobs/state.c on a cluster of its own with a folder for checkpoints, filled and going on for ever."""

    def __init__(self, bench, keys, *words, settings=()):
        self.keys = keys
        self.stack = contextlib.ExitStack()
        self.folder = f"{bench.folder}/checkpoints"
        self.timeline = f"{bench.folder}/timeline"
        self.cluster = self.stack.enter_context(Cluster(bench, settings=[
            f"taskmanager.memory.process.size: {MEMORY}", f"execution.checkpointing.dir: file://{self.folder}", *settings]))
        self.words = ["-d", "-p", "2", bench.program("jobs/state.so"), "--keys", str(keys), "--rows", "1000000000000",
                      "--timeline", self.timeline, *words]
        self.job = None

    def __enter__(self):
        with self.stack:
            self.cluster.start()
            self.job = self.cluster.job(*self.words)
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.timeline)

    def rows(self):
        """That functions have got so far."""
        return sum(v["metrics"]["read-records"] for v in self.cluster.get(f"/jobs/{self.job}")["vertices"])

    def wait_for_rows(self, rows):
        deadline = time.monotonic() + 90
        while self.rows() < rows:
            if time.monotonic() > deadline:
                raise Failure(f"the job has {self.rows()} of {rows} rows after 90 s")
            time.sleep(0.1)

    def settle(self):
        """Waits until the worker gets no more memory: what it has for its next checkpoint it gets bit by bit."""
        worker, deadline, before = self.cluster.workers()[0], time.monotonic() + 60, [0] * 3
        while time.monotonic() < deadline:
            time.sleep(1)
            before.append(memory_of(worker)[0])
            if before[-1] < before[-4] * 1.005:
                return
        raise Failure("the worker's memory still grows after 60 s")

    def checkpoint(self, kind):
        """FULL or CONFIGURED (what changed), now; what REST tells of it when it is complete."""
        path = f"/jobs/{self.job}/checkpoints"
        before = self.cluster.get(path)["counts"]["completed"]
        asked = urllib.request.Request(f"http://127.0.0.1:{self.cluster.rest}{path}", method="POST",
                                       data=json.dumps({"checkpointType": kind}).encode(),
                                       headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10):
            pass
        deadline, pause = time.monotonic() + 60, 0.01
        while time.monotonic() < deadline:
            told = self.cluster.get(path)
            if told["counts"]["completed"] > before:
                return told["latest"]["completed"]
            if told["counts"]["failed"] > 0:
                raise Failure(f"a checkpoint failed: {told['latest']['failed']}")
            time.sleep(pause)
            pause = min(pause * 2, 0.5)  # who asks every 10 ms takes a twentieth of two cores from the stream
        raise Failure("a checkpoint is not complete after 60 s")

    def ended(self):
        """Cancels; the timeline of all subtasks: [(ms, rows, microseconds without a row), ...]"""
        self.cluster.rask("cancel", self.job)
        self.cluster.wait_for_slots()
        with open(self.timeline, encoding="ascii") as f:
            return [tuple(map(int, line.split())) for line in f]


def during(ticks, begin, end):
    """(M rows/s, longest time without a row in ms)"""
    inside = [t for t in ticks if begin <= t[0] < end]
    return sum(t[1] for t in inside) / max(end - begin, 1) / 1e3, max((t[2] for t in inside), default=0) / 1e3


def plain_write(folder, size):
    """Seconds to write and sync as many bytes without an engine."""
    path, piece = f"{folder}/plain", os.urandom(1 << 20)
    begin = time.monotonic()
    with open(path, "wb", buffering=0) as f:
        for _ in range(size >> 20):
            f.write(piece)
        os.fsync(f.fileno())
    took = time.monotonic() - begin
    os.unlink(path)
    return took


@contextlib.contextmanager
def pauses(bench):
    """Meanwhile; a list that then has all times at which the machine itself stood still: [(ms, 0, microseconds), ...]"""
    told = []
    with subprocess.Popen([bench.program("pauses"), "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as looking:
        try:
            yield told
        finally:
            text, _ = looking.communicate()
            told += [(int(ms), 0, int(us)) for ms, us in map(str.split, text.splitlines())]


def image_in_c(bench, keys, images, rate):
    """The same without an engine, at so many bytes a second: [{"around": rows a second, "during": ..., "gap_ms": ...}, ...]"""
    told = run([bench.program("c/image"), "--keys", str(keys), "--images", str(images), "--mb", f"{rate / 1e6:.0f}",
                "--file", f"{bench.folder}/image"])
    return [{k: float(v) for k, v in (part.split("=") for part in line.split())} for line in told.splitlines()]


def image(bench):
    """Full images while the stream goes on as fast as it can; C writes its own as fast as these were written."""
    keys = GIB_OF_KEYS // (8 if bench.quick else 1)
    took, disk, around, meanwhile, gaps, stood, images = [], [], [], [], [], [], 2 if bench.quick else 3
    often = ["execution.checkpointing.interval: 1 h"]  # as jobs that take checkpoints have; these are asked for
    with pauses(bench) as still, Watched(bench, keys, "--way", "batch", "--fill", "true", "--wide", "true", settings=often) as job:
        job.wait_for_rows(2 * keys)
        job.settle()
        told = []
        for _ in range(images):
            time.sleep(2 * AROUND_MS / 1e3)
            told.append(job.checkpoint("FULL"))
        time.sleep(AROUND_MS / 1e3)
        ticks = job.ended()
    for c in told:  # not between two images: what the system does with so many bytes goes on for seconds
        disk.append(plain_write(bench.folder, c["checkpointed_size"]))
        begin, end = c["trigger_timestamp"], c["trigger_timestamp"] + c["end_to_end_duration"]
        around.append((during(ticks, begin - AROUND_MS, begin)[0] + during(ticks, end, end + AROUND_MS)[0]) / 2)
        rate, gap = during(ticks, begin, end)
        meanwhile.append(rate / around[-1])
        gaps.append(gap)
        took.append(c["end_to_end_duration"] / 1e3)
        stood.append(during(still, begin, end)[1])
    in_c = image_in_c(bench, keys, images, statistics.median(t["checkpointed_size"] / s for t, s in zip(told, took)))
    size = f"{told[-1]['checkpointed_size'] / (1 << 30):.2f} GiB"
    bench.tell(Figure(f"full image of {size}, {MEMORY}", "s", took, goal="<= 6", baseline=disk, baseline_name="write+fsync"))
    bench.tell(Figure(f"longest time without output; the machine stood {', '.join(f'{s:.0f}' for s in sorted(stood))}", "ms", gaps, goal="<= 10",
                      baseline=[i["gap_ms"] for i in in_c], baseline_name="C"))
    # each with what was directly around it: a stream that waits for memory is half as fast again from one second to the next
    bench.tell(Figure(f"throughput meanwhile, {min(around):.0f} to {max(around):.0f} M rows/s around", "x around", meanwhile, goal=">= 0.85",
                      baseline=[i["during"] / i["around"] for i in in_c], baseline_name="C"))


def incremental(bench):
    """Bytes of checkpoints between which 1 % of the keys change; and of one between which hardly any does."""
    keys, times = (1_000_000, 40) if bench.quick else (8_000_000, 200)
    interval, written = 0.1, []
    with Watched(bench, keys, "--way", "batch", "--fill", "true", "--rate", str(int(keys / 100 / interval)),
                 settings=["execution.checkpointing.num-retained: 1"]) as job:
        job.wait_for_rows(keys)
        job.checkpoint("CONFIGURED")
        rows, next_at = job.rows(), time.monotonic()
        for _ in range(times):
            next_at = max(next_at + interval, time.monotonic())
            time.sleep(max(0, next_at - time.monotonic()))
            written.append(job.checkpoint("CONFIGURED")["checkpointed_size"])
        changed = (job.rows() - rows) * NARROW_BYTES
        job.ended()
    bench.tell(Figure(f"written by {times} checkpoints, {keys // 1_000_000} M keys, 1 % changed, {MEMORY}", "MB",
                      [sum(written) / 1e6], goal="<= 2.2 x", baseline=[changed / 1e6], baseline_name="changed"))
    keys = GIB_OF_KEYS // (8 if bench.quick else 1)
    with Watched(bench, keys, "--way", "batch", "--fill", "true", "--wide", "true", "--rate", "10") as job:
        job.wait_for_rows(keys)
        first = job.checkpoint("CONFIGURED")["checkpointed_size"]
        second = [job.checkpoint("CONFIGURED")["checkpointed_size"] / (1 << 20) for _ in range(3)]
        job.ended()
    bench.tell(Figure(f"a second checkpoint of {first / (1 << 30):.2f} GiB without change", "MiB", second, max, goal="< 1"))


def latency_checkpoint(bench):
    """Exactly once, with a checkpoint a second and without any, in turn."""
    often = ["execution.checkpointing.interval: 1 s", f"execution.checkpointing.dir: file://{bench.folder}/chk"]
    told = ([], [])
    with Cluster(bench, **latency.TWO, settings=often) as checked, Cluster(bench, **latency.TWO) as plain:
        jobs = [latency.Latency(bench, cluster.start(), *latency.job_of(bench, latency.TWO)) for cluster in (checked, plain)]
        for _ in range(2 if bench.quick else 3):
            for job, runs in zip(jobs, told):
                runs.append(job(50_000, 4))
    for key, goal in (("p50", None), ("p99", "<= 2000"), ("due p99", None)):
        bench.tell(Figure(f"two processes, 50,000 rows/s, a checkpoint a second: {key}", "us", [r[key] for r in told[0]], goal=goal,
                          baseline=[r[key] for r in told[1]], baseline_name="without"))


CHECKPOINT_CODE = ("wk_barrier", "wk_collector", "on_checkpoint_request", "on_arrived", "wk_state_freeze", "wk_state_completed",
                   "wk_snapshot", "wk_task_snapshot", "wk_writing", "make_pieces", "pieces_made", "ckpt_", "pool_thread")


def checkpoint_cost(bench):
    """CPU time in checkpoint code, of all that of a worker that takes one every 100 ms: by samples of perf."""
    if not shutil.which("perf"):
        print("checkpoint-cost needs perf (Debian: linux-perf)")
        return
    shares, seconds = [], 3 if bench.quick else 6
    with Watched(bench, 10_000, "--way", "batch", settings=["execution.checkpointing.interval: 100 ms"]) as job:
        job.wait_for_rows(1_000_000)
        for _ in range(2 if bench.quick else 3):
            shares.append(100 * share_of_checkpoints(bench, job.cluster.workers()[0], seconds))
        job.ended()
    bench.tell(Figure("checkpoint every 100 ms, 10,000 keys: CPU time in it", "% of job", shares, goal="<= 2"))


def share_of_checkpoints(bench, pid, seconds):
    data = f"{bench.folder}/samples"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(data)
    subprocess.run(["perf", "record", "-q", "-o", data, "-F", "999", "-g", "-p", str(pid), "sleep", str(seconds)],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    text = subprocess.run(["perf", "script", "-i", data, "-F", "comm,tid,ip,sym"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout
    found = collections.Counter(any(f.startswith(CHECKPOINT_CODE) for f in stack) for stack in flame.stacks(text.splitlines()))
    if found[False] < 100:
        raise Failure(f"perf took {found[False]} samples")
    return found[True] / (found[True] + found[False])
