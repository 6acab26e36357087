#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memory against the real kernel: kills in real cgroups, held against the kernel's own count; leaks, and what only looks like one."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Trace  # noqa: E402

MIB = 1 << 20
V1 = "/sys/fs/cgroup/memory"
V2 = next((r for r in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(r + "/cgroup.controllers")), None)


def v2_has_memory():
    if not V2:
        return False
    with open(V2 + "/cgroup.controllers") as f:
        return "memory" in f.read().split()


class Cgroup:
    """A cgroup with a memory limit, made and removed by the test."""

    def __init__(self, case, name, limit, root=None):
        self.v2 = v2_has_memory()
        self.root = V2 if self.v2 else V1
        self.path = "%s/sonde-test-%d-%s" % (root or "", os.getpid(), name)
        self.folder = self.root + self.path
        if self.v2:
            with open(os.path.dirname(self.folder) + "/cgroup.subtree_control", "w") as f:
                f.write("+memory")
        os.mkdir(self.folder)
        case.addClassCleanup(self.remove)
        if limit:
            with open(self.folder + ("/memory.max" if self.v2 else "/memory.limit_in_bytes"), "w") as f:
                f.write(str(limit))

    def remove(self):
        for _ in range(100):
            try:
                os.rmdir(self.folder)
                return
            except OSError:  # its last process is on its way out
                time.sleep(0.05)
        os.rmdir(self.folder)

    def kills(self):
        """The kernel's own count."""
        with open(self.folder + ("/memory.events" if self.v2 else "/memory.oom_control")) as f:
            return next(int(line.split()[1]) for line in f if line.split()[0] == "oom_kill")

    def start(self, code, *arguments):
        """Python that is in the cgroup before it has any memory of its own."""
        return subprocess.Popen(["sh", "-c", "echo $$ >%s/cgroup.procs && exec \"$@\"" % self.folder, "sh",
                                 sys.executable, "-S", "-E", "-c", "import os,sys,threading,time\n" + code,
                                 *map(str, arguments)], stderr=subprocess.DEVNULL)


