#!/usr/bin/env python3
"""The exactly-once checker: a job counts numbered lines per key and writes every count through two-phase sinks (part files, and
tables of a real PostgreSQL), while workers, TaskManagers and folders come to harm at moments drawn from a seed and tied to what
checkpoints do.  At the end the output has to be the input's image.  See README.md.

    test/chaos/chaos.py --build build [--runs N] [--seed S] [--keep]

A run counts only with 3 faults, a restart, and a fault between barrier and completion.  Prints a line per run, then the faults by
phase, then "N passed, N failed".
"""
import argparse
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

PHASES = ["trigger", "files", "metadata", "complete", "run"]
LINES, KEYS = 24000, 7


class Cluster:
    def __init__(self, build, top, conninfo_dir):
        self.build, self.top, self.pg = build, top, conninfo_dir
        self.rest, self.rpc = free_port(), free_port()
        self.ckpt = top + "/ckpt"
        self.processes, self.starts = {}, 0
        for folder in ("conf", "log", "tmp", "ckpt"):
            os.makedirs(f"{top}/{folder}")
        with open(top + "/conf/rask-conf.yaml", "w") as f:
            f.write(f"""rest.port: {self.rest}
jobmanager.rpc.port: {self.rpc}
taskmanager.numberOfTaskSlots: 2
taskmanager.memory.process.size: 256m
heartbeat.timeout: 2 s
heartbeat.interval: 300 ms
io.tmp.dirs: '{top}/tmp'
env.log.dir: '{top}/log'
execution.checkpointing.dir: file://{self.ckpt}
execution.checkpointing.interval: 150 ms
execution.checkpointing.timeout: 3 s
execution.checkpointing.tolerable-failed-checkpoints: 1000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 1000
restart-strategy.fixed-delay.delay: 100 ms
""")
        self.env = dict(os.environ, RASK_CONF_DIR=top + "/conf")
        self.env.pop("RASK_LOG_DIR", None)

    def start(self, name, program):
        self.starts += 1
        log = f"{self.top}/log/{name}-{self.starts}.log"
        self.processes[name] = subprocess.Popen([f"{self.build}/bin/{program}", "--log", log], env=self.env,
                                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=5) as answer:
            return json.load(answer)

    def wait(self, what, condition, seconds=40):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise Failure(f"in {seconds} s {what}")

    def taskmanagers(self):
        return [name for name in self.processes if name.startswith("tm")]

    def workers(self, name):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.processes[name].pid)], stdout=subprocess.PIPE, text=True).stdout
        return [int(pid) for pid in out.split()]

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Failure(Exception):
    pass


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tell(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


class Run:
    def __init__(self, cluster, seed, job_so, lines):
        self.c, self.rnd, self.seed, self.job_so, self.lines = cluster, random.Random(seed), seed, job_so, lines
        self.phases, self.faults, self.job = [], [], None
        self.out = f"{cluster.top}/out-{seed}"
        self.table = f"counts_{seed}"

    # ---- moments ----

    def entries(self):
        """Files of the job's checkpoints that are there now."""
        found = set()
        for path in glob.glob(f"{self.c.ckpt}/{self.job}/**", recursive=True):
            found.add(path)
        return found

    def moment(self, phase):
        """Returns when a checkpoint that begins from now on has come to this phase; False: the job is over."""
        before, end = self.entries(), time.monotonic() + 3
        wanted = {"trigger": r"/chk-\d+$", "files": r"\.state$", "metadata": r"_metadata", "complete": r"/_metadata$"}
        if phase == "run":
            time.sleep(self.rnd.random() * 0.2)
            return True
        while time.monotonic() < end:
            for path in self.entries() - before:
                if re.search(wanted[phase], path):
                    return True
            time.sleep(0.0005)
            if self.over():
                return False
        return True

    def over(self):
        now = time.monotonic()
        if now - getattr(self, "looked", 0) < 0.1:
            return False
        self.looked = now
        return self.state() not in ("RUNNING", "RESTARTING", "CREATED")

    def state(self):
        return self.c.get(f"/jobs/{self.job}")["state"]

    # ---- faults ----

    def kill_worker(self):
        pids = [pid for tm in self.c.taskmanagers() for pid in self.c.workers(tm)]
        if pids:
            tell(self.rnd.choice(pids), signal.SIGKILL)

    def kill_workers(self):
        for pid in [pid for tm in self.c.taskmanagers() for pid in self.c.workers(tm)]:
            tell(pid, signal.SIGKILL)

    def stop_worker(self):
        pids = [pid for tm in self.c.taskmanagers() for pid in self.c.workers(tm)]
        if pids:
            pid = self.rnd.choice(pids)
            tell(pid, signal.SIGSTOP)
            time.sleep(self.rnd.uniform(0.1, 1.0))
            tell(pid, signal.SIGCONT)

    def kill_taskmanager(self):
        name = self.rnd.choice(self.c.taskmanagers())
        self.c.processes[name].kill()
        self.c.processes[name].wait()
        self.c.start(name, "rask-taskmanager")

    def stop_taskmanager(self):
        process = self.c.processes[self.rnd.choice(self.c.taskmanagers())]
        tell(process.pid, signal.SIGSTOP)
        time.sleep(self.rnd.uniform(0.1, 2.5))  # beyond the heartbeat's timeout now and then
        tell(process.pid, signal.SIGCONT)

    def stop_jobmanager(self):
        process = self.c.processes["jm"]
        tell(process.pid, signal.SIGSTOP)
        time.sleep(self.rnd.uniform(0.1, 1.0))
        tell(process.pid, signal.SIGCONT)

    def break_folder(self):
        """The folder of checkpoints is in the way of itself: what is written fails."""
        folder = f"{self.c.ckpt}/{self.job}"
        try:
            os.rename(folder, folder + ".away")
            open(folder, "w").close()
            time.sleep(self.rnd.uniform(0.05, 0.5))
            os.unlink(folder)
            os.rename(folder + ".away", folder)
        except OSError:
            pass

    # ---- a run ----

    def go(self):
        self.submit(self.rnd.choice([1, 2, 2, 3]))
        kinds = [self.kill_worker, self.kill_worker, self.kill_workers, self.stop_worker, self.kill_taskmanager, self.stop_taskmanager,
                 self.stop_jobmanager, self.break_folder]
        for i in range(self.rnd.randint(3, 6)):
            phase, kind = self.rnd.choice(PHASES), self.rnd.choice(kinds)
            if i == 0:
                kind = self.kill_workers  # one restart at least
            if i == 1:
                phase = self.rnd.choice(["trigger", "files", "metadata"])
            if not self.moment(phase):
                break
            self.phases.append(phase)
            self.faults.append(kind.__name__)
            kind()
        self.c.wait("the job did not finish", lambda: self.state() == "FINISHED" or self.failed(), 60)
        self.check()

    def failed(self):
        if self.state() in ("FAILED", "CANCELED"):
            history = self.c.get(f"/jobs/{self.job}/exceptions")
            raise Failure("the job FAILED: " + json.dumps(history)[:600])
        return False

    def submit(self, parallelism):
        psql(self.c.pg, f"CREATE TABLE {self.table} (key bigint, count bigint)")
        args = [f"{self.c.build}/bin/rask", "run", "-d", "-m", f"localhost:{self.c.rest}", "-p", str(parallelism), self.job_so,
                "--input", self.lines, "--output", self.out, "--pause", "120", "--conninfo", conninfo(self.c.pg), "--table", self.table]
        if self.rnd.random() < 0.5:
            args.append("--long-parts")
        done = subprocess.run(args, env=self.c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = re.search(r"JobID ([0-9a-f]{32})", done.stdout)
        if not found:
            raise Failure("not taken: " + done.stdout)
        self.job = found.group(1)

    def check(self):
        expected, counts = [], {}
        for i in range(1, LINES + 1):
            counts[i % KEYS] = counts.get(i % KEYS, 0) + 1
            expected.append(f"{i % KEYS},{counts[i % KEYS]}")
        expected.sort()
        parts = []
        for path in glob.glob(self.out + "/part-*"):
            with open(path) as f:
                parts += f.read().split()
        difference("part files", expected, sorted(parts))
        rows = psql(self.c.pg, f"SELECT key || ',' || count FROM {self.table}").split()
        difference("table", expected, sorted(rows))
        left = psql(self.c.pg, f"SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'rask:{self.job}:%'").strip()
        if left != "0":
            raise Failure(f"{left} prepared transactions are left")
        psql(self.c.pg, f"DROP TABLE {self.table}")
        shutil.rmtree(self.out)

    def counts(self):
        metric = self.c.get(f"/jobs/{self.job}/metrics?get=numRestarts")
        return len(self.faults) >= 3 and int(metric[0]["value"]) >= 1 and any(p in ("trigger", "files", "metadata") for p in self.phases)


def difference(where, expected, got):
    if expected == got:
        return
    from collections import Counter
    a, b = Counter(expected), Counter(got)
    raise Failure(f"{where}: {sum((a - b).values())} counts are missing ({list((a - b))[:3]}), {sum((b - a).values())} too many ({list((b - a))[:3]})")


def conninfo(pg):
    return f"host={pg} user=postgres dbname=postgres"


def psql(pg, sql):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-c", sql, conninfo(pg)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure("psql: " + done.stdout)
    return done.stdout


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--runs", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep", action="store_true")
    o = p.parse_args()
    if subprocess.run(["test/postgres.sh", "check", "-"], check=False).returncode == 77:
        return
    top = tempfile.mkdtemp(prefix="rask-chaos-")
    pg = tempfile.mkdtemp(prefix="rask-chaos-postgres-")
    os.chmod(pg, 0o755)
    subprocess.run(["test/postgres.sh", "start", pg, "max_prepared_transactions=200"], check=True)
    cluster = Cluster(os.path.abspath(o.build), top, pg)
    job_so, lines = top + "/exact.so", top + "/input.txt"
    passed = failed = void = 0
    by_phase = {}
    try:
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-g", "-Iapi/include", "-o", job_so, "test/integration/jobs/exact.c"],
                       check=True)
        with open(lines, "w") as f:
            f.write("".join(f"{i}\n" for i in range(1, LINES + 1)))
        cluster.start("jm", "rask-jobmanager")
        for i in range(3):
            cluster.start(f"tm{i}", "rask-taskmanager")
        seed = o.seed
        while passed + failed < o.runs and void < o.runs + 10:
            cluster.wait("there were not 3 TaskManagers", lambda: cluster.get("/overview")["taskmanagers"] == 3)
            run, began = Run(cluster, seed, job_so, lines), time.monotonic()
            seed += 1
            try:
                run.go()
                if not run.counts():
                    void += 1
                    print(f"   chaos seed {run.seed}: does not count ({', '.join(run.faults)})", flush=True)
                    continue
                passed += 1
                for phase, fault in zip(run.phases, run.faults):
                    by_phase[phase] = by_phase.get(phase, 0) + 1
                    by_phase[fault] = by_phase.get(fault, 0) + 1
                print(f"ok chaos seed {run.seed} ({time.monotonic() - began:.1f} s): " +
                      ", ".join(f"{f} at {p}" for p, f in zip(run.phases, run.faults)), flush=True)
            except Failure as e:
                failed += 1
                print(f"FAIL chaos seed {run.seed}: {e}; " + ", ".join(f"{f} at {p}" for p, f in zip(run.phases, run.faults)), flush=True)
    finally:
        cluster.stop()
        subprocess.run(["test/postgres.sh", "stop", pg], check=False)
        if o.keep or failed:
            print("kept: " + top)
        else:
            shutil.rmtree(top, ignore_errors=True)
    print("faults: " + ", ".join(f"{k} {v}" for k, v in sorted(by_phase.items())))
    print(f"chaos: {passed} passed, {failed} failed")
    sys.exit(1 if failed or passed < o.runs else 0)


if __name__ == "__main__":
    main()
