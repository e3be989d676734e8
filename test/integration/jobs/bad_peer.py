"""bad_peer.py - a peer that speaks the wire form of common/net and common/rpc, or HTTP, wrongly on purpose.

usage: bad_peer.py rpc PORT | data PORT JOB_ID | rest PORT

Prints "ok NAME" and "FAIL NAME: what came instead" lines; exit code 1 if there was a FAIL.
"""
import itertools
import os
import socket
import struct
import sys
import time

HELLO, CHALLENGE, PROOF, WELCOME, REFUSE, REQUEST, RESPONSE = 1, 2, 3, 4, 5, 6, 7
PING, DATA = 9, 11
TASKMANAGER, WORKER, PEER_WORKER = 1, 2, 3
HEADER = struct.Struct("<HBBHHIIQII")
failures = 0


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def frame(kind, payload=b"", flags=0, epoch=0, stream=0, version=1, length=None, crc=None):
    length = len(payload) if length is None else length
    parts = [0x4B52, version, kind, flags, 0, length, 0, epoch, stream, 0]
    parts[6] = crc32c(HEADER.pack(*parts) + payload) if crc is None else crc
    return HEADER.pack(*parts) + payload


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def hello(role, protocol=1, version=b"0.0.0-bad", job=None, epoch=0, process=0):
    text = number(1, protocol) + data(2, version) + number(3, role)
    if job is not None:
        text += data(4, job) + number(5, epoch) + number(6, 0) + data(7, bytes(16)) + number(9, process)
    return text


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(5)

    def send(self, bytes_):
        try:
            self.socket.sendall(bytes_)
        except OSError:
            pass

    def exactly(self, n):
        out = b""
        while len(out) < n:
            part = self.socket.recv(n - len(out))
            if not part:
                return None
            out += part
        return out

    def receive(self):
        """(kind, flags, epoch, payload) of the next frame, or (None, why, 0, b"") when there is none."""
        try:
            head = self.exactly(HEADER.size)
            if head is None:
                return None, "closed", 0, b""
            fields = HEADER.unpack(head)
            payload = self.exactly(fields[5]) or b""
            return self.receive() if fields[2] == PING else (fields[2], fields[3], fields[7], payload)
        except socket.timeout:
            return None, "silence", 0, b""
        except OSError:
            return None, "closed", 0, b""

    def answer(self, bytes_):
        self.send(bytes_)
        return self.receive()

    def close(self):
        self.socket.close()


def check(name, good, got):
    global failures
    if good:
        print("ok", name)
    else:
        failures += 1
        print("FAIL %s: %r" % (name, got))
    sys.stdout.flush()


def is_closed(got):
    """Closed, or first told why."""
    return got[0] == REFUSE or (got[0] is None and got[1] == "closed")


def framing(what, port):
    """What is wrong with a frame closes the connection, at once."""
    wrong = {
        "random bytes": os.urandom(4096),
        "oversized frame": frame(HELLO, length=0xFFFFFFFF),
        "frame of 17 MiB": frame(HELLO, length=17 << 20),
        "wrong checksum": frame(HELLO, hello(TASKMANAGER), crc=1),
        "other frame version": frame(HELLO, hello(TASKMANAGER), version=9),
        "unknown kind of frame": frame(200),
        "request before the handshake": frame(REQUEST, flags=1, stream=1),
        "block before the handshake": frame(DATA, bytes(64)),
        "handshake that is no message": frame(HELLO, b"\xff" * 40),
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }
    for name, bytes_ in wrong.items():
        peer = Peer(port)
        got = peer.answer(bytes_)
        check("%s: %s" % (what, name), is_closed(got), got)
        peer.close()
    whole = frame(HELLO, hello(TASKMANAGER))
    for cut in (1, 31, 32, len(whole) - 1):
        peer = Peer(port)
        peer.send(whole[:cut])
        peer.close()
    # half a header, and then nothing: kept open while everything else goes on
    return [half_said(port, whole) for _ in range(50)]


def half_said(port, whole):
    peer = Peer(port)
    peer.send(whole[:20])
    return peer


def refused(what, port, message, *parts):
    peer = Peer(port)
    got = peer.answer(frame(HELLO, message))
    check(what, got[0] == REFUSE and all(p in got[3] for p in parts), got)
    peer.close()


def failed_call(what, peer, bytes_, *parts):
    got = peer.answer(bytes_)
    check(what, got[0] == RESPONSE and got[1] == 1 and all(p in got[3] for p in parts), got)


def rpc(port):
    open_ones = framing("rpc", port)
    refused("rpc: another protocol names both versions", port, hello(TASKMANAGER, protocol=77),
            b"protocol 77", b"0.0.0-bad", b"install the same version")
    refused("rpc: unknown role", port, hello(9), b"role")
    refused("rpc: worker of no job", port, hello(WORKER, job=bytes(16)), b"job")
    peer = Peer(port)
    got = peer.answer(frame(HELLO, hello(TASKMANAGER)))
    check("rpc: a handshake is welcome", got[0] == WELCOME, got)
    token = got[2] or 1
    for offset in range(len(got[3])):  # Welcome.fence, field 3: a varint
        if got[3][offset] == 0x18:
            token, shift = 0, 0
            for byte in got[3][offset + 1:]:
                token |= (byte & 127) << shift
                shift += 7
    failed_call("rpc: unknown method", peer, frame(REQUEST, flags=29, stream=1, epoch=token), b"29")
    failed_call("rpc: method number out of range", peer, frame(REQUEST, flags=4000, stream=2, epoch=token), b"4000")
    failed_call("rpc: stale token", peer, frame(REQUEST, flags=2, stream=3, epoch=token ^ 4), b"TASKMANAGER_REPORT", b"token")
    failed_call("rpc: method of another role", peer, frame(REQUEST, flags=13, stream=4, epoch=token), b"GET_BLOB")
    failed_call("rpc: request that is no message", peer, frame(REQUEST, b"\xff" * 20, flags=1, stream=5, epoch=token),
                b"REGISTER_TASKMANAGER")
    failed_call("rpc: report before registering", peer, frame(REQUEST, flags=2, stream=6, epoch=token))
    peer.send(frame(REQUEST, flags=2, stream=7, epoch=token) * 2000)  # nobody reads the answers
    peer.close()
    return open_ones


