#!/usr/bin/env python3
"""Checks the conventions that a compiler does not.

    scripts/lint/lint.py [--root DIR] [--build DIR] [--only RULE[,RULE]] [--cc CC]

Prints FILE:LINE: what is wrong; what to do.  Then one line per rule, and "N passed, N failed" over the rules.
The tables beside this file say what is allowed.  Rules on symbols need the objects of --build.
"""
import argparse
import fnmatch
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile

TABLES = os.path.dirname(os.path.abspath(__file__))
LINES_MAX = 900
FUNCTION_LINES_REPORT = 70

LIBC = set('''
aio.h alloca.h arpa/inet.h assert.h cpio.h ctype.h dirent.h dlfcn.h elf.h endian.h errno.h execinfo.h
fcntl.h features.h fenv.h float.h fnmatch.h ftw.h getopt.h glob.h grp.h iconv.h ifaddrs.h inttypes.h
iso646.h langinfo.h libgen.h limits.h link.h locale.h malloc.h math.h monetary.h net/if.h netdb.h
netinet/in.h netinet/tcp.h nl_types.h poll.h pthread.h pwd.h regex.h sched.h search.h semaphore.h setjmp.h
signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdio_ext.h stdlib.h
stdnoreturn.h string.h strings.h sys/auxv.h sys/epoll.h sys/eventfd.h sys/file.h sys/inotify.h sys/ioctl.h
sys/ipc.h sys/mman.h sys/mount.h sys/param.h sys/personality.h sys/prctl.h sys/ptrace.h sys/random.h sys/resource.h
sys/select.h sys/sendfile.h sys/signalfd.h sys/socket.h sys/stat.h sys/statfs.h sys/statvfs.h sys/syscall.h
sys/sysinfo.h sys/time.h sys/timerfd.h sys/times.h sys/types.h sys/ucontext.h sys/uio.h sys/un.h
sys/utsname.h sys/vfs.h sys/wait.h syslog.h tar.h termios.h tgmath.h threads.h time.h uchar.h ucontext.h
unistd.h unwind.h utime.h wchar.h wctype.h wordexp.h linux/close_range.h linux/limits.h linux/magic.h
linux/sockios.h linux/version.h
immintrin.h nmmintrin.h emmintrin.h smmintrin.h tmmintrin.h xmmintrin.h x86intrin.h arm_neon.h arm_acle.h
cpuid.h sanitizer/asan_interface.h sanitizer/common_interface_defs.h valgrind/valgrind.h
'''.split())


def table(name):
    """The lines of a table without comments and blank ones."""
    with open(os.path.join(TABLES, name)) as f:
        return [line.strip() for line in f if line.strip() and not line.startswith('#')]


def under(path, folder):
    return folder == '*' or path == folder or path.startswith(folder.rstrip('/') + '/')


def longest_match(path, folders):
    best = None
    for folder in folders:
        if under(path, folder) and (best is None or len(folder) > len(best)):
            best = folder
    return best


def keyed(name):
    result = {}
    for line in table(name):
        key, _, rest = line.partition(': ' if ': ' in line else ':')
        result[key.strip()] = rest.split()
    return result


