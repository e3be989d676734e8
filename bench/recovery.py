"""How long nothing comes out when a TaskManager is killed and another one has free slots."""
import os
import signal
import time

from harness import HOME, Cluster, Failure, Figure, run


def recovery(bench):
    measure(bench, "113 MB", 1_000_000, "1728m", "<= 500")


def recovery1g(bench):
    measure(bench, "1 GiB", 9_500_000, "6g", "<= 3000")


def measure(bench, size, keys, process_size, goal):
    times = [kill_one(bench, keys, process_size) for _ in range(1 if bench.check else 3)]
    bench.tell(Figure(f"kill -9 of a TaskManager with a spare one, {size}: output again", "ms",
                      [t for t, _ in times], goal=goal))
    bench.tell(Figure("    state in the checkpoint", "MB", [b / 1e6 for _, b in times]))


def kill_one(bench, keys, process_size):
    """(ms from the kill to the first new row, bytes of the checkpoint that it came from)"""
    settings = [f"taskmanager.memory.process.size: {process_size}", "taskmanager.memory.managed.fraction: 0.7",
                "execution.checkpointing.interval: 1 h", "execution.checkpointing.timeout: 2 min"]
    with Cluster(bench, slots=2, settings=settings) as cluster:
        cluster.start()
        stamps = cluster.folder + "/stamps"
        job = cluster.job("-d", "-p", "2", bench.program("jobs/recovery.so"), "--keys", str(keys), "--stamps", stamps)
        until(lambda: newest(stamps)[2] > keys, 120, "the state is not there")
        victim = cluster.pids()["taskmanager"][0]
        run([HOME + "/scripts/taskmanager.sh", "start"], env=cluster.env)
        until(lambda: cluster.get("/overview")["taskmanagers"] == 2, 10, "the spare TaskManager did not come")
        cluster.rask("checkpoint", job)
        until(lambda: completed(cluster, job), 10, "no checkpoint is complete")
        done = completed(cluster, job)
        before = newest(stamps)[2]
        until(lambda: newest(stamps)[2] > before, 10, "nothing came out after the checkpoint")
        killed = time.time()
        os.kill(victim, signal.SIGKILL)
        until(lambda: newest(stamps)[0] > 0, 120, "nothing came out after the kill")
        first = next(at for attempt, at, _ in lines_of(stamps) if attempt > 0)
        cluster.rask("cancel", job)
        return (first / 1e6 - killed) * 1e3, done["state_size"]


def completed(cluster, job):
    return cluster.get(f"/jobs/{job}/checkpoints")["latest"]["completed"]


def lines_of(path):
    with open(path, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if len(words) == 3 and line.endswith("\n"):
                yield tuple(int(w) for w in words)


def newest(path):
    """The last whole line; zeros before there is one."""
    if not os.path.exists(path):
        return (0, 0, 0)
    with open(path, "rb") as f:
        f.seek(max(os.path.getsize(path) - 200, 0))
        lines = [line for line in f.read().split(b"\n")[:-1] if len(line.split()) == 3]
    return tuple(int(w) for w in lines[-1].split()) if lines else (0, 0, 0)


def until(what, seconds, otherwise):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise Failure(f"{otherwise} within {seconds} s")
        time.sleep(0.005)
