"""Throughput: rows through a chain, a channel, a shuffle, a keyed sum; words counted."""
import os
import subprocess

from harness import Cluster, Failure, Figure


class Rows:
    """bench/jobs/rows.c on a cluster."""

    def __init__(self, bench, cluster, parallelism, *words):
        self.bench, self.cluster = bench, cluster
        self.parallelism, self.words = str(parallelism), words

    def __call__(self, rows):
        job = self.cluster.job("-p", self.parallelism, self.bench.program("jobs/rows.so"), "--rows", str(rows), *self.words)
        self.last = job
        return *self.cluster.checked(job), self.cluster.seconds(job)

    def enough(self, first, least=0):
        return self.bench.enough(lambda n: self(n)[2], first, least)


def chain(bench, name, goal, maps, fn, way):
    with Cluster(bench).start() as cluster:
        job = Rows(bench, cluster, 1, "--way", "chain", "--maps", str(maps), "--fn", fn)
        bench.versus(name, job, lambda n: bench.c("loop", "--rows", n, "--maps", maps, "--way", way),
                     job.enough(20_000_000), goal, baseline_name=f"C, {way}")


def generate(bench):
    chain(bench, "generator, map, discard, one slot", ">= 0.5 x", 1, "batch", "batches")
    chain(bench, "generator, map, discard, one slot", None, 1, "batch", "fused")


def generate_row(bench):
    chain(bench, "generator, row function, discard, one slot", None, 1, "row", "fused")


def chain10(bench):
    chain(bench, "forward chain of 10 batch functions", None, 10, "batch", "batches")


def chain10_row(bench):
    chain(bench, "forward chain of 10 row functions", None, 10, "row", "fused")


def functions(bench):
    """What a function of a chain costs per row, beyond the same in a loop: from chains of 10 and of none."""
    with Cluster(bench).start() as cluster:
        for fn, goal in (("row", "<= 10"), ("batch", "<= 1")):
            jobs = [Rows(bench, cluster, 1, "--way", "chain", "--maps", n, "--fn", fn) for n in ("0", "10")]
            rows, costs = jobs[1].enough(4_000_000), []
            for _ in range(bench.runs):
                none, ten = (job(rows)[2] for job in jobs)
                loop = [bench.c("loop", "--rows", rows, "--maps", n, "--way", "fused")[2] for n in (0, 10)]
                costs.append(((ten - none) - (loop[1] - loop[0])) / 10 / rows * 1e9)
            bench.tell(Figure(f"a {fn} function beyond a C loop, per row", "ns", costs, goal=goal))


def channel(bench):
    with Cluster(bench).start() as cluster:
        job = Rows(bench, cluster, 1, "--way", "local")
        bench.versus("two tasks, local channel", job, lambda n: bench.c("local", "--rows", n), job.enough(20_000_000),
                     ">= 0.5 x")


def shuffle(bench):
    with Cluster(bench).start() as cluster:
        job = Rows(bench, cluster, 2, "--way", "hash")
        bench.versus("shuffle 2x2, one process", job, lambda n: bench.c("shuffle", "--rows", n), job.enough(20_000_000),
                     ">= 0.4 x")


def received(cluster, job):
    """Rows that subtasks of a job got from another process."""
    return sum(t["metrics"]["remote-read-records"] for v in cluster.get(f"/jobs/{job}")["vertices"]
               for t in cluster.get(f"/jobs/{job}/vertices/{v['id']}")["subtasks"])


def tcp(bench):
    with Cluster(bench, taskmanagers=2, slots=1).start() as cluster:
        job = Rows(bench, cluster, 2, "--way", "cross")
        bench.versus("shuffle 2x2, two workers, all rows over TCP", job, lambda n: bench.c("tcp", "--rows", n),
                     job.enough(10_000_000), ">= 0.35 x")
        rows, got = cluster.checked(job.last)[0], received(cluster, job.last)
        if got < rows:
            raise Failure(f"{rows} rows were to cross between the workers, {got} did")
        keyed = Rows(bench, cluster, 2, "--way", "hash")
        count = keyed.enough(10_000_000)
        bench.tell(Figure("the same by key, half of the rows over TCP", "M rows/s",
                          [count / keyed(count)[2] / 1e6 for _ in range(bench.runs)], max))


