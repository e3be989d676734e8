"""Moments at which harm comes, and kinds of harm.

A fault is a generator of a Run: what it does before its `yield` is done while the process that met the moment is held there (held: its
pid, 0: nobody), what comes after it when that one goes on.
"""
import os
import random
import shutil
import signal
import time

from world import tell

# phase -> (call, text) that harm.c waits for; {out}: the run's output
MOMENTS = {
    "trigger": [("mkdir", "/chk-")],
    "barrier": [("write", "has frozen its state at the barrier")],
    "files": [("create", ".state")],
    "prepare": [("send", "PREPARE TRANSACTION"), ("sent", "PREPARE TRANSACTION")],
    "ack": [("write", ": acknowledged"), ("write", "has acknowledged, ")],
    "metadata": [("create", "/_metadata"), ("create", "_metadata"), ("rename", "/_metadata")],
    "written": [("renamed", "/_metadata")],
    "commit": [("write", "complete, tasks commit"), ("rename", "/part-"), ("renamed", "/part-"), ("send", "COMMIT PREPARED"),
               ("sent", "COMMIT PREPARED")],
    "restore": [("read", "/_metadata")],
    "run": [],
}
BEFORE_COMPLETION = ("barrier", "files", "prepare", "ack", "metadata")


class Faults:
    """Needs self.c (the cluster), self.pg, self.job, self.out and self.rnd."""

    rnd: random.Random

    def victim(self, held):
        """The worker that is held, or any."""
        pids = self.c.all_workers()
        if held in pids and self.rnd.random() < 0.7:
            return held
        return self.rnd.choice(pids) if pids else 0

    def taskmanager(self, held):
        names = self.c.taskmanagers()
        for name in names:
            if held and held in self.c.workers(name) and self.rnd.random() < 0.7:
                return name
        return self.rnd.choice(names)

    def kill_worker(self, held):
        pid = self.victim(held)
        if pid:
            tell(pid, signal.SIGKILL)
        yield

    def kill_workers(self, held):
        for pid in self.c.all_workers():
            tell(pid, signal.SIGKILL)
        yield

    def stop_worker(self, held):
        """Long enough now and then that its successors are at work when it wakes."""
        pid = self.victim(held)
        if pid:
            tell(pid, signal.SIGSTOP)
        yield
        time.sleep(self.rnd.choice([0.05, 0.3, 1.0, 2.2]))
        if pid:
            tell(pid, signal.SIGCONT)

    def kill_taskmanager(self, held):
        self.c.restart(self.taskmanager(held))
        yield

    def stop_taskmanager(self, held):
        """It and its workers: what a host does that hangs."""
        name = self.taskmanager(held)
        pids = [self.c.processes[name].pid] + (self.c.workers(name) if self.rnd.random() < 0.6 else [])
        for pid in pids:
            tell(pid, signal.SIGSTOP)
        yield
        time.sleep(self.rnd.choice([0.1, 0.5, 2.2]))  # the last: beyond the heartbeat's timeout
        for pid in reversed(pids) if self.rnd.random() < 0.5 else pids:
            tell(pid, signal.SIGCONT)

    def stop_jobmanager(self, held):
        pid = self.c.processes["jm"].pid
        tell(pid, signal.SIGSTOP)
        yield
        time.sleep(self.rnd.choice([0.05, 0.3, 1.0]))
        tell(pid, signal.SIGCONT)

    def link(self, held, which, state):
        link = self.c.links[self.taskmanager(held)][which]
        link.set(state)
        time.sleep(0.005)  # the relay has heard of it
        yield
        time.sleep(self.rnd.choice([0.02, 0.3, 1.0] if state == "cut" else [0.1, 0.5, 2.2]))
        link.set("up")

    def cut_link(self, held):
        yield from self.link(held, 0, "cut")

    def stall_link(self, held):
        yield from self.link(held, 0, "stalled")

    def cut_data(self, held):
        yield from self.link(held, 1, "cut")

    def stall_data(self, held):
        yield from self.link(held, 1, "stalled")

    def break_folder(self, held):
        """A file stands where the job's checkpoints lie."""
        folder = f"{self.c.ckpt}/{self.job}"
        try:
            os.rename(folder, folder + ".away")
            with open(folder, "w", encoding="ascii"):
                pass
        except OSError:
            yield
            return
        yield
        time.sleep(self.rnd.uniform(0.05, 0.4))
        try:
            os.unlink(folder)
            os.rename(folder + ".away", folder)
        except OSError:  # the job is over, and has taken the file for its folder
            shutil.rmtree(folder + ".away", ignore_errors=True)

    def fill_disk(self, held):
        self.c.disk.fill()
        yield
        time.sleep(self.rnd.uniform(0.05, 0.6))
        self.c.disk.empty()

    def lock_checkpoints(self, held):
        """Checkpoints can be read and not written."""
        self.c.disk.lock(self.c.ckpt)
        yield
        time.sleep(self.rnd.uniform(0.05, 0.6))
        self.c.disk.unlock(self.c.ckpt)

    def lock_output(self, held):
        folder = self.out
        if not os.path.isdir(folder):
            yield
            return
        self.c.disk.lock(folder)
        yield
        time.sleep(self.rnd.uniform(0.05, 0.6))
        self.c.disk.unlock(folder)

    def slow_syncs(self, held):
        self.c.page.delay_syncs(self.rnd.choice([20000, 200000, 1000000]))
        yield
        time.sleep(self.rnd.uniform(0.2, 1.0))
        self.c.page.delay_syncs(0)

    def crash_postgres(self, held):
        """The server ends without a shutdown, and comes again."""
        self.pg.crash()
        yield
        time.sleep(self.rnd.choice([0, 0.2]))
        self.pg.start()

    def kinds(self):
        kinds = [self.kill_worker] * 3 + [self.kill_workers, self.stop_worker, self.stop_worker, self.kill_taskmanager,
                                          self.stop_taskmanager, self.stop_jobmanager, self.cut_link, self.stall_link, self.cut_data,
                                          self.stall_data, self.break_folder, self.slow_syncs, self.crash_postgres]
        if self.c.mounts:
            kinds += [self.fill_disk, self.lock_checkpoints, self.lock_output]
        return kinds
