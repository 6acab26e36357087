# SPDX-License-Identifier: Apache-2.0
"""CPU time of a workload with a tool running, as a ratio of the same workload without, taken right before."""
import shutil
import subprocess
import time

import agent

EXEC, TCP, DROP = "fork+exec+exit", "TCP connect+accept+close", "UDP datagram dropped"
WORKLOADS = {EXEC: (3000, ("exec",)), TCP: (40000, ("connections", "127.0.0.1")), DROP: (200000, ("udp", "127.0.0.1", "9"))}
BPFTRACE_EXEC = "tracepoint:sched:sched_process_exec,tracepoint:sched:sched_process_exit { @[probe] = count(); }"
BPFTRACE_TCP = "tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); }"
BPFTRACE_DROP = "tracepoint:skb:kfree_skb { @[args->reason] = count(); }"
PEERS = [  # name, command, workload
    ("execsnoop", ["execsnoop"], EXEC),
    ("bpftrace count", ["bpftrace", "-e", BPFTRACE_EXEC], EXEC),
    ("tcplife", ["tcplife"], TCP),
    ("bpftrace count", ["bpftrace", "-e", BPFTRACE_TCP], TCP),
    ("tcpdrop", ["tcpdrop"], DROP),
    ("bpftrace count", ["bpftrace", "-e", BPFTRACE_DROP], DROP),
]
BUDGET_S = 150  # no new round after that: on a busy machine there are fewer
AIMS = {EXEC: 1.02, TCP: 1.05}


class Peer:
    """A tool beside us, its output thrown away; ready when the kernel has a BPF program more."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        if self.process.poll() is not None:
            raise OSError("%s does not run here" % self.command[0])
        return self

    def pids(self):
        return [self.process.pid]

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Sonde(agent.Agent):
    def pids(self):
        return [self.loader, self.worker]


def run(workload, scale):
    count, arguments = WORKLOADS[workload]
    count = int(count * scale)
    result = agent.generate(*arguments, count)
    return result["total_cpu_ns"] / count, result["wall_ns"]


def one(results, tool, workloads, scale, context):
    with context as tool_running:
        for workload in workloads:
            pids = tool_running.pids()
            before = sum(agent.cpu_ns(p) for p in pids)
            cost, wall = run(workload, scale)
            used = sum(agent.cpu_ns(p) for p in pids) - before
            results.setdefault((workload, tool), []).append((cost, 100 * used / wall))


def measure(section, quick):
    rounds, scale = (1, 0.25) if quick else (5, 1)
    bare, results, missing = {}, {}, {}

    def baseline(workload, tool):
        bare.setdefault((workload, tool), []).append(run(workload, scale)[0])

    end = time.monotonic() + BUDGET_S
    for i in range(rounds):
        if i and time.monotonic() > end:
            break
        for workload in WORKLOADS:
            baseline(workload, "sonde")
        one(results, "sonde", WORKLOADS, scale, Sonde())
        for tool, command, workload in PEERS:
            if (workload, tool) in missing:
                continue
            if not shutil.which(command[0]):
                missing[(workload, tool)] = "not installed"
                continue
            baseline(workload, tool)
            try:
                one(results, tool, [workload], scale, Peer(command))
            except OSError as e:
                missing[(workload, tool)] = str(e)
    for workload in WORKLOADS:
        section.add("%s: bare" % workload, "ns/operation", bare[(workload, "sonde")])
        for tool in ["sonde"] + [t for t, _, w in PEERS if w == workload]:
            if (workload, tool) in missing:
                section.skip("  with %s" % tool, missing[(workload, tool)])
                continue
            pairs = list(zip(results[(workload, tool)], bare[(workload, tool)]))
            section.add("  with %s" % tool, "x bare", [r[0] / b for r, b in pairs],
                        "tool's own CPU %.1f %%" % (sum(r[1] for r, _ in pairs) / len(pairs)),
                        aim=AIMS.get(workload) if tool == "sonde" else None)
            section.add("  with %s" % tool, "ns/operation more", [r[0] - b for r, b in pairs])
