"""State: values updated by key, timers, and what checkpoints do to the stream."""
from harness import Cluster, Failure, Figure

MEMORY = "8g"  # taskmanager.memory.process.size of the figures with much state


def cluster_of(bench, *settings, **where):
    return Cluster(bench, settings=[f"taskmanager.memory.process.size: {MEMORY}", *settings], **where)


def update(bench, keys, name, goal, least):
    """A value in keyed state, by a batch function and by a row function."""
    with cluster_of(bench) as cluster:
        cluster.start()
        for way, text in (("batch", "a batch function"), ("row", "a row function")):
            def job(rows, way=way):
                done = cluster.job("-p", "2", bench.program("jobs/state.so"), "--way", way, "--keys", str(keys), "--rows", str(rows))
                return *cluster.checked(done), cluster.seconds(done)

            bench.versus(f"value of {name} keys, {text}, {MEMORY}", job,
                         lambda n: bench.c("sum", "--keys", keys, "--rows", n, "--columns", 2),
                         bench.enough(lambda n, job=job: job(n)[2], 4_000_000, least), goal)


def update1m(bench):
    update(bench, 1_000_000, "1 M", ">= 0.4 x", 8_000_000)


def update10m(bench):
    update(bench, 10_000_000, "10 M", ">= 0.4 x", 20_000_000)


def on_disk(bench, name, goal, memory, keys, rows, *words):
    """Updates a second of keys drawn evenly, beyond the rows that fill the state first."""
    settings = ["state.backend.type: leveldb", f"taskmanager.memory.managed.size: {memory}"]
    with cluster_of(bench, *settings) as cluster:
        cluster.start()
        if bench.check:
            keys, rows = keys // 20, rows // 20

        def job(n):
            done = cluster.job("-p", "2", bench.program("jobs/state.so"), "--fill", "--keys", str(keys), "--rows", str(n), *words)
            if cluster.checked(done) != bench.c("sum", "--columns", 2, "--fill", 1, "--keys", keys, "--rows", n)[:2]:
                raise Failure(f"{name}: rows and checksum are not those of C")
            return cluster.seconds(done)

        filled, all_of_it = [], []
        for _ in range(1 if bench.quick else 2):
            all_of_it.append(job(rows))
            filled.append(job(keys // 1000))
        # a run that took no longer than the fill says nothing but that the machine was busy with something else
        rates = [rows / (took - min(filled)) / 1e6 for took in all_of_it if took > min(filled)] or [0.0]
        bench.tell(Figure(name, "M rows/s", rates, best=max, goal=goal))


def leveldb(bench):
    """State on disk: all of it in memory, and four times as much as that has room for."""
    on_disk(bench, "leveldb, 1 M keys in memory", ">= 2 M/s", "400m", 1_000_000, 20_000_000, "--way", "batch")
    on_disk(bench, "leveldb, 170 MB in 42 MB, values of 104 bytes", ">= 0.06 M/s", "42m", 1_250_000, 300_000, "--way", "batch", "--wide")
    on_disk(bench, "leveldb, 210 MB in 52 MB, values of 1 KB", ">= 0.065 M/s", "52m", 200_000, 150_000, "--text", "1000")


def timers(bench):
    """Timers in event time: set, and fired at the end of the input."""
    with cluster_of(bench) as cluster:
        cluster.start()
        for keys, text in ((10_000_000, "a key each"), (1_000_000, "ten of a key")):
            def job(rows, keys=keys):
                done = cluster.job("-p", "2", bench.program("jobs/timers.so"), "--timers", str(rows), "--keys", str(keys))
                return *cluster.checked(done), cluster.seconds(done)

            bench.versus(f"timers set and fired, {text}, {MEMORY}", job,
                         lambda n, keys=keys: bench.c("timers", "--timers", n, "--keys", keys),
                         200_000 if bench.check else 10_000_000, ">= 2 M/s", "M timers/s", "C, a heap")