HOG = """
kept = []
while True: kept.append(b'x' * (1 << 20))
"""
# `rate` MiB a second, from `first` MiB on until `last`, then quiet.
GROW = """
rate, first, last, kept, begin = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [], time.monotonic()
kept.append(b'x' * (first << 20))
while True:
    while first + len(kept) < last and len(kept) < (time.monotonic() - begin) * rate: kept.append(b'x' * (1 << 20))
    time.sleep(0.02)
"""
# Up to `high` MiB by `rate` a second, then down to `low` at once, again and again.
SAW = """
import mmap
rate, low, high = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = b'x' * (low << 20)
while True:
    kept, begin = [], time.monotonic()
    while low + len(kept) < high:
        while len(kept) < (time.monotonic() - begin) * rate:
            kept.append(mmap.mmap(-1, 1 << 20)); kept[-1].write(b'x' * (1 << 20))
        time.sleep(0.02)
    for area in kept: area.close()
"""


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not v2_has_memory() and not os.path.exists(V1 + "/memory.limit_in_bytes"):
            raise unittest.SkipTest("no memory controller")
        cls.older = Cgroup(cls, "older", 16 * MIB)
        cls.older.start(HOG).wait(60)  # a kill that is past when the trace starts
        cls.older_kills = cls.older.kills()
        cls.children = []
        cls.addClassCleanup(cls.end_children)
        with Trace("memory") as cls.trace:
            cls.cause()
        cls.addClassCleanup(cls.end_children)

    @classmethod
    def end_children(cls):
        for child in cls.children:
            child.kill()
            child.wait()
        cls.children = []

    @classmethod
    def begin(cls, cgroup, code, *arguments):
        cls.children.append(cgroup.start(code, *arguments))
        return cls.children[-1]

    @classmethod
    def cause(cls):
        cls.leaking = Cgroup(cls, "leak", 300 * MIB)
        cls.quiet = Cgroup(cls, "quiet", 200 * MIB)
        cls.sawing = Cgroup(cls, "saw", 200 * MIB)
        cls.stopping = Cgroup(cls, "stop", 400 * MIB)
        cls.leak = cls.begin(cls.leaking, GROW, 20, 0, 100000)
        cls.begin(cls.quiet, GROW, 1000, 0, 120)
        cls.begin(cls.sawing, SAW, 20, 20, 60)
        cls.begin(cls.stopping, GROW, 10, 0, 30)
        cls.cause_kills()
        cls.leak.wait(120)
        cls.leak_ended_ns = time.time_ns()
        time.sleep(2.5)  # what led to it is told at the next look
        cls.end_children()

    @classmethod
    def cause_kills(cls):
        cls.one = Cgroup(cls, "one", 32 * MIB)
        cls.hog = cls.one.start(HOG)
        cls.hog.wait(60)
        cls.hog_ended_ns = time.time_ns()
        cls.pair = Cgroup(cls, "pair", 48 * MIB)
        cls.two = [cls.pair.start(HOG), cls.pair.start(HOG)]
        for child in cls.two:
            child.wait(60)
        cls.outer = Cgroup(cls, "outer", 32 * MIB)
        cls.inner = Cgroup(cls, "inner", 0, root=cls.outer.path)
        cls.nested = cls.inner.start(HOG)
        cls.nested.wait(60)
        # Many threads that all ask for memory while the process dies: each of them is marked, but one process is killed.
        cls.many = Cgroup(cls, "threads", 64 * MIB)
        cls.threads = cls.many.start("def hog():\n    kept = []\n    while True: kept.append(b'x' * (1 << 20))\n"
                                     "[threading.Thread(target=hog).start() for _ in range(20)]")
        cls.threads.wait(60)
        # The victim need not be the one that asks.
        cls.unlucky = Cgroup(cls, "unlucky", 64 * MIB)
        cls.large = cls.unlucky.start("open('/proc/self/oom_score_adj','w').write('1000'); x = b'x' * (20 << 20)\n"
                                      "print(flush=True); time.sleep(99)")
        time.sleep(1)
        cls.asker = cls.unlucky.start("x = []\nfor i in range(48): x.append(b'x' * (1 << 20))")
        cls.large.wait(60)
        cls.asker.wait(60)
        cls.older.start(HOG).wait(60)
        cls.adjusted = subprocess.Popen(["sh", "-c", "echo 500 >/proc/self/oom_score_adj; echo 0 >/proc/self/oom_score_adj"])
        cls.adjusted.wait()
        cls.plain_kill = subprocess.Popen(["sleep", "99"])
        cls.plain_kill.kill()
        cls.plain_kill.wait()

    def kills_in(self, cgroup):
        return self.trace.of(type="memory", kind="oom_kill", cgroup=cgroup.path)

    def forecasts_of(self, cgroup):
        return self.trace.of(type="memory", kind="forecast", cgroup=cgroup.path)

    @staticmethod
    def ns(e):
        whole, fraction = e["time"].rstrip("Z").split(".")
        import calendar
        return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))

    def test_kill(self):
        kills = self.kills_in(self.one)
        self.assertEqual(len(kills), 1)
        e = kills[0]
        self.assertEqual((e["victim_pid"], e["victim_command"], e["victim_uid"], e["pid"], e["command"]),
                         (self.hog.pid, os.path.basename(sys.executable)[:15], 0, self.hog.pid, e["victim_command"]))
        self.assertEqual((e["scope"], e["limit_bytes"], e["source"], e["weight"]), ("cgroup", 32 * MIB, "ebpf", 1))
        self.assertGreater(e["used_bytes"], 28 * MIB)
        self.assertLessEqual(e["used_bytes"], 32 * MIB)
        self.assertGreater(e["anon_bytes"], 16 * MIB)
        self.assertLess(e["anon_bytes"], 33 * MIB)
        self.assertGreater(e["page_table_bytes"], 0)
        self.assertEqual(e["oom_score_adj"], 0)
        self.assertGreater(e["oom_score"], 500)
        self.assertLess(abs(self.hog_ended_ns - self.ns(e)), 10**9)
        for absent in ("slope_bytes_per_second", "time_to_limit_ns", "confidence_pct", "untracked"):
            self.assertIsNone(e[absent])

    def test_the_kernel_counts_the_same(self):
        for cgroup in (self.one, self.pair, self.inner, self.many, self.unlucky, self.leaking):
            limit = self.outer if cgroup is self.inner else cgroup
            self.assertEqual(len(self.kills_in(limit)), cgroup.kills(), cgroup.path)
        self.assertEqual(len(self.kills_in(self.older)), self.older.kills() - self.older_kills)

    def test_two_processes(self):
        kills = self.kills_in(self.pair)
        self.assertEqual(sorted(e["victim_pid"] for e in kills), sorted(c.pid for c in self.two))

    def test_limit_of_the_parent(self):
        kills = self.kills_in(self.outer)
        self.assertEqual([(e["victim_pid"], e["limit_bytes"]) for e in kills], [(self.nested.pid, 32 * MIB)])
        self.assertEqual(self.kills_in(self.inner), [])

    def test_threads_are_one_kill(self):
        self.assertEqual([e["victim_pid"] for e in self.kills_in(self.many)], [self.threads.pid])

    def test_who_asked_is_not_the_victim(self):
        kills = self.kills_in(self.unlucky)
        self.assertEqual([(e["victim_pid"], e["pid"], e["oom_score_adj"]) for e in kills],
                         [(self.large.pid, self.asker.pid, 1000)])
        self.assertEqual(self.asker.returncode, 0)

    def test_no_other_kill(self):
        victims = {self.adjusted.pid, self.plain_kill.pid}
        self.assertEqual([e for e in self.trace.of(type="memory", kind="oom_kill") if e["victim_pid"] in victims], [])

    def test_each_kill_has_its_history(self):
        for e in self.trace.of(type="memory", kind="oom_kill"):
            histories = self.trace.of(type="memory_history", victim_pid=e["victim_pid"])
            self.assertEqual(len(histories), 1)
            self.assertEqual([histories[0][k] for k in ("scope", "victim_command", "limit_bytes", "cgroup", "pid")],
                             [e[k] for k in ("scope", "victim_command", "limit_bytes", "cgroup", "pid")])
            self.assertLess(abs(self.ns(histories[0]) - self.ns(e)), 10**6)

    def test_leak(self):
        forecasts, (kill,) = self.forecasts_of(self.leaking), self.kills_in(self.leaking)
        self.assertGreater(len(forecasts), 0)
        e, ahead = forecasts[0], self.ns(kill) - self.ns(forecasts[0])
        self.assertGreater(ahead, 5 * 10**9)
        self.assertLess(abs(e["time_to_limit_ns"] - ahead), 0.2 * ahead)
        self.assertLess(abs(e["slope_bytes_per_second"] - 20 * MIB), 3 * MIB)
        self.assertEqual((e["scope"], e["limit_bytes"], e["victim_pid"], e["pid"], e["source"]),
                         ("cgroup", 300 * MIB, self.leak.pid, self.leak.pid, "cgroupfs"))
        self.assertTrue(0 < e["confidence_pct"] <= 100)
        self.assertGreater(e["anon_bytes"], 50 * MIB)
        self.assertLess(len(forecasts), 4)

    def test_history_of_the_leak(self):
        (history,) = self.trace.of(type="memory_history", cgroup=self.leaking.path)
        points = [p.rsplit(":", 1) for p in history["curve"].split()]
        self.assertEqual(float(points[-1][1]), 300)
        self.assertGreater(len(points), 5)
        self.assertEqual([float(p[1]) for p in points], sorted(float(p[1]) for p in points))
        self.assertEqual(history["most_bytes"], 300 * MIB)
        self.assertLess(history["least_bytes"], 200 * MIB)
        self.assertGreater(history["warned_ns"], 5 * 10**9)
        self.assertGreater(history["span_ns"], history["warned_ns"])

    def test_quiet_ones(self):
        for cgroup in (self.quiet, self.sawing, self.stopping):
            self.assertEqual(self.forecasts_of(cgroup) + self.kills_in(cgroup), [], cgroup.path)

    def test_ledger(self):
        self.assertEqual((self.trace.ledger.get("residual"), self.trace.ledger.get("invalid")), (0, 0), self.trace.stderr)


class ManyCgroups(unittest.TestCase):
    WATCHED = 1024
    BEYOND = 6

    @classmethod
    def setUpClass(cls):
        if not v2_has_memory() and not os.path.exists(V1 + "/memory.limit_in_bytes"):
            raise unittest.SkipTest("no memory controller")

    def test_those_beyond_the_table_are_counted(self):
        parent = Cgroup(type(self), "parent", 0)
        for i in range(self.WATCHED + self.BEYOND):
            Cgroup(type(self), "many-%d" % i, 64 * MIB, root=parent.path)
        with Trace("memory") as trace:
            time.sleep(4)
        told = trace.of(type="memory", kind="untracked")
        self.assertEqual(len(told), 1)
        self.assertGreaterEqual(told[0]["untracked"], self.BEYOND)  # others on this machine may have limits too
        self.assertEqual((told[0]["pid"], told[0]["victim_pid"], told[0]["source"]), (None, None, "cgroupfs"))
        self.assertEqual(trace.ledger.get("residual"), 0)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
