"""What the checker's cluster stands on: mounts of its own, a page shared with harm.c, PostgreSQL, and the daemons."""
import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import time
import urllib.request

from relay import Relay

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 32, 4096, 8192, 16384, 1 << 18, 2
DISK_BYTES = 48 << 20
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tell(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


# ---- mounts ----

def mount(source, target, kind, flags, data):
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() if data else None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def unmount(target):
    if libc.umount2(target.encode(), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def own_mounts():
    """Mounts that only this process and its children see. False: this system does not permit them."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER) != 0:
        return False
    try:
        if uid != 0:
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
                    f.write(text)
        mount("none", "/", "", MS_REC | MS_PRIVATE, None)
    except OSError:
        return False
    return True


class Disk:
    """A small disk in memory: folders of checkpoints, savepoints and output.  Without mounts an ordinary folder."""

    def __init__(self, path, mounts):
        self.path, self.mounts, self.aside = path, mounts, path + ".aside"
        os.makedirs(path)
        if mounts:
            os.makedirs(self.aside)
            mount("chaos", path, "tmpfs", 0, f"size={DISK_BYTES}")

    def fill(self):
        with open(self.path + "/ballast", "wb", buffering=0) as f:
            try:
                while f.write(bytes(1 << 20)) > 0:
                    pass
            except OSError:
                pass

    def empty(self):
        os.unlink(self.path + "/ballast")

    def lock(self, folder):
        """Read-only for who opens anything from now on.  It becomes so where nobody looks: in its place somebody might open a file
        for writing before it is, and then it is busy."""
        mount(folder, self.aside, "", MS_BIND, None)
        mount("none", self.aside, "", MS_REMOUNT | MS_BIND | MS_RDONLY, None)
        mount(self.aside, folder, "", MS_MOVE, None)

    @staticmethod
    def unlock(folder):
        unmount(folder)


# ---- the page shared with harm.c ----

CALLS = {"create": 1, "read": 2, "rename": 3, "renamed": 4, "mkdir": 5, "write": 6, "send": 7, "sent": 8, "unlink": 9}


class Page:
    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def _put(self, index, value):
        struct.pack_into("I", self.map, 4 * index, value)

    def _get(self, index):
        return struct.unpack_from("I", self.map, 4 * index)[0]

    def set_trap(self, call, text, countdown):
        self.disarm()
        for index, value in ((1, CALLS[call]), (2, countdown), (3, 0), (4, 0), (6, len(text))):
            self._put(index, value)
        self.map[28:28 + len(text)] = text.encode()
        self._put(0, 1)

    def fired(self):
        return self._get(3)

    def disarm(self):
        self._put(0, 0)

    def go(self):
        self._put(4, 1)

    def delay_syncs(self, us):
        self._put(5, us)


# ---- PostgreSQL ----

class Postgres:
    def __init__(self, folder):
        self.folder = folder
        os.chmod(folder, 0o755)
        self.start()
        self.conninfo = f"host={folder} user=postgres dbname=postgres"

    def start(self):
        subprocess.run(["test/postgres.sh", "start", self.folder, "max_prepared_transactions=200", "fsync=off"], check=True)

    def crash(self):
        subprocess.run(["test/postgres.sh", "crash", self.folder], check=True)

    def sql(self, text):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-c", text, self.conninfo], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failure("psql: " + done.stdout)
        return done.stdout

    def stop(self):
        subprocess.run(["test/postgres.sh", "stop", self.folder], check=False)


# ---- daemons ----

class Cluster:
    """One JobManager, three TaskManagers; each TaskManager behind two links: to the JobManager, and to its data port."""

    def __init__(self, build, top, mounts, harm, managed):
        self.build, self.top, self.mounts, self.managed = build, top, mounts, managed
        self.rest, self.rpc, self.starts, self.processes, self.links = free_port(), free_port(), 0, {}, {}
        for folder in ("conf", "log", "tmp"):
            os.makedirs(f"{top}/{folder}")
        self.disk = Disk(top + "/disk", mounts)
        self.ckpt, self.save = top + "/disk/ckpt", top + "/disk/save"
        os.makedirs(self.ckpt)
        os.makedirs(self.save)
        self.page = Page(top + "/page")
        self.env = dict(os.environ, RASK_CONF_DIR=self.configure("jm", self.rpc, ""))
        self.env.pop("RASK_LOG_DIR", None)
        self.harmed = dict(self.env, LD_PRELOAD=harm, CHAOS_PAGE=self.page.path)
        self.harmed["ASAN_OPTIONS"] = self.env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.relay = Relay()
        self.relay.start()
        self.start("jm")
        for i in range(3):
            data = free_port()
            self.links[f"tm{i}"] = control, near = self.relay.link(self.rpc), self.relay.link(data)
            self.configure(f"tm{i}", control.port, f"taskmanager.data.port: {near.port}\ntaskmanager.data.bind-port: {data}\n")
            self.start(f"tm{i}")

    def configure(self, name, rpc, more):
        folder = f"{self.top}/conf/{name}"
        os.makedirs(folder)
        with open(folder + "/rask-conf.yaml", "w", encoding="utf-8") as f:
            f.write(f"""rest.port: {self.rest}
jobmanager.rpc.port: {rpc}
taskmanager.numberOfTaskSlots: 2
taskmanager.memory.process.size: 256m
taskmanager.memory.managed.size: {self.managed}
heartbeat.timeout: 1500 ms
heartbeat.interval: 250 ms
io.tmp.dirs: '{self.top}/tmp'
env.log.dir: '{self.top}/log'
rask.log.modules: checkpoint=debug
execution.checkpointing.dir: file://{self.ckpt}
execution.checkpointing.savepoint-dir: file://{self.save}
execution.checkpointing.interval: 100 ms
execution.checkpointing.timeout: 2 s
execution.checkpointing.tolerable-failed-checkpoints: 1000
execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 1000
restart-strategy.fixed-delay.delay: 50 ms
{more}""")
        return folder

    def start(self, name):
        self.starts += 1
        program = "rask-jobmanager" if name == "jm" else "rask-taskmanager"
        self.processes[name] = subprocess.Popen(
            [f"{self.build}/bin/{program}", "--log", f"{self.top}/log/{name}-{self.starts}.log"],
            env=dict(self.harmed, RASK_CONF_DIR=f"{self.top}/conf/{name}"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def restart(self, name):
        self.processes[name].kill()
        self.processes[name].wait()
        self.start(name)

    def rask(self, *args):
        return subprocess.Popen([f"{self.build}/bin/rask", args[0], "-m", f"localhost:{self.rest}", *args[1:]], env=self.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=5) as answer:
            return json.load(answer)

    def ready(self):
        self.wait("there were not 3 TaskManagers", lambda: self.get("/overview")["taskmanagers"] == 3)

    @staticmethod
    def wait(what, condition, seconds=40):
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
        return [name for name in self.processes if name != "jm"]

    def workers(self, name):
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.processes[name].pid)], stdout=subprocess.PIPE, text=True,
                             check=False).stdout
        return [int(pid) for pid in out.split()]

    def all_workers(self):
        return [pid for tm in self.taskmanagers() for pid in self.workers(tm)]

    def stop(self):
        self.page.go()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.relay.stop()
        if self.mounts:
            unmount(self.disk.path)
