# SPDX-License-Identifier: Apache-2.0
"""Opens with path, and reads and writes by process, by path, with latency: what they cost more, next to empty hooks and
to the tools that show the same."""
import os

from beside import EMPTY, EMPTY_BOTH, MORE, Peer, Sonde, compare, empty, generated

OPEN, PAGES, READ = "open+close", "4 KiB read or written in tmpfs", "read of 64 bytes"
PATH = os.path.realpath(__file__)
WORKLOADS = {OPEN: generated(100000, "open", PATH, quiet=True),
             PAGES: generated(200000, "pages", "/dev/shm/sonde-bench-%d" % os.getpid(), quiet=True),
             READ: generated(300000, "read", PATH, quiet=True)}
BPFTRACE_OPEN = "tracepoint:syscalls:sys_enter_openat { @[pid, str(args->filename)] = count(); }"
BPFTRACE_SUM = "tracepoint:syscalls:sys_exit_pread64,tracepoint:syscalls:sys_exit_pwrite64 { @[pid, comm] = sum(args->ret); }"
BPFTRACE_LATENCY = """tracepoint:syscalls:sys_enter_pread64,tracepoint:syscalls:sys_enter_pwrite64 { @began[tid] = nsecs; }
tracepoint:syscalls:sys_exit_pread64,tracepoint:syscalls:sys_exit_pwrite64 /@began[tid]/ {
	@[pid] = hist(nsecs - @began[tid]); @sum[pid, comm] = sum(args->ret); delete(@began[tid]); }"""
BY_PROCESS, BY_PATH, SINGLE = "sonde, counted by process", "sonde, counted by path", "sonde, an event for each (single)"
LATENCY = "sonde, counted by process, with latency"


def sonde(**settings):
    return lambda: Sonde(["file"], settings={"file": settings})


TOOLS = [
    (EMPTY, empty(), [OPEN, PAGES, READ]),
    (BY_PROCESS, sonde(read_write=1), [PAGES, READ]),
    ("syscount -P", lambda: Peer("syscount", "-P"), [PAGES]),
    ("bpftrace sum by process", lambda: Peer("bpftrace", "-e", BPFTRACE_SUM), [PAGES, READ]),
    (EMPTY_BOTH, empty(both_ends=1), [PAGES]),
    (LATENCY, sonde(read_write=1, latency=1), [PAGES]),
    ("syscount -P -L", lambda: Peer("syscount", "-P", "-L"), [PAGES]),
    ("bpftrace histogram by process", lambda: Peer("bpftrace", "-e", BPFTRACE_LATENCY), [PAGES]),
    (BY_PATH, sonde(), [OPEN, PAGES, READ]),
    (SINGLE, sonde(single=1), [OPEN]),
    ("bpftrace count by name", lambda: Peer("bpftrace", "-e", BPFTRACE_OPEN), [OPEN]),
    ("opensnoop", lambda: Peer("opensnoop"), [OPEN]),
]
AIMS = {(OPEN, BY_PATH, MORE): 420, (OPEN, SINGLE, MORE): 420, (PAGES, BY_PROCESS, MORE): 120, (PAGES, LATENCY, MORE): 300}


def measure(section, quick):
    compare(section, quick, WORKLOADS, TOOLS, AIMS, budget_s=120)
