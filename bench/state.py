"""State: values updated by key, timers, and what checkpoints do to the stream."""
from harness import Cluster

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
