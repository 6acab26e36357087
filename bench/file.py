# SPDX-License-Identifier: Apache-2.0
"""Opens with path, and reads by path and process: what they cost more, next to the tools that show the same."""
import os

from beside import MORE, Peer, Sonde, compare, generated

OPEN, READ = "open+close", "read of 64 bytes"
PATH = os.path.realpath(__file__)
WORKLOADS = {OPEN: generated(100000, "open", PATH), READ: generated(300000, "read", PATH)}
BPFTRACE_OPEN = "tracepoint:syscalls:sys_enter_openat { @[pid, str(args->filename)] = count(); }"
BPFTRACE_READ = "tracepoint:syscalls:sys_exit_pread64 { @[pid, comm] = sum(args->ret); }"
COUNTED, SINGLE = "sonde, counted by path", "sonde, an event for each (single)"
TOOLS = [
    (COUNTED, lambda: Sonde(["file"]), [OPEN, READ]),
    (SINGLE, lambda: Sonde(["file"], settings={"file": {"single": 1}}), [OPEN]),
    ("bpftrace count by name", lambda: Peer("bpftrace", "-e", BPFTRACE_OPEN), [OPEN]),
    ("opensnoop", lambda: Peer("opensnoop"), [OPEN]),
    ("bpftrace sum by process", lambda: Peer("bpftrace", "-e", BPFTRACE_READ), [READ]),
]
AIMS = {(OPEN, COUNTED, MORE): 420, (OPEN, SINGLE, MORE): 420, (READ, COUNTED, MORE): 120}


def measure(section, quick):
    compare(section, quick, WORKLOADS, TOOLS, AIMS)
