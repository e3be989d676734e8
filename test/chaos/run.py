"""One run of the checker: a job in one mode, its faults, and what its output has to be."""
import glob
import os
import random
import re
import shutil
import time
from collections import Counter

from faults import BEFORE_COMPLETION, MOMENTS, Faults
from world import Failure

LINES, TAIL = 24000, 22000  # TAIL: as in numbered.c
MODES = ["aligned", "unaligned", "incremental", "leveldb", "rescale"]
ENDED = ("FINISHED", "FAILED", "CANCELED")


def line(n):
    """Long lines make batches of few rows: a barrier waits for the rows of a batch."""
    return f"{n}," + "." * (500 if n <= TAIL else 8000) + "\n"


def write_inputs(top):
    """A file, and a folder of files; each holds 1 .. LINES."""
    os.makedirs(top + "/many")
    with open(top + "/one.txt", "w", encoding="ascii") as f:
        f.write("".join(line(i) for i in range(1, LINES + 1)))
    for part in range(8):
        with open(f"{top}/many/{part}.txt", "w", encoding="ascii") as f:
            f.write("".join(line(i) for i in range(part + 1, LINES + 1, 8)))


class Run(Faults):
    def __init__(self, cluster, pg, seed, mode, top):
        self.c, self.pg, self.seed, self.mode, self.top = cluster, pg, seed, mode, top
        self.rnd = random.Random(f"{mode} {seed}")
        self.undone = []
        self.done, self.jobs, self.job, self.looked, self.restarts, self.resumed, self.base = [], [], None, 0, 0, 0, None
        self.out, self.table, self.hurry = f"{cluster.disk.path}/out-{seed}", f"counts_{seed}", f"{cluster.top}/hurry-{seed}"
        self.regions = self.rnd.choice([1, 1, 2])
        self.keys = 5000 if mode in ("incremental", "leveldb") or self.rnd.random() < 0.2 else 7
        self.settings, self.args = [], []
        self.draw()

    def draw(self):
        rnd, settings = self.rnd, {}
        if self.mode == "leveldb" or self.mode == "rescale" and rnd.random() < 0.3:
            settings["state.backend.type"] = "leveldb"
        if self.mode in ("unaligned", "rescale") and "unaligned" in MODES and (self.mode == "unaligned" or rnd.random() < 0.5):
            settings["execution.checkpointing.unaligned.enabled"] = "true"
            if rnd.random() < 0.4:
                settings["execution.checkpointing.aligned-checkpoint-timeout"] = rnd.choice(["10 ms", "100 ms"])
        if rnd.random() < 0.2 and "execution.checkpointing.unaligned.enabled" not in settings:
            settings["execution.checkpointing.max-concurrent-checkpoints"] = "2"
        if rnd.random() < 0.2:
            settings["execution.checkpointing.num-retained"] = "2"
        if rnd.random() < 0.5:
            settings["execution.state-recovery.from-local"] = "true"
        self.settings = [x for key, value in settings.items() for x in ("-D", f"{key}={value}")]
        slow = self.mode == "unaligned" or rnd.random() < 0.3
        self.args = ["--input", self.top + rnd.choice(["/one.txt", "/many"]), "--keys", str(self.keys), "--regions", str(self.regions),
                     "--hurry", self.hurry, "--pause", "1" if slow else "200", "--count-pause", "40" if slow else "0"]
        if rnd.random() < 0.4:
            self.args.append("--csv")
        if rnd.random() < 0.5:
            self.args.append("--long-parts")
        if rnd.random() < 0.4:
            self.args.append("--shuffle")
        if self.mode == "leveldb":
            self.args.append("--wide")

    def parallelism(self, before=0):
        return self.rnd.choice([p for p in (1, 2, 2, 3, 3) if p != before])

    def note(self, text):
        """For who reads the logs of a run that failed."""
        with open(self.c.top + "/log/driver.log", "a", encoding="utf-8") as f:
            now = time.time()
            f.write(time.strftime("%H:%M:%S", time.localtime(now)) + f",{int(now * 1000) % 1000:03d} {self.seed}: {text}\n")

    # ---- the job ----

    def submit(self, parallelism, *more):
        run = self.c.rask("run", "-d", "-p", str(parallelism), *more, *self.settings, self.top + "/numbered.so", *self.args, "--output", self.out,
                          "--conninfo", self.pg.conninfo, "--table", self.table)
        said = run.communicate()[0]
        found = re.search(r"JobID ([0-9a-f]{32})", said)
        if not found:
            raise Failure("not taken: " + said)
        self.job = found.group(1)
        self.jobs.append(self.job)
        self.note(f"job {self.job} at parallelism {parallelism} {' '.join(more)}")

    def state(self):
        try:
            return self.c.get(f"/jobs/{self.job}")["state"]
        except OSError:
            return "UNKNOWN"

    def over(self):
        if time.monotonic() - self.looked < 0.2:
            return False
        self.looked = time.monotonic()
        return self.state() in ENDED

    def failed(self):
        if self.state() in ("FAILED", "CANCELED"):
            history = self.c.get(f"/jobs/{self.job}/exceptions")
            raise Failure("the job FAILED: " + str(history)[:900])
        return False

    def count_restarts(self):
        metric = self.c.get(f"/jobs/{self.job}/metrics?get=numRestarts")
        self.restarts += int(metric[0]["value"]) if metric else 0

    # ---- harm ----

    def moment(self, phase):
        """Holds a process at this phase.  0: at no moment in particular; None: it did not come, or the job is over."""
        if not MOMENTS[phase]:
            time.sleep(self.rnd.random() * 0.2)
            return None if self.over() else 0
        call, text = self.rnd.choice(MOMENTS[phase])
        self.c.page.set_trap(call, text, self.rnd.randint(1, 3))
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if self.c.page.fired():
                return self.c.page.fired()
            if self.over():
                break
            time.sleep(0.0005)
        self.c.page.disarm()
        self.note(f"no {phase}: {call} {text}")
        return self.c.page.fired() or None

    def harm(self, phase, kind):
        """False: the moment did not come."""
        held = self.moment(phase)
        if held is None:
            return False
        fault = kind(held)
        try:
            next(fault)
        finally:
            self.c.page.go()
        self.done.append((phase, kind.__name__))
        self.note(f"{kind.__name__} at {phase} of {held}")
        for _ in fault:
            pass
        self.note("over")
        return True

    def draw_fault(self, nth):
        """At least one between barrier and completion, and one that ends workers."""
        phase, kind = self.rnd.choice(list(MOMENTS)), self.rnd.choice(self.kinds())
        if nth == 0 or (nth > 1 and not any(p in BEFORE_COMPLETION for p, _ in self.done)):
            phase = self.rnd.choice([p for p in BEFORE_COMPLETION if p != "files" or self.keys > 7])
        if nth == 1:
            kind = self.rnd.choice([self.kill_worker, self.kill_workers, self.kill_taskmanager])
        if phase == "restore" and not self.done:
            phase = "barrier"
        if phase == "files" and self.keys == 7:
            phase = "barrier"
        return phase, kind

    def cause_trouble(self, n):
        missed = 0
        nth = len(self.done)
        while n > 0 and missed < 4 and not self.over():
            phase, kind = self.draw_fault(nth)
            if phase == "restore":  # comes only behind another one
                for _ in self.kill_worker(0):
                    pass
            if self.harm(phase, kind):
                n, nth = n - 1, nth + 1
            else:
                missed += 1

    # ---- another parallelism ----

    def latest(self):
        """The latest complete checkpoint of the job, or the savepoint that was to stop it if that is younger, or what it began with."""
        found = glob.glob(f"{self.c.ckpt}/{self.job}/chk-*/_metadata") + glob.glob(f"{self.c.save}/savepoint-{self.job[:6]}-*/_metadata")
        return os.path.dirname(max(found, key=os.path.getmtime)) if found else self.base

    def stop_with_savepoint(self):
        stop = self.c.rask("stop", self.job)
        if self.rnd.random() < 0.5:  # and something goes wrong meanwhile
            self.harm(*self.draw_fault(2))
        try:
            said = stop.communicate(timeout=20)[0]
        except Exception:
            stop.kill()
            raise Failure("`rask stop` did not return") from None
        found = re.search(r"Path: file:(\S+)", said)
        self.note(f"rask stop: {said.strip()[-300:]}")
        if "failed before it had stopped" in said:  # it went on, and its end is not that of a stop
            self.undone += re.findall(r'the savepoint "([^"]+)"', said)
        return bool(found), found.group(1) if found else None

    def stopped_after_all(self):
        """The savepoint of a `rask stop` that had failed to hear of its success."""
        found = [p for p in glob.glob(f"{self.c.save}/savepoint-{self.job[:6]}-*") if os.path.exists(p + "/_metadata") and p not in self.undone]
        return max(found, key=os.path.getmtime) if found else None

    def cancel(self):
        cancel = self.c.rask("cancel", self.job)
        cancel.communicate()
        self.c.wait("the job was not canceled", lambda: self.state() in ENDED, 20)
        return self.state() == "CANCELED", self.latest()

    def kill_jobmanager(self):
        """The job is gone with it: it goes on from its latest checkpoint."""
        phase = self.rnd.choice([p for p in MOMENTS if p not in ("restore", "files")])
        held = self.moment(phase)
        self.c.processes["jm"].kill()
        self.c.processes["jm"].wait()
        self.c.page.go()
        if held is not None:
            self.done.append((phase, "kill_jobmanager"))
        self.c.start("jm")
        self.c.ready()
        self.unmark()
        return True, self.latest()

    def marks(self):
        return glob.glob(f"{self.c.ckpt}/*/_claimed-*") + glob.glob(f"{self.c.save}/*/_claimed-*")

    def unmark(self):
        """All jobs were lost with their JobManager: nobody needs what they had claimed any more (docs/savepoints.md)."""
        for mark in self.marks():
            try:
                os.unlink(mark)
            except OSError as e:  # the folder cannot be written now
                self.note(f"the mark stays: {e}")

    # Each of the three returns whether the job stopped, and where the next one begins; None: with nothing.

    def rescale(self, parallelism):
        """Returns the new parallelism, or None: the job is over, or did not stop."""
        how = self.rnd.choice([self.stop_with_savepoint, self.cancel, self.kill_jobmanager, self.kill_jobmanager])
        if how != self.kill_jobmanager:
            self.count_restarts()
        stopped, path = how()
        if not stopped:
            return parallelism if self.state() not in ENDED else None
        parallelism = self.parallelism(parallelism)
        self.base = path
        mode = self.rnd.choice(["claim", "no_claim"])
        if how == self.kill_jobmanager and self.marks():
            mode = "no_claim"  # they could not be removed
        self.submit(parallelism, *(["-s", path, "-cm", mode] if path else []))
        self.resumed += 1
        return parallelism

    # ---- a run ----

    def go(self):
        for table in self.tables():
            self.pg.sql(f"CREATE TABLE {table} (key bigint, count bigint, n bigint)")
        parallelism = self.parallelism()
        self.submit(parallelism)
        if self.mode == "rescale":
            for _ in range(self.rnd.randint(2, 3)):
                self.cause_trouble(self.rnd.randint(0, 2))
                if self.over() or parallelism is None:
                    break
                parallelism = self.rescale(parallelism)
        if parallelism is not None:
            self.cause_trouble(max(3 - len(self.done), 1 if self.mode == "rescale" else self.rnd.randint(3, 5)))
        self.note("hurry")
        with open(self.hurry, "w", encoding="ascii"):
            pass
        self.finish()
        while self.stopped_after_all():
            self.base = self.stopped_after_all()
            self.submit(self.parallelism(), "-s", self.base)
            self.finish()
        self.note("it has finished")
        self.count_restarts()
        self.check()
        self.note("checked")

    def finish(self):
        self.c.wait(f"the job did not finish, it is {self.state()}", lambda: self.state() == "FINISHED" or self.failed(), 60)

    # ---- its end ----

    def outputs(self):
        return [self.out] + ([self.out + "-2"] if self.regions > 1 else [])

    def tables(self):
        return [self.table] + ([self.table + "_2"] if self.regions > 1 else [])

    def check(self):
        expected, numbers = [], [str(i) for i in range(1, LINES + 1)]
        counts = Counter()
        for i in range(1, LINES + 1):
            counts[i % self.keys] += 1
            expected.append(f"{i % self.keys},{counts[i % self.keys]}")
        for folder in self.outputs():
            rows = []
            for path in glob.glob(folder + "/part-*"):
                with open(path, encoding="ascii") as f:
                    rows += f.read().split()
            compare("part files of " + os.path.basename(folder), rows, expected, numbers)
        for table in self.tables():
            compare("table " + table, self.pg.sql(f"SELECT key || ',' || count || ',' || n FROM {table}").split(), expected, numbers)
        self.check_transactions()
        for table in self.tables():
            self.pg.sql(f"DROP TABLE {table}")
        for folder in self.outputs() + glob.glob(self.c.ckpt + "/*") + glob.glob(self.c.save + "/*"):
            shutil.rmtree(folder, ignore_errors=True)
        os.unlink(self.hurry)

    def check_transactions(self):
        """None is left of the job that finished.  A job that died with its JobManager, or was canceled, may leave some."""
        left = self.pg.sql("SELECT gid FROM pg_prepared_xacts").split()
        for gid in left:
            if gid.startswith(f"rask:{self.job}:"):
                raise Failure(f"{len(left)} prepared transactions are left: {gid}")
            self.pg.sql(f"ROLLBACK PREPARED '{gid}'")

    def counts(self):
        return (len(self.done) >= 3 and self.restarts + self.resumed >= 1 and any(p in BEFORE_COMPLETION for p, _ in self.done))

    def story(self):
        more = " ".join(self.settings[1::2] + [a for a in self.args if a in ("--csv", "--shuffle", "--long-parts")])
        return ", ".join(f"{f} at {p}" for p, f in self.done) + f"; {self.restarts} restarts, {len(self.jobs)} jobs, " + \
            f"{self.regions} regions, {self.keys} keys {more}"


def compare(where, rows, expected, numbers):
    """rows: key,count,number; each count once, and each number once."""
    for what, a, b in (("counts", expected, [r.rsplit(",", 1)[0] for r in rows]), ("numbers", numbers, [r.rsplit(",", 1)[-1] for r in rows])):
        a, b = Counter(a), Counter(b)
        if a != b:
            raise Failure(f"{where}: {sum((a - b).values())} {what} are missing ({list(a - b)[:3]}), "
                          f"{sum((b - a).values())} too many ({list(b - a)[:3]})")
