# SPDX-License-Identifier: Apache-2.0
"""A workload with a tool beside it, and right before and after the same workload without: the difference is what the tool costs.

A workload is a function of a scale that gives a Run. A tool is a name, a function that makes its context (a Peer or Sonde), and
the names of the workloads it runs beside.
"""
import collections
import glob
import os
import shutil
import subprocess
import time

import agent

Run = collections.namedtuple("Run", "cpu_ns wall_ns count said", defaults=(None,))
ATTACHED = ("anon_inode:[perf_event]", "anon_inode:bpf_link", "anon_inode:bpf-link", "socket:")
X, MORE, OWN = "x bare", "ns/operation more", "% of a core"


def generated(count, *arguments, after=(), quiet=False):
    """A workload of tests/generate.c. `quiet`: at the cost of its quieter slices, for what other work on the machine costs the others
    is not the tool's."""
    def run(scale):
        result = agent.generate(*arguments, int(count * scale), *after)
        cpu_ns = result["quiet_cpu_ns"] * result["count"] if quiet else result["total_cpu_ns"]
        return Run(cpu_ns, result["wall_ns"], result["count"])
    return run


def quietest(run, parts=5):
    """The same in parts, each at the cost of the cheapest: what other work on the machine costs the others is not the tool's."""
    def in_parts(scale):
        runs = [run(scale / parts) for _ in range(parts)]
        count = sum(r.count for r in runs)
        return Run(count * min(r.cpu_ns / r.count for r in runs), sum(r.wall_ns for r in runs), count, [said for r in runs for said in r.said or ()])
    return in_parts


def family(pid):
    """A process and its children."""
    children = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        try:
            with open(path) as f:
                children += map(int, f.read().split())
        except OSError:
            pass
    return [pid] + [p for child in children for p in family(child)]


class Peer:
    """A tool beside us, its output thrown away; ready some time after it has opened what it listens to."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        if not shutil.which(self.command[0]):
            raise OSError("not installed")
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 15
        while not self.attached() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.7)
        if self.process.poll() is not None:
            raise OSError("%s does not run here" % self.command[0])
        return self

    def attached(self):
        for path in (path for pid in family(self.process.pid) for path in glob.glob("/proc/%d/fd/*" % pid)):
            try:
                if os.readlink(path).startswith(ATTACHED):
                    return True
            except OSError:
                pass
        return False

    def pids(self):
        return family(self.process.pid)

    def seen(self, run):
        return ""

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Sonde(agent.Agent):
    def pids(self):
        return [self.loader, self.worker]

    def seen(self, run):
        """What it says about the run; an exception, if that is wrong."""
        return ""


EMPTY, EMPTY_BOTH = "an empty hook at the end of each call", "an empty hook at both ends"
EMPTY_PACKETS = "empty hooks where packets leave and arrive"


def empty(**settings):
    """What no program at these hooks can be below."""
    return lambda: Sonde([], [agent.EMPTY], settings={"empty": settings})


class Comparison:
    def __init__(self, workloads, tools):
        self.workloads, self.tools = workloads, tools
        self.bare, self.results, self.missing = {}, {}, {}  # by (workload, tool)

    def measure(self, rounds, scale, budget_s):
        """No new round when the time is over: on a busy machine there are fewer."""
        end = time.monotonic() + budget_s
        for i in range(rounds):
            if i and time.monotonic() > end:
                break
            for tool, context, workloads in self.tools:
                if tool not in self.missing:
                    self.round(tool, context, workloads, scale)
        return self

    def round(self, tool, context, workloads, scale):
        """Bare before and after: a machine that gets slower meanwhile does so in the middle."""
        before = {workload: self.workloads[workload](scale) for workload in workloads}
        try:
            with context() as running:
                for workload in workloads:
                    self.beside(tool, running, workload, scale)
        except OSError as e:
            self.missing[tool] = str(e)
            return
        for workload in workloads:
            after = self.workloads[workload](scale)
            both = Run(*(a + b for a, b in zip(before[workload][:3], after[:3])))
            self.bare.setdefault((workload, tool), []).append(both)

    def beside(self, tool, running, workload, scale):
        before = {pid: agent.cpu_ns(pid) for pid in running.pids()}
        run = self.workloads[workload](scale)
        used = sum(agent.cpu_ns(pid) - before.get(pid, 0) for pid in running.pids())
        self.results.setdefault((workload, tool), []).append((run, 100 * used / run.wall_ns, running.seen(run)))

    def report(self, section, aims):
        """`aims`: {(workload, tool, unit): number}."""
        for workload in self.workloads:
            tools = [tool for tool, _, workloads in self.tools if workload in workloads]
            bare = [run for tool in tools for run in self.bare.get((workload, tool), ())]
            section.add("%s: bare" % workload, "ns/operation", [run.cpu_ns / run.count for run in bare], rate(bare))
            for tool in tools:
                if tool in self.missing:
                    section.skip("  with %s" % tool, self.missing[tool])
                else:
                    self.report_tool(section, workload, tool, aims)

    def report_tool(self, section, workload, tool, aims):
        results, bare = self.results[(workload, tool)], self.bare[(workload, tool)]
        pairs = [(run.cpu_ns / run.count, b.cpu_ns / b.count) for (run, _, _), b in zip(results, bare)]
        what, seen = "  with %s" % tool, [said for _, _, said in results if said]
        section.add(what, X, [cost / b for cost, b in pairs], "; ".join([rate([run for run, _, _ in results])] + seen[-1:]),
                    aim=aims.get((workload, tool, X)))
        section.add(what, MORE, [cost - b for cost, b in pairs], aim=aims.get((workload, tool, MORE)))
        section.add(what + ", its own CPU", OWN, [own for _, own, _ in results], aim=aims.get((workload, tool, OWN)))


def rate(runs):
    return "{:,.0f} operations/s".format(sum(r.count for r in runs) * 1e9 / sum(r.wall_ns for r in runs)) if runs else ""


def compare(section, quick, workloads, tools, aims, rounds=5, budget_s=20):
    Comparison(workloads, tools).measure(1 if quick else rounds, 0.25 if quick else 1, budget_s).report(section, aims)