def blank_comments_and_strings(text):
    """Same length and lines; comments and the insides of literals become spaces."""
    def blank(match):
        s = match.group(0)
        if s[0] in '"\'':
            return s[0] + re.sub(r'[^\n]', ' ', s[1:-1]) + s[0]
        return re.sub(r'[^\n]', ' ', s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


class Source:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
            self.text = f.read()
        self._code = None

    @property
    def code(self):
        if self._code is None:
            self._code = blank_comments_and_strings(self.text)
        return self._code

    @property
    def lines(self):
        return self.text.splitlines()

    def line_of(self, offset):
        return self.text.count('\n', 0, offset) + 1

    def find(self, name):
        name = re.escape(name)
        match = re.search(r'\b%s\s*\(' % name, self.code) or re.search(r'\b%s\b' % name, self.code)
        return self.line_of(match.start()) if match else 1


class Tree:
    def __init__(self, root, build, cc):
        self.root, self.build, self.cc = root, build, cc
        self.paths = self._list()
        self.c = [Source(root, p) for p in self.paths if p.endswith(('.c', '.h'))]
        self.by_path = {s.path: s for s in self.c}

    def _list(self):
        if os.path.isdir(os.path.join(self.root, '.git')) or os.path.isfile(os.path.join(self.root, '.git')):
            out = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=self.root,
                                 stdout=subprocess.PIPE, check=True).stdout.decode()
            found = out.splitlines()
        else:
            found = []
            for folder, dirs, files in os.walk(self.root):
                if folder == self.root:
                    dirs[:] = [d for d in dirs if d != 'build']
                found += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return sorted(p for p in set(found) if os.path.isfile(os.path.join(self.root, p)))

    def object_of(self, source):
        return os.path.join(self.root, self.build, re.sub(r'\.c$', '.o', source.path))

    def symbols(self, source, *options):
        obj = self.object_of(source)
        if not os.path.exists(obj):
            return []
        out = subprocess.run(['nm', *options, obj], stdout=subprocess.PIPE, check=True).stdout.decode()
        return [line.split()[-1] for line in out.splitlines() if line.strip()]


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(source):
    for match in INCLUDE.finditer(source.text):
        yield match.group(1), match.group(2), source.line_of(match.start())


def resolve(tree, source, name):
    """Where an include leads, as a path in the tree; None if it leads out of it."""
    if re.match(r'(proto/)?\w+\.pb-c\.h$', name):
        return 'proto/' + os.path.basename(name)
    beside = os.path.normpath(os.path.join(os.path.dirname(source.path), name))
    for path in (name, 'api/include/' + name, beside):
        if path in tree.by_path:
            return path
    return None


def rule_layers(tree):
    layers = keyed('layers.txt')
    for source in tree.c:
        layer = longest_match(source.path, layers)
        if layer is None:
            yield source.path, 1, ('its folder is in no layer; add it to scripts/lint/layers.txt '
                                   'if DESIGN allows the folder')
            continue
        own = longest_match(source.path, [k for k in layers if not k.endswith(('.c', '.h'))]) or layer
        for quote, name, line in includes(source):
            target = resolve(tree, source, name)
            if target is None:
                if quote == '"':
                    yield source.path, line, '"%s" is not in the tree; name it from the root' % name
                continue
            if under(target, own) or any(under(target, a) for a in layers[layer]):
                continue
            yield source.path, line, ('%s may not include %s; it may include: %s. Move what is shared down, or '
                                      'pass it through a callback' % (layer, target, ' '.join(layers[layer]) or
                                                                      'libc alone'))


def rule_third_party(tree):
    rules = keyed('third_party.txt')
    for source in tree.c:
        stem = re.sub(r'(_private)?\.[ch]$', '', source.path)
        for quote, name, line in includes(source):
            if quote == '"' or name in LIBC:
                continue
            key = next((k for k in rules if name.startswith(k)), None)
            if key is None:
                yield source.path, line, ('<%s> is neither libc nor in scripts/lint/third_party.txt; a new '
                                          'dependency needs a line there and in scripts/setup.sh' % name)
            elif not any(stem.endswith(a) if a.startswith('_') else under(source.path, a) for a in rules[key]):
                yield source.path, line, '<%s> belongs into: %s' % (name, ' '.join(
                    '*%s.c' % a if a.startswith('_') else a for a in rules[key]))


def is_pure(path, patterns):
    pure = False
    for pattern in patterns:
        if pattern.startswith('!'):
            if fnmatch.fnmatch(path, pattern[1:]):
                pure = False
        elif under(path, pattern):
            pure = True
    return pure


def rule_purity(tree):
    patterns = table('pure.txt')
    deny = re.compile('(?:%s)$' % '|'.join(table('impure.txt')))
    for source in tree.c:
        if not source.path.endswith('.c') or not is_pure(source.path, patterns):
            continue
        for symbol in tree.symbols(source, '-u'):
            plain = re.sub(r'(_chk|_unlocked)$', '', re.sub(r'^_+(isoc\d+_)?', '', symbol)).split('@')[0]
            if deny.match(plain) or deny.match(symbol):
                yield source.path, source.find(plain), (
                    'a core calls %s; ask struct env, net, fs or coord, or move it to a *_libevent.c or *_posix.c file'
                    % plain)


