#!/usr/bin/env python3
"""Folds `perf script -F comm,tid,ip,sym` from standard input into a flame graph: flame.py FILE.svg (bench/flame.sh)."""
import html
import sys

WIDTH, HEIGHT, FONT = 1200, 17, 11
SHOWN = 25  # functions in the table


class Frame:
    """A function where it was called; count: samples in it and below, own: in it alone."""

    def __init__(self):
        self.count, self.own, self.calls = 0, 0, {}

    def add(self, stack):
        self.count += 1
        if not stack:
            self.own += 1
            return
        self.calls.setdefault(stack[0], Frame()).add(stack[1:])

    def depth(self):
        return 1 + max((c.depth() for c in self.calls.values()), default=0)


def stacks(lines):
    """Of each sample, from the outermost function to the innermost."""
    stack, inside = [], False
    for line in lines:
        words = line.split()
        if not words:
            if inside and stack:
                yield stack[::-1]
            stack, inside = [], False
        elif not inside:
            inside = True  # the line with the thread's name
        else:
            stack.append(" ".join(words[1:]).split("+0x")[0] or "[unknown]")
    if inside and stack:
        yield stack[::-1]


def colour(name):
    """Kernel blue, ours green by the prefix, others brown."""
    if name.startswith(("entry_", "do_syscall", "__x64", "tcp_", "ip_", "skb_", "sock_", "asm_")) or name.endswith("[k]"):
        base = (120, 160, 210)
    elif name.startswith(("wk_", "rask_", "batch_", "hash_", "edge_", "gate_", "exchange_", "state_", "op_")):
        base = (130, 190, 120)
    else:
        base = (220, 170, 110)
    shift = sum(name.encode()) % 30 - 15
    return "#%02x%02x%02x" % tuple(max(0, min(255, b + shift)) for b in base)


def draw(frame, name, left, level, levels, scale, out):
    width = frame.count * scale
    if width < 0.4:
        return
    top = (levels - level) * HEIGHT
    share = 100 * frame.count * scale / WIDTH
    text = html.escape(name[:int(width / (FONT * 0.6))]) if width > 25 else ""
    out.append(f'<g><title>{html.escape(name)}: {share:.1f} %</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" '
               f'height="{HEIGHT - 1}" fill="{colour(name)}"/><text x="{left + 3:.1f}" y="{top + 12}">{text}</text></g>')
    for called, below in sorted(frame.calls.items()):
        draw(below, called, left, level + 1, levels, scale, out)
        left += below.count * scale


def own_times(frame, name, own):
    own[name] = own.get(name, 0) + frame.own
    for called, below in frame.calls.items():
        own_times(below, called, own)


def main():
    root = Frame()
    sys.setrecursionlimit(10000)
    for stack in stacks(sys.stdin):
        root.add(stack[:200])
    if root.count == 0:
        sys.exit("flame.py: no sample has a stack; did the command run for some milliseconds?")
    levels, out = root.depth(), []
    draw(root, "all", 0, 1, levels, WIDTH / root.count, out)
    with open(sys.argv[1], "w", encoding="utf-8") as svg:
        svg.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{(levels + 1) * HEIGHT}" '
                  f'font-family="monospace" font-size="{FONT}">\n' + "\n".join(out) + "\n</svg>\n")
    own = {}
    own_times(root, "all", own)
    print(f"{root.count} samples; {sys.argv[1]}")
    for name, count in sorted(own.items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"{100 * count / root.count:6.1f} %  {name}")


if __name__ == "__main__":
    main()