def of_job(port, job):
    """Connections that name the running job: a wrong epoch is refused, a wrong proof, too."""
    refused("data: stale epoch of a running job", port, hello(PEER_WORKER, job=job, epoch=999), b"epoch 999")
    for epoch, process in itertools.product(range(4), range(4)):
        peer = Peer(port)
        got = peer.answer(frame(HELLO, hello(PEER_WORKER, job=job, epoch=epoch, process=process)))
        if got[0] == CHALLENGE:
            got = peer.answer(frame(PROOF, data(1, bytes(32))))
            check("data: wrong proof of the job's secret", is_closed(got), got)
            peer.close()
            peer = Peer(port)
            peer.answer(frame(HELLO, hello(PEER_WORKER, job=job, epoch=epoch, process=process)))
            got = peer.answer(frame(DATA, os.urandom(64)))
            check("data: block instead of a proof", is_closed(got), got)
            peer.close()
            return
        peer.close()
    check("data: the worker asks for a proof", False, got)


def data_port(port, job):
    open_ones = framing("data", port)
    refused("data: a TaskManager", port, hello(TASKMANAGER), b"jobmanager.rpc.port")
    refused("data: worker of no job", port, hello(PEER_WORKER, job=bytes(16)), b"no worker of job")
    of_job(port, bytes.fromhex(job))
    return open_ones


def http(port, bytes_, wait=5.0):
    peer = Peer(port)
    peer.socket.settimeout(wait)
    peer.send(bytes_)
    out = b""
    try:
        while len(out) < 65536:
            part = peer.socket.recv(65536)
            if not part:
                break
            out += part
    except socket.timeout:
        out += b"(silence)"
    except OSError:
        out += b"(reset)"
    peer.close()
    return out


def status(what, port, bytes_, *wanted):
    got = http(port, bytes_)
    code = got[9:12].decode("latin-1")
    check("rest: " + what, got.startswith(b"HTTP/1.") and code in wanted, got[:300])


def rest(port):
    head = b"Host: localhost:%d\r\nConnection: close\r\n" % port
    slow = []
    for _ in range(300):  # slow-loris: a byte now, a byte later
        peer = Peer(port)
        peer.send(b"G")
        slow.append(peer)
    begin = time.monotonic()
    status("answers beside 300 slow clients", port, b"GET /overview HTTP/1.1\r\n" + head + b"\r\n", "200")
    check("rest: within a second", time.monotonic() - begin < 1, time.monotonic() - begin)
    status("random bytes", port, os.urandom(3000) + b"\r\n\r\n", "400", "431")
    status("no HTTP", port, b"EHLO mail\r\n\r\n", "400")
    status("unknown version", port, b"GET / HTTP/7.3\r\n" + head + b"\r\n", "400", "505")
    status("unknown method", port, b"BREW /overview HTTP/1.1\r\n" + head + b"\r\n", "400", "404", "405", "501")
    status("no host", port, b"GET /overview HTTP/1.1\r\n\r\n", "400")
    status("NUL in the path", port, b"GET /over\0view HTTP/1.1\r\n" + head + b"\r\n", "400")
    status("path upwards", port, b"GET /../../etc/passwd HTTP/1.1\r\n" + head + b"\r\n", "400", "404")
    status("escaped path upwards", port, b"GET /jars/..%2f..%2fetc%2fpasswd/plan HTTP/1.1\r\n" + head + b"\r\n", "400", "404")
    status("bad escape", port, b"GET /jobs/%zz HTTP/1.1\r\n" + head + b"\r\n", "400")
    status("long head", port, b"GET /overview HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n" + head + b"\r\n", "431")
    status("long path", port, b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n" + head + b"\r\n", "414", "431")
    status("thousand headers", port, b"GET /overview HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + head + b"\r\n", "431")
    status("two lengths", port, b"POST /jobs HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n" + head + b"\r\nhello", "400")
    status("length and chunks", port,
           b"POST /jobs HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n0\r\n\r\n", "400")
    status("negative length", port, b"POST /jobs HTTP/1.1\r\nContent-Length: -1\r\n" + head + b"\r\n", "400")
    status("body of a terabyte, before it is read", port,
           b"POST /jobs HTTP/1.1\r\nContent-Length: 1099511627776\r\n" + head + b"\r\n", "413")
    status("upload of a gigabyte, before it is read", port,
           b"POST /jars/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
           b"Content-Length: 1073741824\r\n" + head + b"\r\n", "413")
    status("bad chunk", port, b"POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\nzz\r\n", "400")
    status("upload without parts", port,
           b"POST /jars/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 4\r\n" + head + b"\r\nabcd",
           "400")
    status("deep JSON", port, b"POST /jars/x/run HTTP/1.1\r\nContent-Length: 100000\r\n" + head + b"\r\n" + b"[" * 100000,
           "400", "404")
    for peer in slow:
        peer.send(b"E")
    status("answers beside the slow ones, still", port, b"GET /overview HTTP/1.1\r\n" + head + b"\r\n", "200")
    return slow


open_connections = {"rpc": rpc, "data": data_port, "rest": rest}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
for connection in open_connections:
    connection.close()
sys.exit(1 if failures else 0)