def rule_symbols(tree):
    rules = keyed('symbols.txt')
    stems = {}
    for source in tree.c:
        if source.path.endswith('.h'):
            folder, name = os.path.split(source.path)
            stems.setdefault(folder, set()).add(re.sub(r'(_private)?\.h$', '', name) + '_')
    for source in tree.c:
        key = longest_match(source.path, rules)
        if key is None or not source.path.endswith('.c'):
            continue
        folder = os.path.dirname(source.path)
        allowed = set()
        for prefix in rules[key]:
            own = stems.get(folder, set()) | {os.path.basename(folder) + '_'}
            allowed |= own if prefix == '@' else {prefix}
        for symbol in tree.symbols(source, '-g', '--defined-only'):
            if symbol == 'main' or symbol.startswith(('_', 'LLVMFuzzer')) or symbol.startswith(tuple(allowed)):
                continue
            yield source.path, source.find(symbol), 'symbol %s begins with none of: %s; rename it or make it static' % (
                symbol, ' '.join(sorted(allowed)))


def rule_banned(tree):
    for line in table('banned.txt'):
        names, folders, advice = (part.strip() for part in line.split('|'))
        allow = [f for f in folders.split() if not f.startswith('-')]
        deny = [f[1:] for f in folders.split() if f.startswith('-')]
        call = re.compile(r'(?<![\w.>])(%s)[ \t]*\(' % '|'.join(names.split()))
        for source in tree.c:
            if not any(under(source.path, f) for f in allow) or any(under(source.path, f) for f in deny):
                continue
            for match in call.finditer(source.code):
                yield source.path, source.line_of(match.start()), '%s is banned: %s' % (match.group(1), advice)


def rule_length(tree):
    for source in tree.c:
        n = len(source.lines)
        if n > LINES_MAX:
            yield source.path, n, '%d lines; split it: at most %d' % (n, LINES_MAX)


def rule_private(tree):
    for source in tree.c:
        for _, name, line in includes(source):
            target = resolve(tree, source, name)
            if not target or not target.endswith('_private.h'):
                continue
            if os.path.dirname(target) != os.path.dirname(source.path) and not under(source.path, 'test'):
                yield source.path, line, '%s is private to its folder; include the public header' % target


def text_files(tree):
    for path in tree.paths:
        if path.startswith(('scripts/lint/', 'test/lint/', 'examples/data/', 'test/golden/', 'test/fuzz/corpus/')):
            continue
        if path.endswith(('.c', '.h', '.sh', '.py', '.mk', '.proto', '.yaml', '.md')) or \
                os.path.basename(path) in ('Makefile', 'run'):
            with open(os.path.join(tree.root, path), encoding='utf-8', errors='replace') as f:
                yield path, f.read().splitlines()


def rule_markers(tree):
    marker = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')
    for path, lines in text_files(tree):
        for number, line in enumerate(lines, 1):
            match = marker.search(line)
            if match:
                yield path, number, '"%s" stays out of the tree: do it, or open an issue' % match.group(1)
            if '/work/' in line and re.search(r'(^|[\s"\'`(=])/work/', line):
                yield path, number, 'names a path of one machine'


def mutations(tree):
    """(where it is written, line, file, text that it replaces), of both lists of one-line bugs."""
    path = 'test/sim/mutations.txt'
    if path in tree.paths:
        file = None
        with open(os.path.join(tree.root, path), encoding='utf-8') as f:
            for number, line in enumerate(f.read().splitlines(), 1):
                if line.startswith('file: '):
                    file = line[6:]
                elif line.startswith('old: '):
                    yield path, number, file, line[5:].replace('\\n', '\n')
    path = 'test/chaos/mutate.py'
    if path in tree.paths:
        for file, old, _, _ in runpy.run_path(os.path.join(tree.root, path))['MUTATIONS'].values():
            yield path, 1, file, old


def rule_mutations(tree):
    """What a mutation replaces stands in its file, in one place: else nobody knows any more whether the tests see that bug."""
    for path, line, file, old in mutations(tree):
        source = tree.by_path.get(file)
        count = source.text.count(old) if source else 0
        if count != 1:
            yield path, line, 'the text of this mutation stands in %s %d times; it has to be there once: %s' % (
                file, count, old.splitlines()[0].strip())


