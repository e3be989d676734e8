"""What is not throughput: the machine, start, submission, memory, what jobs leave behind, size."""
import os
import shutil
import tempfile
import threading
import time

from harness import HOME, Cluster, Figure, memory_of, run


def cores(bench):
    bench.tell(Figure("round trip between two cores", "ns", [float(run([bench.program("pingpong")])) for _ in range(3)], min))


def some_text(bench, lines):
    """A file of the first lines of the example's log."""
    path = os.path.join(bench.folder, f"lines-{lines}")
    with open(HOME + "/examples/data/access.log", "rb") as log, open(path, "wb") as out:
        out.writelines(line for line, _ in zip(log, range(lines)))
    return path


def endless(bench, cluster):
    """Submits the job that never ends; returns its id."""
    return cluster.job("-d", bench.program("jobs/endless.so"))


def start(bench):
    registered, first = [], []
    for _ in range(5 if bench.quick else 15):
        with Cluster(bench) as cluster:
            begin = time.time()
            seen = []
            watch = threading.Thread(target=watch_registration, args=(cluster, seen))
            watch.start()
            cluster.start()
            job = endless(bench, cluster)
            watch.join()
            registered.append((seen[0] - begin) * 1e3)
            first.append((cluster.running_since(job)[0] - begin) * 1e3)
            cluster.rask("cancel", job)
    bench.tell(Figure("start-cluster.sh to TaskManager registered", "ms", registered, goal="<= 100"))
    bench.tell(Figure("start-cluster.sh to first task running", "ms", first, goal="<= 200"))


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


def submit(bench):
    times = []
    with Cluster(bench).start() as cluster:
        for i in range(10 if bench.quick else 30):
            begin = time.time()
            job = endless(bench, cluster)
            since = cluster.running_since(job)[-1]
            if i > 0:
                times.append((since - begin) * 1e3)
            cluster.rask("cancel", job)
            cluster.wait_for_slots()
    bench.tell(Figure("rask run of a ready .so to RUNNING", "ms", times, goal="<= 50"))


def idle(bench):
    with Cluster(bench).start() as cluster:
        time.sleep(2)
        for daemon in ("jobmanager", "taskmanager"):
            rss, pss = memory_of(cluster.pids()[daemon][0])
            bench.tell(Figure(f"idle {daemon}, RSS", "MiB", [rss], goal="<= 16"))
            bench.tell(Figure(f"idle {daemon}, PSS", "MiB", [pss]))


def embedded(bench):
    lines = some_text(bench, 10)
    cache = tempfile.mkdtemp(dir=bench.folder)
    env = dict(os.environ, XDG_CACHE_HOME=cache)
    cold, warm = [], []
    words = [bench.build + "/bin/rask", "run", "--target", "local", HOME + "/examples/wordcount.c", "--input", lines]
    for _ in range(5 if bench.quick else 15):
        shutil.rmtree(cache)
        os.mkdir(cache)
        for times in (cold, warm):
            begin = time.monotonic()
            run(words, env=env)
            times.append((time.monotonic() - begin) * 1e3)
    bench.tell(Figure("rask run wordcount.c --target local, cold", "ms", cold, goal="<= 300"))
    bench.tell(Figure("rask run wordcount.c --target local, warm", "ms", warm, goal="<= 30"))


def leaks(bench):
    before, jobs = (30, 100) if bench.quick else (100, 1000)
    told = run([HOME + "/bench/leaks.sh", str(before), str(jobs)],
               env=dict(os.environ, RASK_BUILD=bench.build, TMPDIR=bench.folder))
    for line in told.splitlines():
        name, value, unit = line.rsplit(" ", 2)
        goal = {"MiB": "<= 1", "ms/job": None}.get(unit, "0")
        bench.tell(Figure(f"{jobs} jobs: {name}", unit, [float(value)], goal=goal))


def size(bench):
    folder = tempfile.mkdtemp(dir=bench.folder)
    run(["make", "-s", "-C", HOME, "install", f"DESTDIR={folder}/", "PREFIX=rask"])
    total = sum(os.lstat(os.path.join(path, name)).st_size for path, _, names in os.walk(folder) for name in names)
    bench.tell(Figure("installed", "MB", [total / 1e6], goal="<= 10"))
