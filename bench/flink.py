#!/usr/bin/env python3
"""The same jobs on the same events in Rask and in Apache Flink, in turn, in one run: the only place of ratios against Flink.

Installs Flink's own programs by their package (apache-flink-libraries, with pip as this machine has it set up), compiles
the jobs of bench/flink with javac, and starts a session cluster of one JobManager and one TaskManager with two slots
beside Rask's.  Both run at parallelism 2; of Flink's settings (object reuse on or off) the better one counts, after runs
that warm it up.  Every result has to have the same rows and the same checksum over all cells in both and in C.
Exit status 1 after a sentence if Flink cannot be had, a job fails or results differ.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import HOME, Bench, Cluster, Failure, Figure, free_port, run

PACKAGE = "apache-flink-libraries"
# What Flink's own configuration file opens for it on a JDK 17.
EXPORTS = ("java.base/sun.net.util java.rmi/sun.rmi.registry jdk.compiler/com.sun.tools.javac.api"
           " jdk.compiler/com.sun.tools.javac.file jdk.compiler/com.sun.tools.javac.parser"
           " jdk.compiler/com.sun.tools.javac.tree jdk.compiler/com.sun.tools.javac.util java.security.jgss/sun.security.krb5")
OPENS = ("java.lang java.net java.io java.nio sun.nio.ch java.lang.reflect java.text java.time java.util"
         " java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks")
JAVA_OPTIONS = ([f"--add-exports={e}=ALL-UNNAMED" for e in EXPORTS.split()]
                + [f"--add-opens={o if '/' in o else 'java.base/' + o}=ALL-UNNAMED" for o in OPENS.split()])


def java_program(name):
    """java or javac of a JDK 17 or later."""
    path = os.path.join(os.environ["JAVA_HOME"], "bin", name) if os.environ.get("JAVA_HOME") else shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        raise Failure(f"there is no {name}; install a JDK 17 (Debian: openjdk-17-jdk-headless) or set JAVA_HOME")
    return path


def install(build, version):
    """The folder with Flink's lib/; downloaded once, kept in the build folder."""
    home = os.path.join(build, "bench", "flink-" + version)
    if os.path.isdir(home):
        return home
    with tempfile.TemporaryDirectory(dir=os.path.join(build, "bench")) as folder:
        print(f"Downloading {PACKAGE} {version} (230 MB).", file=sys.stderr)
        try:
            run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder,
                 f"{PACKAGE}=={version}"], timeout=900)
        except Failure as why:
            raise Failure(f"Flink cannot be had: pip does not get {PACKAGE} {version} here: {why}") from why
        archive = next(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder, [m for m in tar.getmembers() if "/deps/lib/" in m.name or "/deps/bin/" in m.name])
        os.rename(os.path.join(archive.removesuffix(".tar.gz"), "deps"), home)
    return home


def compile_jobs(home, folder):
    """The jar of our jobs."""
    source = os.path.join(HOME, "bench", "flink")
    classes = os.path.join(folder, "classes")
    run([java_program("javac"), "-nowarn", "-cp", home + "/lib/*", "-d", classes]
        + [os.path.join(source, f) for f in sorted(os.listdir(source)) if f.endswith(".java")])
    services = os.path.join(classes, "META-INF", "services")
    os.makedirs(services)
    with open(services + "/org.apache.flink.table.factories.Factory", "w", encoding="utf-8") as f:
        f.write("rask.bench.NexmarkTable$Events\nrask.bench.NexmarkTable$Checksum\n")
    run([java_program("jar"), "cf", folder + "/jobs.jar", "-C", classes, "."])
    return folder + "/jobs.jar"


