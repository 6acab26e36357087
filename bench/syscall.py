# SPDX-License-Identifier: Apache-2.0
"""System calls counted by process and call, with and without latency, next to empty hooks and to the tools that count them too."""
from beside import EMPTY, EMPTY_BOTH, MORE, Peer, Sonde, compare, empty, generated

CALL = "system call that does nothing"
WORKLOADS = {CALL: generated(500000, "syscalls", quiet=True)}
BPFTRACE = "tracepoint:raw_syscalls:sys_exit { @[pid, args->id] = count(); }"
COUNTED, LATENCY = "sonde, counted", "sonde, with latency"
TOOLS = [
    (EMPTY, empty(), [CALL]),
    (COUNTED, lambda: Sonde(["syscall"]), [CALL]),
    ("syscount", lambda: Peer("syscount", "-P"), [CALL]),
    ("bpftrace count", lambda: Peer("bpftrace", "-e", BPFTRACE), [CALL]),
    (EMPTY_BOTH, empty(both_ends=1), [CALL]),
    (LATENCY, lambda: Sonde(["syscall"], settings={"syscall": {"latency": 1}}), [CALL]),
    ("syscount -L", lambda: Peer("syscount", "-P", "-L"), [CALL]),
]


def measure(section, quick):
    compare(section, quick, WORKLOADS, TOOLS, {(CALL, COUNTED, MORE): 120, (CALL, LATENCY, MORE): 300}, budget_s=60)