def tls(bench):
    """The same shuffle with security.ssl.internal.enabled, against the one in clear."""
    with Cluster(bench, taskmanagers=2, slots=1) as secure, Cluster(bench, taskmanagers=2, slots=1).start() as plain:
        secure.rask("security", "init", "--write-conf")
        secure.start()
        ours, theirs = (Rows(bench, cluster, 2, "--way", "cross") for cluster in (secure, plain))
        bench.versus("shuffle 2x2, two workers, TLS on", ours, theirs, ours.enough(10_000_000), ">= 0.5 x",
                     baseline_name="in clear")


def lz4(bench):
    """The same shuffle with rask.network.compression, against the one without."""
    settings = ["rask.network.compression: lz4"]
    with Cluster(bench, taskmanagers=2, slots=1, settings=settings).start() as packed, \
            Cluster(bench, taskmanagers=2, slots=1).start() as plain:
        ours, theirs = (Rows(bench, cluster, 2, "--way", "cross") for cluster in (packed, plain))
        bench.versus("shuffle 2x2, two workers, LZ4", ours, theirs, ours.enough(10_000_000), None, baseline_name="as it is")


def keyed_sum(bench, keys, name, goal, least, columns=4):
    """4 columns: the key, the sum, and what the key's first row had in the others; 2: the key and the sum."""
    with Cluster(bench, settings=["taskmanager.memory.process.size: 8g"]).start() as cluster:
        job = Rows(bench, cluster, 2, "--way", "sum" if columns == 4 else "pairs", "--keys", str(keys))
        bench.versus(f"keyed sum, {name} keys, {columns} columns", job,
                     lambda n: bench.c("sum", "--keys", keys, "--rows", n, "--columns", columns),
                     job.enough(4_000_000, least), goal)


def sum100(bench):
    keyed_sum(bench, 100, "100", None, 0)
    keyed_sum(bench, 100, "100", None, 0, 2)


def sum1m(bench):
    keyed_sum(bench, 1_000_000, "1 M", ">= 0.5 x", 8_000_000)
    keyed_sum(bench, 1_000_000, "1 M", ">= 0.5 x", 8_000_000, 2)


def sum10m(bench):
    keyed_sum(bench, 10_000_000, "10 M", None, 20_000_000)
    keyed_sum(bench, 10_000_000, "10 M", None, 20_000_000, 2)


def in_turn(bench, jobs, rows, what):
    """{name: seconds of each run} of jobs that have to come to the same result."""
    took = {name: [] for name in jobs}
    for _ in range(bench.runs):
        told = {name: job(rows) for name, job in jobs.items()}
        if len({result[:2] for result in told.values()}) != 1:
            raise Failure(f"{what}: results differ: {told}")
        for name, result in told.items():
            took[name].append(result[2])
    return took


def channels128(bench):
    """C without an engine pays for many channels, too: its rows are parted and handed over as columns and slices, as ours."""
    with Cluster(bench, slots=128, settings=["taskmanager.memory.process.size: 8g"]).start() as cluster:
        jobs = {n: Rows(bench, cluster, 2, "--way", "hash", "--sinks", str(n)) for n in (2, 128)}
        rows = jobs[128].enough(20_000_000)
        c = {f"C {n}": lambda rows, n=n: bench.c("shuffle", "--rows", rows, "--channels", n) for n in (2, 128)}
        took = in_turn(bench, jobs | c, rows, "shuffle to 2 and to 128 channels")
    per_row = {name: [s * 1e9 / rows for s in seconds] for name, seconds in took.items()}
    bench.tell(Figure("shuffle to 128 channels, per row", "ns", per_row[128], min, goal="<= 1.3 x", baseline=per_row[2],
                      baseline_name="2 channels"))
    bench.tell(Figure("the same in C, two threads, per row", "ns", per_row["C 128"], min, baseline=per_row["C 2"],
                      baseline_name="2 channels"))


