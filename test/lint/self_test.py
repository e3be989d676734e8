#!/usr/bin/env python3
"""Shows that each rule of scripts/lint/lint.py bites: small trees that break one rule each, and one that breaks none.

Prints "ok NAME" and "FAIL NAME" lines and "N passed, N failed".
"""
import os
import re
import subprocess
import sys
import tempfile

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'scripts', 'lint', 'lint.py')

# name, rule, files, what a finding must say (None: no finding)
CASES = [
    ('layer upward', 'layers',
     {'common/net/net.h': '\n', 'common/base/a.c': '\n#include "common/net/net.h"\n'},
     'common/base/a.c:2: .*may not include common/net/net.h'),
    ('layer sideways', 'layers',
     {'common/fs/fs.h': '\n', 'common/net/a.c': '#include "common/fs/fs.h"\n'}, 'common/net/a.c:1: '),
    ('layer between daemons', 'layers',
     {'jobmanager/jm.h': '\n', 'taskmanager/worker/a.c': '#include "jobmanager/jm.h"\n'}, 'taskmanager/worker may not'),
    ('layer of public headers', 'layers',
     {'common/base/err.h': '\n', 'api/include/rask/a.h': '#include "common/base/err.h"\n'}, 'libc alone'),
    ('layer unknown', 'layers', {'elsewhere/a.c': '\n'}, 'elsewhere/a.c:1: .*in no layer'),
    ('include without a file', 'layers', {'common/base/a.c': '#include "gone.h"\n'}, 'not in the tree'),
    ('layer downward', 'layers',
     {'common/base/err.h': '\n', 'jobmanager/job/a.c': '#include "common/base/err.h"\n#include "proto/x.pb-c.h"\n'}, None),
    ('third party outside its file', 'third_party', {'common/net/net.c': '#include <event2/event.h>\n'}, 'net.c:1: .*_libevent.c'),
    ('third party in its file', 'third_party',
     {'common/net/net_libevent.c': '#include <event2/event.h>\n', 'common/net/net_libevent_private.h': '#include <event2/event.h>\n'}, None),
    ('third party unknown', 'third_party', {'common/net/net.c': '#include <boost.h>\n'}, 'neither libc nor'),
    ('clock in a core', 'purity',
     {'jobmanager/a.c': '#include <time.h>\nlong jm_now(void);\nlong jm_now(void)\n{\n    return time(0);\n}\n'},
     'jobmanager/a.c:5: .*a core calls time'),
    ('socket in a core', 'purity',
     {'common/rpc/a.c': 'int socket(int, int, int);\nint rpc_a(void);\nint rpc_a(void)\n{\n    return socket(1, 1, 0);\n}\n'},
     'a core calls socket'),
    ('disk in a core', 'purity',
     {'taskmanager/worker/a.c': '#include <stdio.h>\nvoid wk_a(void);\nvoid wk_a(void)\n{\n    fopen("x", "r");\n}\n'}, 'calls fopen'),
    ('clock outside the cores', 'purity',
     {'jobmanager/main.c': '#include <time.h>\nint main(void)\n{\n    return (int)time(0);\n}\n',
      'jobmanager/a_posix.c': '#include <time.h>\nlong jm_now(void);\nlong jm_now(void)\n{\n    return time(0);\n}\n'}, None),
    ('symbol without prefix', 'symbols', {'jobmanager/a.c': 'int start(void);\nint start(void)\n{\n    return 0;\n}\n'},
     'jobmanager/a.c:1: .*symbol start begins with none of: jm_'),
    ('symbol by module name', 'symbols',
     {'common/net/net.c': 'int net_a;\n', 'common/coord/none.h': '\n', 'common/coord/none.c': 'int none_a, coord_b;\n'}, None),
    ('banned call', 'banned', {'common/base/a.c': '\n\nvoid f(char *s)\n{\n    strcpy(s, "x");\n}\n'}, 'a.c:5: .*strcpy is banned'),
    ('banned in one folder', 'banned', {'jobmanager/a.c': 'int f(void)\n{\n    return fork();\n}\n'}, 'fork is banned'),
    ('banned word elsewhere', 'banned',
     {'common/base/a.c': '/* strcpy(a, b) */\nconst char *s = "system(1)";\nint my_system(int);\nint f(struct s *s)\n'
                         '{\n    return s->rand() + my_system(2);\n}\n'}, None),
    ('long file', 'length', {'common/base/a.c': '\n' * 901}, 'common/base/a.c:901: .*901 lines'),
    ('private header', 'private',
     {'common/net/net_private.h': '\n', 'common/rpc/a.c': '#include "common/net/net_private.h"\n'}, 'private to its folder'),
    ('private header at home', 'private',
     {'common/net/net_private.h': '\n', 'common/net/a.c': '#include "common/net/net_private.h"\n'}, None),
    ('marker', 'markers', {'common/base/a.c': '\n/* TO' 'DO: more */\n'}, 'a.c:2: '),
    ('machine path', 'markers', {'scripts/a.sh': '#!/bin/sh\ncat /wo' 'rk/x\n'}, 'path of one machine'),
    ('mutation of nothing', 'mutations',
     {'common/base/a.c': 'int a;\n', 'test/sim/mutations.txt': 'what: x\nfile: common/base/a.c\nold: int b;\nnew: int c;\n'},
     'mutations.txt:3: .*stands in common/base/a.c 0 times'),
    ('mutation of two places', 'mutations',
     {'common/base/a.c': 'int a;\nint a;\n',
      'test/chaos/mutate.py': 'MUTATIONS = {"x": ("common/base/a.c", "int a;\\n", "", "aligned")}\n'}, 'mutate.py:1: .*2 times'),
    ('mutation of two lines', 'mutations',
     {'common/base/a.c': 'int a;\nint b;\n',
      'test/sim/mutations.txt': 'what: x\nfile: common/base/a.c\nold: int a;\\nint b;\nnew: int c;\n'}, None),
    ('header alone', 'headers', {'common/base/a.h': 'int f(size_t n);\n'}, 'common/base/a.h:1: .*does not compile alone'),
    ('public header as C++', 'headers', {'api/include/rask/a.h': 'int f(int class);\n'}, 'c\\+\\+17'),
    ('header complete', 'headers',
     {'common/base/a.h': '#include <stddef.h>\nint f(size_t n);\n', 'api/include/rask/a.h': 'int f(int n);\n'}, None),
]


def run(name, rule, files, says):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w') as f:
                f.write(text)
            if path.endswith('.c') and rule in ('purity', 'symbols'):
                obj = os.path.join(root, 'build', path[:-2] + '.o')
                os.makedirs(os.path.dirname(obj), exist_ok=True)
                subprocess.run(['cc', '-w', '-c', '-o', obj, full], check=True)
        result = subprocess.run([sys.executable, LINT, '--root', root, '--only', rule], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
    out = result.stdout.decode()
    if says is None:
        good = result.returncode == 0
    else:
        good = result.returncode == 1 and re.search(says, out)
    print('%s lint self-test: %s' % ('ok' if good else 'FAIL', name))
    if not good:
        print('    wanted: %s\n    %s' % (says or 'no finding', out.replace('\n', '\n    ')))
    return good


def main():
    results = [run(*case) for case in CASES]
    failed = results.count(False) + results.count(None)
    print('%d passed, %d failed' % (len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
