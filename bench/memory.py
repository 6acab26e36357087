# SPDX-License-Identifier: Apache-2.0
"""What `memory` takes: CPU of the worker while cgroups with a limit and processes are there, and a kill's time in the kernel."""
import os
import subprocess
import sys
import time

import agent
import kernel

V1 = os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
ROOT, LIMIT, COUNT = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control") if V1 else (
    "/sys/fs/cgroup", "memory.max", "memory.events")
HOG = """
import mmap, sys
kept = [mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=i % 2 * 2 + 1) for i in range(int(sys.argv[1]))]
while True: kept.append(b'x' * (1 << 20))
"""


class Cgroups:
    """So many cgroups with a limit of 32 MiB; removed at the end."""

    def __init__(self, n):
        self.folders = [ROOT + "/sonde-bench-%d-%d" % (os.getpid(), i) for i in range(n)]

    def __enter__(self):
        for folder in self.folders:
            os.mkdir(folder)
            with open(os.path.join(folder, LIMIT), "w") as f:
                f.write(str(32 << 20))
        return self

    def __exit__(self, *_):
        for folder in self.folders:
            for _ in range(100):
                try:
                    os.rmdir(folder)
                    break
                except OSError:  # its last process is on its way out
                    time.sleep(0.05)


class Sleepers:
    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.children = [subprocess.Popen(["sleep", "600"]) for _ in range(self.n)]

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
        for child in self.children:
            child.wait()


def idle(section, seconds, what, things):
    with things, agent.Agent(programs=["memory"]) as a:
        time.sleep(5)
        before, begin = agent.cpu_ns(a.worker), time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - begin
        section.add("CPU of the worker, " + what, "% of a core", [(agent.cpu_ns(a.worker) - before) / span / 1e7],
                    "over %.0f s" % span)


def kill(section, rounds, mappings):
    spent = []
    with kernel.statistics(), agent.Agent(programs=["memory"]) as a, Cgroups(rounds) as cgroups:
        for folder in cgroups.folders:
            before = a.hooks()
            subprocess.run(["sh", "-c", "echo $$ >%s/cgroup.procs && exec \"$@\"" % folder, "sh", sys.executable, "-S", "-E", "-c",
                            HOG, str(mappings)], timeout=60)
            runs, ns = kernel.difference(a.hooks(), before)[("memory", "tp_btf/mark_victim")]
            spent.append(ns / runs / 1000)
    section.add("tp_btf/mark_victim at a kill, some %d mappings" % (mappings + 50), "us", spent)


def measure(section, quick):
    if not os.path.exists(os.path.join(ROOT, "cgroup.procs")) or not V1 and "memory" not in open(ROOT + "/cgroup.controllers").read():
        return section.skip("all of it", "no memory controller")
    seconds = 5 if quick else 20
    for n in (0, 100, 1000):
        idle(section, seconds, "%d cgroups at rest" % n, Cgroups(n))
    idle(section, seconds, "2000 more processes at rest", Sleepers(2000))
    for mappings in (0, 3000):
        kill(section, 3 if quick else 5, mappings)
