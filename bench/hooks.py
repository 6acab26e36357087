# SPDX-License-Identifier: Apache-2.0
"""What the hooks of file and syscall take of a call, next to hooks that do nothing: measured in turns of some milliseconds (hooks.c),
which says more of the hooks than the agent beside a workload does, and the same on a busy machine."""
import json
import os
import subprocess

import agent
from beside import MORE

OTHER, END, BOTH, CLOCK = "a hook of another call", "an empty hook at the end", "an empty hook at both ends", "a look at the clock at both ends"
EMPTY = {OTHER: "empty,other_call=1,call_ends=0", END: "empty", BOTH: "empty,both_ends=1", CLOCK: "empty,both_ends=1,clock=1"}
# The workload, its name for hooks.c, what is measured there, and what of the others it stands on.
WORKLOADS = [
    ("system call that does nothing", "syscalls", [
        ("syscall, counted", "syscall", END), ("syscall, with latency", "syscall,latency=1", CLOCK)]),
    ("4 KiB read or written in tmpfs", "pages", [
        ("file, counted by process", "file,read_write=1", END), ("file, counted by process, with latency", "file,read_write=1,latency=1", CLOCK),
        ("file, counted by path", "file", END)]),
    ("open+close", "open", [
        ("file, counted by path", "file", END), ("file, an event for each (single)", "file,single=1", END)]),
]


def run(work, rounds, tools):
    """The least an operation takes bare, and {tool: {round: ns that it takes more}}, but for the rounds where it took more without the
    tool too: another program was at these hooks, or at the CPU's other thread."""
    objects = [os.path.join(agent.BUILD, ",".join([words.split(",")[0] + ".bpf.o"] + words.split(",")[1:])) for words in tools.values()]
    out = subprocess.run([os.path.join(agent.BUILD, "bench_hooks"), work, str(rounds)] + objects, stdout=subprocess.PIPE, check=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    least = min(min(line["bare"]) for line in lines)
    return least, {tool: {i: cost - bare for i, (bare, cost) in enumerate(zip(line["bare"], line["ns"])) if bare < 1.1 * least}
                   for tool, line in zip(tools, lines)}


def measure(section, quick):
    for name, work, programs in WORKLOADS:
        least, costs = run(work, 20 if quick else 100, {**EMPTY, **{program: words for program, words, _ in programs}})
        section.add(name, "ns/operation", [least])
        for tool, more in costs.items():
            section.add("  " + tool, MORE, more.values())
        for tool, _, floor in programs:
            section.add("  %s: above %s" % (tool, floor), MORE,
                        [more - costs[floor][i] for i, more in costs[tool].items() if i in costs[floor]])
