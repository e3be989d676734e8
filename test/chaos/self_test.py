#!/usr/bin/env python3
"""What the checker does to folders, beside processes that write there all the time: no fault of its own may fail."""
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import Disk, own_mounts, unmount  # noqa: E402

WRITERS, SECONDS = 6, 2


def write_on(path):
    """Until it is killed: mostly with the file open."""
    while True:
        try:
            with open(path, "w", encoding="ascii"):
                time.sleep(0.0003)
        except OSError:  # it is locked
            pass


def is_writable(folder):
    try:
        with open(folder + "/look", "w", encoding="ascii"):
            return True
    except OSError:
        return False


def lock_beside_writers(disk, folder):
    end, trials = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or trials < 100:
        disk.lock(folder)
        if is_writable(folder):
            return "it is locked, and can be written"
        disk.unlock(folder)
        if not is_writable(folder):
            return "it is not locked, and cannot be written"
        trials += 1
    return None


def main():
    if not own_mounts():
        print("ok skipped_because_this_system_permits_no_mounts_of_our_own")
        return 0
    writers = []
    with tempfile.TemporaryDirectory(prefix="rask-chaos-self-") as top:
        disk = Disk(top + "/disk", True)
        folder = disk.path + "/ckpt"
        os.mkdir(folder)
        for i in range(WRITERS):
            writers.append(os.fork())
            if writers[-1] == 0:
                write_on(f"{folder}/{i}")
        try:
            why = lock_beside_writers(disk, folder)
        except OSError as e:
            why = str(e)
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        unmount(disk.path)
    print("FAIL lock_beside_writers: " + why if why else "ok lock_beside_writers")
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