class Flink:
    """A session cluster and a driver that submits to it."""

    def __init__(self, home, folder, more=None):
        """more: settings."""
        self.home, self.folder = home, folder
        self.jar = compile_jobs(home, folder)
        self.rest, self.processes = free_port(), []
        self.conf = os.path.join(folder, "conf")
        os.mkdir(self.conf)
        os.mkdir(os.path.join(folder, "tmp"))
        settings = {
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.bind-host": "127.0.0.1", "jobmanager.rpc.port": free_port(),
            "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1", "rest.port": self.rest,
            "rest.bind-port": f'"{self.rest}"', "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": 2, "taskmanager.memory.process.size": "8g",
            "taskmanager.memory.managed.fraction": 0.02, "jobmanager.memory.process.size": "1600m",
            "taskmanager.memory.network.max": "256mb", "io.tmp.dirs": folder + "/tmp", **(more or {})}
        with open(self.conf + "/config.yaml", "w", encoding="utf-8") as f:
            f.writelines(f"{key}: {value}\n" for key, value in settings.items())
        with open(self.conf + "/log4j.properties", "w", encoding="utf-8") as f:
            f.write("rootLogger.level = WARN\nrootLogger.appenderRef.f.ref = F\nappender.f.name = F\nappender.f.type = FILE\n"
                    "appender.f.fileName = ${sys:log.file}\nappender.f.layout.type = PatternLayout\n"
                    "appender.f.layout.pattern = %d %-5p %c{1} - %m%n%throwable\n")
        self.classes = f"{self.conf}:{self.jar}:{home}/lib/*"

    def java(self, name, *words, **options):
        log = [f"-Dlog.file={self.folder}/{name}.log", f"-Dlog4j.configurationFile=file:{self.conf}/log4j.properties"]
        # pylint: disable=consider-using-with
        process = subprocess.Popen([java_program("java"), *JAVA_OPTIONS, *log, "-cp", self.classes, *words], text=True,
                                   stderr=open(f"{self.folder}/{name}.err", "w", encoding="utf-8"), **options)
        self.processes.append(process)
        return process

    def memory(self, what):
        """(JVM options, -D options) that Flink's own script computes."""
        told = run([java_program("java"), "-cp", f"{self.home}/bin/bash-java-utils.jar:{self.home}/lib/*",
                    "org.apache.flink.runtime.util.bash.BashJavaUtils", f"GET_{what}_RESOURCE_PARAMS", "--configDir", self.conf])
        found = [line.split(":", 1)[1].split() for line in told.splitlines() if line.startswith("BASH_JAVA_UTILS_EXEC_RESULT:")]
        if len(found) != 2:
            raise Failure(f"Flink's BashJavaUtils told no memory parameters: {told[-1000:]}")
        return found

    def __enter__(self):
        try:
            for what, main, words in (("JM", "entrypoint.StandaloneSessionClusterEntrypoint", ["--executionMode", "cluster"]),
                                      ("TM", "taskexecutor.TaskManagerRunner", [])):
                jvm, dynamic = self.memory(what)
                self.java(what, *jvm, "org.apache.flink.runtime." + main, "--configDir", self.conf, *words, *dynamic)
            self.wait()
            self.driver = self.java("driver", "-Xmx1g", "rask.bench.Driver", "127.0.0.1", str(self.rest), stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()

    def wait(self):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/overview", timeout=5) as answer:
                    if json.load(answer)["slots-available"] >= 2:
                        return
            if any(p.poll() is not None for p in self.processes):
                break
            time.sleep(0.1)
        raise Failure("Flink's cluster does not start: " + self.last_words())

    def last_words(self):
        said = ""
        for name in ("JM.err", "TM.err", "JM.log", "TM.log", "driver.err", "driver.log"):
            with contextlib.suppress(OSError):
                with open(f"{self.folder}/{name}", encoding="utf-8", errors="replace") as f:
                    said += f"\n{name}: " + f.read()[-600:]
        return said

    def job(self, line):
        """(rows, checksum, seconds), and of state (..., rows a second beyond the fill)"""
        self.driver.stdin.write(line + "\n")
        self.driver.stdin.flush()
        told = self.driver.stdout.readline().strip()
        if not told.startswith("rows="):
            raise Failure(f"Flink's {line}: {told or 'the driver ended'}{self.last_words()}")
        fields = dict(part.split("=") for part in told.split())
        return int(fields["rows"]), int(fields["checksum"]), *(float(fields[f]) for f in ("seconds", "beyond") if f in fields)


class Comparison:
    def __init__(self, bench, flink, cluster):
        self.bench, self.flink, self.cluster = bench, flink, cluster
        self.runs = 2 if bench.quick else 3

    def rask(self, job, *words):
        done = self.cluster.job("-p", "2", self.bench.program(f"jobs/{job}.so"), *words)
        if job == "wordcount":
            n = self.cluster.counted(done)
            return n.get("words", n["updates"]), n["checksum"], self.cluster.seconds(done)
        return *self.cluster.checked(done), self.cluster.seconds(done)

    def __call__(self, name, count, unit, rask, c, forms, goal=None):
        """rask(), c(): (rows, checksum, seconds).  forms: {how the job is written in Flink: its line}, the first is what
        the goal is about; count: what a run handles, None: the rows that come out."""
        expected = c()
        lines = {form: self.better(line, expected) for form, line in forms.items()}
        ours, theirs = [], {form: [] for form in forms}
        for _ in range(self.runs):
            got = rask()
            self.same(name + " in Rask", got, expected)
            ours.append((count or got[0]) / got[2] / 1e6)
            for form, line in lines.items():
                got = self.flink.job(line)
                self.same(f"{name} in Flink, {form}", got, expected)
                theirs[form].append((count or got[0]) / got[2] / 1e6)
        for i, form in enumerate(forms):
            self.bench.tell(Figure(f"{name}; {form}", unit, ours, max, goal=None if i else goal, baseline=theirs[form],
                                   baseline_name="Flink"))

    def words(self, text):
        """Word count with an update per word, and with updates merged, of which the last ones are compared.  Both are held
        against Flink's update per word, and the merged one against a query with mini-batches, too."""
        expected, last = self.bench.c("wordcount", text), self.bench.c("wordcount", text, "--threads", 2)
        line, merged_line = self.better(f"wordcount file={text}", expected), self.better(f"mergedwordcount file={text}", last)
        jobs = {"Rask": (lambda: self.rask("wordcount", "--input", text), expected),
                "Rask, merged": (lambda: self.rask("wordcount", "--input", text, "--merge"), last),
                "Flink": (lambda: self.flink.job(line), expected),
                "Flink, merged": (lambda: self.flink.job(merged_line), last)}
        told = {name: [] for name in jobs}
        for _ in range(self.runs):
            for name, (job, right) in jobs.items():
                got = job()
                self.same("word count, " + name, got, right)
                told[name].append(expected[0] / got[2] / 1e6)
        for name, ours, theirs, goal in (("one update per word; DataStream", "Rask", "Flink", ">= 18 x"),
                                         ("updates merged; DataStream", "Rask, merged", "Flink", ">= 28 x"),
                                         ("updates merged; SQL, mini-batch", "Rask, merged", "Flink, merged", None)):
            self.bench.tell(Figure(f"word count, {name}", "M words/s", told[ours], max, goal=goal, baseline=told[theirs],
                                   baseline_name="Flink"))

    def better(self, line, expected, rounds=2):
        """With object reuse or without, after a run of each to warm up."""
        took = {}
        for _ in range(rounds):
            for reuse in (1, 0):
                got = self.flink.job(f"{line} reuse={reuse}")
                self.same(f"Flink's {line} reuse={reuse}", got, expected)
                took[f"{line} reuse={reuse}"] = got[2]
        return min(took, key=took.get)

    @staticmethod
    def same(what, got, expected):
        if got[:2] != expected[:2]:
            raise Failure(f"{what}: rows {got[0]} checksum {got[1]:#x}, in C {expected[0]} {expected[1]:#x}")


# With its default of 64 MB RocksDB would flush all the time in so little memory, as Flink warns.
ROCKSDB = {"state.backend.rocksdb.writebuffer.size": "4mb"}


def on_disk(bench, home):
    """A value of keyed state read, changed and written: RocksDB and LevelDB with the same managed memory, which holds a
    quarter of the state. Rates are those of the rows beyond the fill, each subtask's since its last new key, so that one run
    tells. Of Flink's object reuse both are measured with the larger values, the better one with the smaller."""
    managed = {"taskmanager.memory.managed.size": "52m"}
    ours = [f"{key}: {value}" for key, value in managed.items()]
    with Flink(home, tempfile.mkdtemp(dir=bench.folder), {**managed, **ROCKSDB}) as flink, \
            Cluster(bench, settings=["taskmanager.memory.process.size: 8g", "state.backend.type: leveldb", *ours]).start() as cluster:
        with_flink = Comparison(bench, flink, cluster)
        settings = [1, 0]
        for text, keys, rows in ((1000, 200_000, 150_000), (92, 1_500_000, 150_000)):
            rates, theirs, expected = [], [], expected_on_disk(bench, keys, rows)
            for reuse in settings:
                rates.append(rask_on_disk(cluster, expected, text, keys, rows) / 1e6)
                got = flink.job(f"state rows={rows} keys={keys} text={text} reuse={reuse}")
                with_flink.same("state on disk in Flink", got, expected)
                theirs.append(got[3] / 1e6)
            settings = [settings[theirs.index(max(theirs))]]
            bench.tell(Figure(f"state 4 x 52 MB, values of {text + 8} bytes; RocksDB", "M rows/s", rates, max, goal=">= 1 x",
                              baseline=theirs, baseline_name="Flink"))


def rask_on_disk(cluster, expected, text, keys, rows):
    job = cluster.job("-p", "2", cluster.bench.program("jobs/state.so"), "--fill", "--keys", str(keys), "--rows", str(rows),
                      "--text", str(text))
    Comparison.same("state on disk in Rask", cluster.checked(job), expected)
    return cluster.counted(job)["beyond"]


def expected_on_disk(bench, keys, rows):
    return bench.c("sum", "--columns", 2, "--fill", 1, "--keys", keys, "--rows", rows)


def compare(bench, home, only):
    events = 8_000_000 if bench.quick else 30_000_000
    rows, shuffled = (4_000_000, 8_000_000) if bench.quick else (16_000_000, 30_000_000)
    with Flink(home, tempfile.mkdtemp(dir=bench.folder)) as flink, \
            Cluster(bench, settings=["taskmanager.memory.process.size: 8g"]).start() as cluster:
        with_flink = Comparison(bench, flink, cluster)
        for query in ("q0", "q1", "q2"):
            if query in only:
                with_flink(f"Nexmark {query}", events, "M events/s",
                           lambda q=query: with_flink.rask("nexmark", "--query", q, "--events", str(events)),
                           lambda q=query: bench.c("nexmark", "--query", q, "--events", events),
                           {"Flink SQL": f"{query} form=sql events={events}",
                            "DataStream, needed columns": f"{query} form=stream events={events}"},
                           None if query == "q2" else ">= 10 x")
        if "wordcount" in only:
            text = os.path.join(bench.folder, "text")
            with open(text, "wb") as out:
                subprocess.run([bench.program("gen_text"), "50000000" if bench.quick else "250000000", "1"], stdout=out,
                               check=True)
            with_flink.words(text)
        if "sum1m" in only:
            with_flink("keyed sum, 1 M keys", None, "M rows/s",
                       lambda: with_flink.rask("rows", "--way", "sum", "--keys", "1000000", "--rows", str(rows)),
                       lambda: bench.c("sum", "--keys", 1000000, "--rows", rows),
                       {"DataStream": f"sum rows={rows} keys=1000000"})
        if "shuffle" in only:
            with_flink("shuffle 2x2, one process", None, "M rows/s",
                       lambda: with_flink.rask("rows", "--way", "hash", "--rows", str(shuffled)),
                       lambda: bench.c("shuffle", "--rows", shuffled), {"DataStream": f"shuffle rows={shuffled}"})


NAMES = ("q0", "q1", "q2", "wordcount", "sum1m", "shuffle", "rocksdb")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--build", default=HOME + "/build")
    options.add_argument("--version", default="1.20.1", help="of Flink")
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default=",".join(NAMES), help="of " + ",".join(NAMES))
    args = options.parse_args()
    only = args.only.split(",")
    if not set(only) <= set(NAMES):
        options.error(f"--only: of {','.join(NAMES)}")
    figures = []

    def tell(figure):
        figures.append(figure)
        if not args.json:
            print(figure.line(), flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = install(os.path.abspath(args.build), args.version)
    with tempfile.TemporaryDirectory(prefix="rask-bench.") as folder:
        bench = Bench(args.build, folder, args.quick, tell)
        if not args.json:
            print(f"Flink {args.version}, {PACKAGE}; round trip between the cores {float(run([bench.program('pingpong')])):.0f} ns")
            print(Figure.HEAD)
        if set(only) - {"rocksdb"}:
            compare(bench, home, only)
        if "rocksdb" in only:
            on_disk(bench, home)
    if args.json:
        json.dump([f.object() for f in figures], sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench-flink: {why}")
