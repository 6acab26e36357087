# SPDX-License-Identifier: Apache-2.0
"""ns in the kernel for each event, by the kernel's own statistics of BPF programs, less those of an empty program."""
import ctypes
import os

import agent
import dns
from beside import generated

BPF_ENABLE_STATS, BPF_STATS_RUN_TIME = 32, 0
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


class statistics:
    """Run time statistics, on as long as this is open and off again with this process, however it ends."""

    def __enter__(self):
        attribute = (ctypes.c_uint32 * 32)(BPF_STATS_RUN_TIME)
        self.fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_BPF, BPF_ENABLE_STATS, attribute, ctypes.sizeof(attribute))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
        return self

    def __exit__(self, *_):
        os.close(self.fd)


def difference(after, before):
    return {k: (after[k][0] - before.get(k, (0, 0))[0], after[k][1] - before.get(k, (0, 0))[1]) for k in after}


SOON = {name: {"update_interval_ns": "1s"} for name in ("file", "syscall", "flow")}  # so that no table gets full
PATH = os.path.realpath(__file__)
WORKLOADS = [  # name, what does it, program whose hooks count
    ("fork+exec+exit", generated(2000, "exec"), "process"),
    ("TCP connect+accept+close", generated(20000, "connections", "127.0.0.1"), "connection"),
    ("UDP datagram dropped", generated(100000, "udp", "127.0.0.1", "9"), "packet_drop"),
    ("UDP datagram and its ICMP", generated(100000, "udp", "127.0.0.1", "9"), "flow"),
    ("open+close", generated(100000, "open", PATH), "file"),
    ("read of 64 bytes", generated(400000, "read", PATH), "file"),
    ("system call that file passes by", generated(400000, "syscalls"), "file"),
    ("system call", generated(1000000, "syscalls"), "syscall"),
    ("flood system call", generated(1000000, "syscalls"), "flood"),
]


def measure_one(a, run, program, costs):
    """Adds to `costs`: "all", its hooks by name, and "empty"."""
    entered, before = a.settle(program)["entered"], a.hooks()
    done = run()
    used = difference(a.hooks(), before)
    runs, spent = used[("empty", "tp_btf/sys_exit")]
    costs["empty"].append(spent / runs)
    mine = {hook: (n, ns - n * spent / runs) for (owner, hook), (n, ns) in used.items() if owner == program}
    costs["all"].append(sum(ns for _, ns in mine.values()) / done.count)
    costs["events"].append((a.settle(program)["entered"] - entered) / done.count)
    for hook, (n, ns) in mine.items():
        if n >= done.count / 2:
            costs["hooks"].setdefault(hook, []).append((ns / n, n / done.count))


def measure(section, quick):
    costs = {}
    with statistics(), dns.Server() as server, agent.Agent(agent.ALL, [agent.FLOOD, agent.EMPTY], settings=SOON) as a:
        agent.generate("syscalls", 100000)
        workloads = WORKLOADS + [("DNS question, asked and served here", server.asked("answered", 60000, "-q", 64), "dns")]
        for _ in range(3):
            for name, run, program in workloads:
                mine = costs.setdefault(name, {"all": [], "events": [], "empty": [], "hooks": {}})
                measure_one(a, lambda: run(0.25 if quick else 1), program, mine)
    section.add("empty program (subtracted below)", "ns/run", [ns for mine in costs.values() for ns in mine["empty"]])
    for name, _, program in workloads:
        mine = costs[name]
        section.add("%s: %s in all" % (name, program), "ns/operation", mine["all"],
                    "%.2f events an operation" % (sum(mine["events"]) / len(mine["events"])))
        for hook, values in mine["hooks"].items():
            section.add("  " + hook, "ns/run", [v[0] for v in values], "%.2f runs an operation" % values[0][1])
