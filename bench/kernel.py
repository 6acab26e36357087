# SPDX-License-Identifier: Apache-2.0
"""ns in the kernel for each event, by the kernel's own statistics of BPF programs, less those of an empty program."""
import ctypes
import os

import agent

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


WORKLOADS = [  # name, operations, arguments before and after the count, program whose hooks count
    ("fork+exec+exit", 2000, ("exec",), (), "process"),
    ("TCP connect+accept+close", 20000, ("connections", "127.0.0.1"), (), "connection"),
    ("UDP datagram dropped", 100000, ("udp", "127.0.0.1", "9"), (), "packet_drop"),
    ("flood system call", 1000000, ("syscalls",), (), "flood"),
]


def measure(section, quick):
    rounds, costs, hooks, empty_ns, events = 3 if quick else 5, {}, {}, [], {}
    with statistics(), agent.Agent(objects=[agent.FLOOD, agent.EMPTY]) as a:
        agent.generate("syscalls", 100000)
        for _ in range(rounds):
            for name, count, first, last, program in WORKLOADS:
                count //= 4 if quick else 1
                entered, before = a.settle(program)["entered"], a.hooks()
                agent.generate(*first, count, *last)
                done = difference(a.hooks(), before)
                entered = a.settle(program)["entered"] - entered
                runs, spent = done[("empty", "tp_btf/sys_enter")]
                empty = spent / runs
                empty_ns.append(empty)
                total = 0
                for (owner, hook), (n, ns) in done.items():
                    if owner == program and n >= count / 2:
                        hooks.setdefault((name, hook), []).append((ns / n - empty, n / count))
                    if owner == program:
                        total += ns - n * empty
                costs.setdefault(name, []).append(total / count)
                events.setdefault(name, []).append(entered / count)
    section.add("empty program (subtracted below)", "ns/run", empty_ns)
    for name, count, first, last, program in WORKLOADS:
        section.add("%s: %s in all" % (name, program), "ns/operation", costs[name],
                    "%.2f events an operation" % (sum(events[name]) / len(events[name])))
        for (owner, hook), values in hooks.items():
            if owner == name:
                section.add("  " + hook, "ns/run", [v[0] for v in values], "%.2f runs an operation" % values[0][1])
