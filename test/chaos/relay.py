"""Relays of TCP connections: the links of a TaskManager, which can be cut (closed and refused) and stalled (what is sent waits)."""
import selectors
import socket
import threading


class Link:
    """One listening port, whose connections go on to another port of this host."""

    def __init__(self, relay, to):
        self.relay, self.to, self.pairs, self.state = relay, to, set(), "up"
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def set(self, state):
        """up, cut or stalled; returns at once."""
        self.relay.tell(self, state)


class End:
    """One of the two sockets of a connection."""

    def __init__(self, link, sock):
        self.link, self.sock, self.other, self.out, self.closing = link, sock, None, bytearray(), False


class Relay(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.selector, self.orders, self.lock = selectors.DefaultSelector(), [], threading.Lock()
        self.wake_in, self.wake_out = socket.socketpair()
        self.wake_in.setblocking(False)
        self.selector.register(self.wake_in, selectors.EVENT_READ, None)
        self.over = False

    def link(self, to):
        link = Link(self, to)
        self.tell(link, "up")
        return link

    def tell(self, link, state):
        with self.lock:
            self.orders.append((link, state))
        self.wake_out.send(b"x")

    def stop(self):
        self.over = True
        self.wake_out.send(b"x")
        self.join()

    # ---- the thread ----

    def run(self):
        while not self.over:
            for key, events in self.selector.select():
                if key.data is None:
                    self.take_orders()
                elif isinstance(key.data, Link):
                    self.accept(key.data)
                elif key.data.sock.fileno() >= 0:
                    self.serve(key.data, events)

    def take_orders(self):
        self.wake_in.recv(4096)
        with self.lock:
            orders, self.orders = self.orders, []
        for link, state in orders:
            link.state = state
            if link.listener not in [k.fileobj for k in self.selector.get_map().values()]:
                self.selector.register(link.listener, selectors.EVENT_READ, link)
            for end in list(link.pairs):
                if state == "cut":
                    self.drop(end)
                else:
                    self.watch(end)

    def accept(self, link):
        try:
            sock, _ = link.listener.accept()
        except OSError:
            return
        if link.state == "cut":
            sock.close()
            return
        far = socket.socket()
        try:
            far.connect(("127.0.0.1", link.to))
        except OSError:
            sock.close()
            far.close()
            return
        ends = [End(link, sock), End(link, far)]
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends:
            end.sock.setblocking(False)
            end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.pairs.add(end)
        for end in ends:
            self.watch(end)

    def watch(self, end):
        events = 0
        if end.link.state == "up":
            if len(end.other.out) < 1 << 18 and not end.closing:
                events |= selectors.EVENT_READ
            if end.out:
                events |= selectors.EVENT_WRITE
        known = end.sock in [k.fileobj for k in self.selector.get_map().values()]
        if events and known:
            self.selector.modify(end.sock, events, end)
        elif events:
            self.selector.register(end.sock, events, end)
        elif known:
            self.selector.unregister(end.sock)

    def serve(self, end, events):
        try:
            if events & selectors.EVENT_WRITE and end.out:
                del end.out[:end.sock.send(end.out)]
                if not end.out and end.other.closing:
                    end.sock.shutdown(socket.SHUT_WR)
            if events & selectors.EVENT_READ:
                data = end.sock.recv(65536)
                end.other.out += data
                if not data:
                    end.closing = True
                    if not end.other.out:
                        end.other.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.drop(end)
            return
        if end.closing and end.other.closing and not end.out and not end.other.out:
            self.drop(end)
            return
        self.watch(end)
        self.watch(end.other)

    def drop(self, end):
        for e in (end, end.other):
            if e.sock in [k.fileobj for k in self.selector.get_map().values()]:
                self.selector.unregister(e.sock)
            e.sock.close()
            e.link.pairs.discard(e)
