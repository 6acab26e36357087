# SPDX-License-Identifier: Apache-2.0
"""CPU time of a workload with a tool running, as a ratio of the same workload without, taken right before."""
from beside import X, Peer, Sonde, compare, generated

EXEC, TCP, DROP = "fork+exec+exit", "TCP connect+accept+close", "UDP datagram dropped"
WORKLOADS = {EXEC: generated(1500, "exec"), TCP: generated(20000, "connections", "127.0.0.1"),
             DROP: generated(100000, "udp", "127.0.0.1", "9")}
BPFTRACE_EXEC = "tracepoint:sched:sched_process_exec,tracepoint:sched:sched_process_exit { @[probe] = count(); }"
BPFTRACE_TCP = "tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); }"
BPFTRACE_DROP = "tracepoint:skb:kfree_skb { @[args->reason] = count(); }"
TOOLS = [
    ("sonde", Sonde, [EXEC, TCP, DROP]),
    ("execsnoop", lambda: Peer("execsnoop"), [EXEC]),
    ("bpftrace count of exec and exit", lambda: Peer("bpftrace", "-e", BPFTRACE_EXEC), [EXEC]),
    ("tcplife", lambda: Peer("tcplife"), [TCP]),
    ("bpftrace count by state", lambda: Peer("bpftrace", "-e", BPFTRACE_TCP), [TCP]),
    ("tcpdrop", lambda: Peer("tcpdrop"), [DROP]),
    ("bpftrace count by reason", lambda: Peer("bpftrace", "-e", BPFTRACE_DROP), [DROP]),
]


def measure(section, quick):
    compare(section, quick, WORKLOADS, TOOLS, {(EXEC, "sonde", X): 1.02, (TCP, "sonde", X): 1.05}, budget_s=100)