def rule_headers(tree):
    """Each header compiles alone, the public ones as C11 and as C++17 with more warnings."""
    flags = ['-fsyntax-only', '-I.', '-Iapi/include', '-I%s/gen' % tree.build, '-D_GNU_SOURCE', '-Wall', '-Werror']
    public = ['-Wextra', '-Wconversion', '-pedantic-errors']
    cxx = shutil.which('g++') or shutil.which('clang++')
    work = []
    for source in tree.c:
        if not source.path.endswith('.h') or source.path.startswith('test/'):
            continue
        if source.path.startswith('api/include/'):
            plain = ['-fsyntax-only', '-Iapi/include', '-Wall', '-Werror'] + public
            work.append((source.path, [tree.cc, '-std=c11'] + plain, '.c'))
            if cxx:
                work.append((source.path, [cxx, '-std=c++17'] + plain, '.cc'))
        else:
            work.append((source.path, [tree.cc, '-std=gnu11'] + flags, '.c'))
    with tempfile.TemporaryDirectory() as folder:
        for i, (path, command, suffix) in enumerate(work):
            unit = os.path.join(folder, '%d%s' % (i, suffix))
            name = path[len('api/include/'):] if path.startswith('api/include/') else path
            with open(unit, 'w') as f:
                f.write('#include "%s"\n' % name)
            run = subprocess.run(command + [unit], cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if run.returncode:
                shown = [line for line in run.stdout.decode(errors='replace').splitlines() if ' error: ' in line]
                yield path, 1, 'does not compile alone (%s): %s' % (command[1], shown[0] if shown else 'see the compiler')


def rule_shell(tree):
    tool = shutil.which('shellcheck')
    scripts = []
    for path in tree.paths:
        if path.endswith('.sh') or path == '.ci/run':
            scripts.append(path)
    if not scripts:
        return
    if not tool:
        print('note: shellcheck is not installed (scripts/setup.sh --dev), so the scripts were not checked')
        return
    run = subprocess.run([tool, '-f', 'gcc', '-S', 'warning', '-x'] + scripts, cwd=tree.root, stdout=subprocess.PIPE)
    for line in run.stdout.decode().splitlines():
        match = re.match(r'([^:]+):(\d+):\d+: (.*)', line)
        if match:
            yield match.group(1), int(match.group(2)), match.group(3)


def report_functions(tree):
    """Not a rule: the longest functions, so that one sees where they grow."""
    long = []
    start = re.compile(r'^(?![#\s}])[^;{}#]*?\b(\w+)\([^;{}]*\)\s*\n\{\n(.*?)^\}', re.M | re.S)
    for source in tree.c:
        if not source.path.endswith('.c') or source.path.startswith('test/'):
            continue
        for match in start.finditer(source.code):
            n = match.group(2).count('\n') + 2
            if n > FUNCTION_LINES_REPORT:
                long.append((n, source.path, source.line_of(match.start(1)), match.group(1)))
    if long:
        print('functions over %d lines:' % FUNCTION_LINES_REPORT)
        for n, path, line, name in sorted(long, reverse=True)[:20]:
            print('  %s:%d: %s, %d lines' % (path, line, name, n))


RULES = {name[5:]: function for name, function in sorted(globals().items()) if name.startswith('rule_')}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--root', default=os.path.normpath(os.path.join(TABLES, '..', '..')))
    parser.add_argument('--build', default='build')
    parser.add_argument('--only')
    parser.add_argument('--cc', default='gcc')
    options = parser.parse_args()
    chosen = options.only.split(',') if options.only else list(RULES)
    unknown = [name for name in chosen if name not in RULES]
    if unknown:
        parser.error('no rule "%s"; there are: %s' % (unknown[0], ' '.join(RULES)))
    tree = Tree(os.path.abspath(options.root), options.build, options.cc)
    passed = failed = 0
    for name in chosen:
        findings = sorted(set(RULES[name](tree)))
        for path, line, message in findings:
            print('%s:%d: [%s] %s' % (path, line, name, message))
        if findings:
            failed += 1
        else:
            passed += 1
        print('%s %s%s' % ('FAIL' if findings else 'ok', name, ': %d findings' % len(findings) if findings else ''))
    if not options.only:
        report_functions(tree)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
