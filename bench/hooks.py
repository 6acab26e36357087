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
    """{tool: [ns of an operation in each round]}; "": without any."""
    objects = [os.path.join(agent.BUILD, words.replace(",", ".bpf.o,", 1) if "," in words else words + ".bpf.o") for words in tools.values()]
    out = subprocess.run([os.path.join(agent.BUILD, "bench_hooks"), work, str(rounds)] + objects, stdout=subprocess.PIPE, check=True).stdout
    return dict(zip([""] + list(tools), (json.loads(line)["ns"] for line in out.splitlines())))


def measure(section, quick):
    for name, work, programs in WORKLOADS:
        costs = run(work, 20 if quick else 100, {**EMPTY, **{program: words for program, words, _ in programs}})
        section.add(name, "ns/operation", costs[""])
        for tool in list(EMPTY) + [program for program, _, _ in programs]:
            section.add("  " + tool, MORE, [cost - bare for cost, bare in zip(costs[tool], costs[""])])
        for tool, _, floor in programs:
            section.add("  %s: above %s" % (tool, floor), MORE, [cost - least for cost, least in zip(costs[tool], costs[floor])])
