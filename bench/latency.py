"""How long rows take, and what a cluster costs while nothing happens."""
import re
import statistics
import time

from harness import Cluster, Failure, Figure, cpu_seconds, memory_of, run

TWO = {"taskmanagers": 2, "slots": 1}
ONE = {"taskmanagers": 1, "slots": 2}


LINE = re.compile(r"latency rows (\d+) p50 ([\d.]+) .*?p99 ([\d.]+) .*? us, since due p50 ([\d.]+) p99 ([\d.]+)")


def slowest(printed):
    """{"p50", "p99", "due p50", "due p99"} in microseconds, of the histograms that were printed the slowest subtask's."""
    told = [list(map(float, found)) for found in LINE.findall(printed)]
    if not told:
        raise Failure(f"no latency was printed, but: {printed[-500:]}")
    return dict(zip(("p50", "p99", "due p50", "due p99"), (max(t[i] for t in told) for i in range(1, 5))))


class Latency:
    """bench/jobs/latency.c on a cluster."""

    def __init__(self, bench, cluster, *words):
        self.bench, self.cluster, self.words = bench, cluster, words

    def __call__(self, rate, seconds):
        self.cluster.job(*self.words, "--rate", str(rate), "--seconds", str(seconds))
        return slowest(self.cluster.printed())

    def fastest(self):
        """Rows per second without a limit."""
        rows = 2_000_000 if self.bench.quick else 10_000_000
        job = self.cluster.job(*self.words, "--rate", "0", "--rows", str(rows))
        self.cluster.printed()
        return rows / self.cluster.seconds(job)


def through_c(bench):
    """bench/c/latency.c: the same rows from one process to another, without an engine."""
    return lambda rate, seconds: slowest(run([bench.program("c/latency"), "--rate", str(rate), "--seconds", str(seconds)]))


def tell(bench, name, job, rate, goals, base=None):
    runs, seconds = ([], []), 2 if bench.quick else 3
    for _ in range(2 if bench.quick else 3):
        for measured, kept in zip((job, base), runs):
            if measured:
                kept.append(measured(rate, seconds))
    for key, words in (("p50", "p50"), ("p99", "p99"), ("due p50", "since due, p50"), ("due p99", "since due, p99")):
        bench.tell(Figure(f"{name}: {words}", "us", [r[key] for r in runs[0]], statistics.median, goal=goals.get(key),
                          baseline=[r[key] for r in runs[1]], baseline_name="C"))


def job_of(bench, where, *more):
    way = ["--sources", "1", "--apart"] if where is TWO else ["--sources", "2"]
    parallelism = "1" if where is TWO else "2"
    return ["-p", parallelism, *more, bench.program("jobs/latency.so"), *way]


def latency(bench):
    with Cluster(bench, **TWO).start() as cluster:
        tell(bench, "latency, two processes, 50 k rows/s", Latency(bench, cluster, *job_of(bench, TWO)), 50000,
             {"p50": "<= 100", "p99": "<= 400"}, through_c(bench))
    with Cluster(bench, **ONE).start() as cluster:
        tell(bench, "latency, one process, 50 k rows/s", Latency(bench, cluster, *job_of(bench, ONE)), 50000, {"p50": "<= 40"})


def latency_spin(bench):
    with Cluster(bench, **ONE).start() as cluster:
        words = job_of(bench, ONE, "-D", "rask.executor.spin-us=1000")
        tell(bench, "latency, one process, 50 k rows/s, spinning", Latency(bench, cluster, *words), 50000, {"p50": "<= 5"})


def latency_half(bench):
    for where, name, goals in ((TWO, "two processes", {"p50": "<= 100", "p99": "<= 400"}), (ONE, "one process", {})):
        with Cluster(bench, **where).start() as cluster:
            job = Latency(bench, cluster, *job_of(bench, where))
            rate = int(max(job.fastest() for _ in range(2)))
            tell(bench, f"latency, {name}, {rate / 2e6:.3g} M rows/s", job, rate // 2, goals,
                 through_c(bench) if where is TWO else None)


def one_row(bench):
    """One row a second, to each of two sinks."""
    seconds = 10 if bench.quick else 20
    with Cluster(bench, **TWO).start() as cluster:
        got = Latency(bench, cluster, *job_of(bench, TWO))(1, seconds)
    bench.tell(Figure("one row a second, two processes: p99", "us", [got["p99"]], goal="<= 1000"))


def idle_job(bench):
    """CPU time of all processes of a cluster whose one job waits for input."""
    seconds = 10 if bench.quick else 60
    with Cluster(bench).start() as cluster:
        cluster.job("-d", bench.program("jobs/idle.so"))
        time.sleep(2)
        used = cpu_of(cluster, seconds)
    bench.tell(Figure(f"idle cluster with an idle job, over {seconds} s", "% of core", [100 * used / seconds], goal="<= 0.2"))


def cpu_of(cluster, seconds):
    pids = [pid for daemon in cluster.pids().values() for pid in daemon] + cluster.workers()
    before = cpu_seconds(pids)
    time.sleep(seconds)
    return cpu_seconds(pids) - before


def idle_jobs(bench):
    jobs, seconds = (50, 5) if bench.quick else (200, 20)
    with Cluster(bench, slots=jobs, settings=["taskmanager.memory.process.size: 8g"]).start() as cluster:
        for _ in range(jobs):
            cluster.job("-d", bench.program("jobs/idle.so"))
        time.sleep(2)
        workers = cluster.workers()
        if len(workers) != jobs:
            raise Failure(f"{len(workers)} workers run, for {jobs} jobs")
        sizes = [memory_of(pid)[1] for pid in workers]
        used = cpu_of(cluster, seconds)
    bench.tell(Figure(f"{jobs} idle jobs, PSS of a worker", "MiB", sizes, max, goal="<= 4"))
    bench.tell(Figure(f"{jobs} idle jobs, all together", "% of core", [100 * used / seconds], goal="<= 1"))