def parallelism128(bench):
    """Two clusters, as each slot has its part of the memory for state and two of 128 slots would have too little."""
    settings = ["taskmanager.memory.process.size: 8g"]
    with Cluster(bench, slots=2, settings=settings).start() as two, Cluster(bench, slots=128, settings=settings).start() as many:
        jobs = {p: Rows(bench, cluster, p, "--way", "sum", "--keys", "1000000", "--splits", "128")
                for p, cluster in ((2, two), (128, many))}
        took = in_turn(bench, jobs, jobs[2].enough(16_000_000, 8_000_000), "parallelism 2 and 128")
        start = in_turn(bench, jobs, 1000, "parallelism 2 and 128")
    bench.tell(Figure("keyed sum, 1 M keys, parallelism 128", "s", took[128], min, goal="<= 1.3 x", baseline=took[2],
                      baseline_name="p = 2"))
    bench.tell(Figure("of that to start and to end: a job of 1,000 rows", "s", start[128], min, baseline=start[2],
                      baseline_name="p = 2"))


def nexmark(bench, query, goal):
    """Events per second, people and auctions among them."""
    def job(events):
        done = cluster.job("-p", "2", bench.program("jobs/nexmark.so"), "--query", query, "--events", str(events))
        rows, checksum = cluster.checked(done)
        return rows, checksum, cluster.seconds(done)

    with Cluster(bench).start() as cluster:
        bench.versus(f"Nexmark {query}", job, lambda n: bench.c("nexmark", "--query", query, "--events", n),
                     bench.enough(lambda n: job(n)[2], 10_000_000), goal, "M events/s", "C, 2 threads", per_row=False)


def q0(bench):
    nexmark(bench, "q0", None)


def q1(bench):
    nexmark(bench, "q1", None)


def q2(bench):
    nexmark(bench, "q2", ">= 0.5 x")


def wordcount(bench):
    size = 5_000_000 if bench.check else 100_000_000 if bench.quick else 500_000_000
    text = os.path.join(bench.folder, "text")
    with open(text, "wb") as out:
        subprocess.run([bench.program("gen_text"), str(size), "1"], stdout=out, check=True)
    base, job, merged, two = [], {1: [], 2: []}, [], []
    with Cluster(bench).start() as cluster:
        for _ in range(min(bench.runs, 3)):
            words, checksum, seconds = bench.c("wordcount", text)
            base.append(words / seconds / 1e6)
            for p in (1, 2):
                took = count_words(bench, cluster, text, p, {"updates": words, "checksum": checksum})
                job[p].append(words / took / 1e6)
            words, checksum, seconds = bench.c("wordcount", text, "--threads", 2)
            two.append(words / seconds / 1e6)
            took = count_words(bench, cluster, text, 2, {"words": words, "checksum": checksum}, "--merge")
            merged.append(words / took / 1e6)
    os.unlink(text)
    for p in (1, 2):
        bench.tell(Figure(f"word count, one update per word, p = {p}", "M words/s", job[p], max, baseline=base,
                          baseline_name="C, 1 thread"))
    bench.tell(Figure("word count, updates merged per batch, p = 2", "M words/s", merged, max, baseline=two,
                      baseline_name="C, 2 threads"))


def count_words(bench, cluster, text, p, expected, *words):
    """Seconds of the job; the result has to be what the C program counted."""
    job = cluster.job("-p", str(p), bench.program("jobs/wordcount.so"), "--input", text, *words)
    counted = {name: n for name, n in cluster.counted(job).items() if name in expected}
    if counted != expected:
        raise Failure(f"word count at p={p} counted {counted}, and C {expected}")
    return cluster.seconds(job)
