#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memory against the real kernel: kills in real cgroups, held against the kernel's own count; leaks, and what only looks like one."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import SONDE, Agent, Trace, only, wait_for  # noqa: E402

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
            self.set_limit(limit)

    def set_limit(self, limit):
        with open(self.folder + ("/memory.max" if self.v2 else "/memory.limit_in_bytes"), "w") as f:
            f.write(str(limit))

    def remove(self):
        def gone():
            try:
                os.rmdir(self.folder)
                return True
            except OSError:  # its last process is on its way out
                return False
        wait_for(gone, "%s is empty" % self.folder, 60, 0.05)

    def kills(self):
        """The kernel's own count."""
        with open(self.folder + ("/memory.events" if self.v2 else "/memory.oom_control")) as f:
            return next(int(line.split()[1]) for line in f if line.split()[0] == "oom_kill")

    def start(self, code, *arguments, **options):
        """Python that is in the cgroup before it has any memory of its own."""
        return subprocess.Popen(["sh", "-c", "echo $$ >%s/cgroup.procs && exec \"$@\"" % self.folder, "sh",
                                 sys.executable, "-S", "-E", "-c", "import mmap,os,sys,threading,time\n" + code,
                                 *map(str, arguments)], stderr=subprocess.DEVNULL, **options)


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
# Up to `high` MiB by about `rate` a second, then down to `low` at once, again and again; no two teeth alike, so that looks at
# equal intervals do not see a slow one. On a machine that stands still for a while it rises no higher.
SAW = """
import random
rate, low, high = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = b'x' * (low << 20)
while True:
    kept, begin, speed = [], time.monotonic(), rate * random.uniform(0.5, 2)
    while low + len(kept) < high:
        while low + len(kept) < high and len(kept) < (time.monotonic() - begin) * speed:
            kept.append(mmap.mmap(-1, 1 << 20)); kept[-1].write(b'x' * (1 << 20))
        time.sleep(0.02)
    for area in kept: area.close()
"""
# The opposite of GROW: `rate` MiB a second less, down from `first` MiB.
SHRINK = """
rate, first = float(sys.argv[1]), int(sys.argv[2])
kept, begin = [mmap.mmap(-1, 1 << 20) for _ in range(first)], time.monotonic()
for area in kept: area.write(b'x' * (1 << 20))
print(flush=True); sys.stdin.readline(); begin = time.monotonic()
while True:
    while kept and first - len(kept) < (time.monotonic() - begin) * rate: kept.pop().close()
    time.sleep(0.02)
"""
# `many` mappings that cannot become one, two large ones of files with names that lie, and then too much of a heap.
MAPPER = HOG.replace("kept = []", """
many, folder = int(sys.argv[1]), sys.argv[2]
kept = [mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=i % 2 * 2 + 1) for i in range(many)]
file = open(folder + '/9.0:rw-p:[heap] \\n', 'w+'); file.truncate(33 << 20)
kept.append(mmap.mmap(file.fileno(), 33 << 20))
memory = os.memfd_create('of no folder'); os.ftruncate(memory, 31 << 20)
kept.append(mmap.mmap(memory, 31 << 20, prot=1))
print(flush=True); sys.stdin.readline()
""")


def mappings_of(pid):
    """(MiB, rights, start) of each, as the kernel says."""
    with open("/proc/%d/maps" % pid) as f:
        rows = [line.split(None, 5) for line in f]
    found = []
    for row in rows:
        begin, end = (int(x, 16) for x in row[0].split("-"))
        if begin < 1 << 63 and row[-1].strip() not in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
            found.append(((end - begin) / MIB, row[1]))
    return found


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not v2_has_memory() and not os.path.exists(V1 + "/memory.limit_in_bytes"):
            raise unittest.SkipTest("no memory controller")
        cls.older = Cgroup(cls, "older", 16 * MIB)
        cls.older.start(HOG).wait(60)  # a kill that is past when the trace starts
        cls.older_kills = cls.older.kills()
        cls.late = Cgroup(cls, "late", 0)
        cls.children = []
        cls.addClassCleanup(cls.end_children)
        room = ("--set", "watched_cgroups=4096")  # others may have made many
        with Trace("memory", *room) as cls.trace, Trace("memory", *room, "--set", "mappings=0", "--set", "horizon_ns=1s") as cls.short, \
                Trace("memory", *room, "--set", "least_process_bytes=8MiB", "--set", "repeat_interval_ns=2s") as cls.small:
            cls.cause()
        cls.addClassCleanup(cls.end_children)

    @classmethod
    def end_children(cls):
        for child in cls.children:
            child.kill()
            child.wait()
        cls.children = []

    @classmethod
    def begin(cls, cgroup, code, *arguments, **options):
        cls.children.append(cgroup.start(code, *arguments, **options))
        return cls.children[-1]

    @classmethod
    def cause(cls):
        cls.leaking = Cgroup(cls, "leak", 200 * 10**6 // 4096 * 4096)
        cls.quiet = Cgroup(cls, "quiet", 200 * MIB)
        cls.sawing = Cgroup(cls, "saw", 200 * MIB)
        cls.stopping = Cgroup(cls, "stop", 400 * MIB)
        cls.swapping = Cgroup(cls, "exchange", 250 * MIB)
        cls.shrinks = cls.begin(cls.swapping, SHRINK, 4, 170, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.shrinks.stdout.readline()
        cls.shrinks.stdin.write(b"\n")
        cls.shrinks.stdin.flush()
        cls.grows = cls.begin(cls.swapping, GROW, 4, 0, 100000)
        cls.leak = cls.begin(cls.leaking, GROW, 5 * 10**6 / MIB, 0, 100000)
        cls.begin(cls.quiet, GROW, 1000, 0, 120)
        cls.begin(cls.sawing, SAW, 40, 20, 60)
        cls.begin(cls.stopping, GROW, 10, 0, 30)
        cls.cause_kills()
        cls.late.set_limit(200 * MIB)
        cls.late_leak = cls.begin(cls.late, GROW, 10, 0, 190)
        wait_for(lambda: cls.ours(cls.trace, type="memory", kind="forecast", victim_pid=cls.late_leak.pid), "the late one's forecast")
        cls.leak.wait(120)
        cls.leak_ended_ns = time.time_ns()
        for trace in (cls.trace, cls.short, cls.small):  # what led to it is told at the next look
            wait_for(lambda: cls.ours(trace, type="memory_history", victim_pid=cls.leak.pid), "the last history")
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
                                      "print(flush=True); time.sleep(99)", stdout=subprocess.PIPE)
        cls.large.stdout.readline()
        cls.asker = cls.unlucky.start("x = []\nfor i in range(48): x.append(b'x' * (1 << 20))")
        cls.large.wait(60)
        cls.asker.wait(60)
        cls.older.start(HOG).wait(60)
        cls.cause_mapper()
        cls.adjusted = subprocess.Popen(["sh", "-c", "echo 500 >/proc/self/oom_score_adj; echo 0 >/proc/self/oom_score_adj"])
        cls.adjusted.wait()
        cls.plain_kill = subprocess.Popen(["sleep", "99"])
        cls.plain_kill.kill()
        cls.plain_kill.wait()

    @classmethod
    def cause_mapper(cls):
        cls.mapping = Cgroup(cls, "mapper", 64 * MIB)
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as cls.folder:
            cls.mapper = cls.mapping.start(MAPPER, 3000, cls.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            cls.mapper.stdout.readline()
            cls.mapped = mappings_of(cls.mapper.pid)
            cls.mapper.communicate(b"\n", timeout=60)

    @staticmethod
    def ours(trace, **fields):
        """What a trace saw of the cgroups of this test: there can be others on this machine."""
        return [e for e in trace.of(**fields) if (e["cgroup"] or "").startswith("/sonde-test-%d-" % os.getpid())]

    def kills_in(self, cgroup):
        return self.trace.of(type="memory", kind="oom_kill", cgroup=cgroup.path)

    def forecasts_of(self, cgroup):
        return self.trace.of(type="memory", kind="forecast", cgroup=cgroup.path)

    @staticmethod
    def taken_in_advance():
        """What the kernel's count of a cgroup may lose at any time: MEMCG_CHARGE_BATCH pages of each CPU."""
        return 64 * os.sysconf("SC_PAGESIZE") * os.cpu_count()

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
        for cgroup in (self.one, self.pair, self.inner, self.many, self.unlucky, self.leaking, self.mapping):
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
        expected = [(self.large.pid, self.asker.pid, 1000)]
        if self.asker.returncode == -signal.SIGKILL:  # the kernel had nothing back in time from the first, and took another
            expected.append((self.asker.pid, self.asker.pid, 0))
        else:
            self.assertEqual(self.asker.returncode, 0)
        self.assertEqual([(e["victim_pid"], e["pid"], e["oom_score_adj"]) for e in kills], expected)

    def test_no_other_kill(self):
        others = {self.adjusted.pid, self.plain_kill.pid}
        self.assertEqual([e for e in self.trace.events if e["victim_pid"] in others or e["pid"] in others], [])

    def test_each_kill_has_its_history(self):
        for e in self.ours(self.trace, type="memory", kind="oom_kill"):
            histories = self.trace.of(type="memory_history", victim_pid=e["victim_pid"])
            self.assertEqual(len(histories), 1)
            self.assertEqual([histories[0][k] for k in ("scope", "victim_command", "limit_bytes", "cgroup", "pid")],
                             [e[k] for k in ("scope", "victim_command", "limit_bytes", "cgroup", "pid")])
            self.assertLess(abs(self.ns(histories[0]) - self.ns(e)), 10**6)

    def test_leak(self):
        forecasts, (kill,) = self.forecasts_of(self.leaking), self.kills_in(self.leaking)
        self.assertGreater(len(forecasts), 0)
        e, ahead = forecasts[0], self.ns(kill) - self.ns(forecasts[0])
        self.assertGreater(ahead, 10 * 10**9)
        self.assertLess(abs(e["time_to_limit_ns"] - ahead), 0.2 * ahead)
        self.assertLess(abs(e["slope_bytes_per_second"] - 5 * 10**6), 0.1 * 5 * 10**6)
        self.assertEqual((e["scope"], e["limit_bytes"], e["victim_pid"], e["pid"], e["source"]),
                         ("cgroup", 200 * 10**6 // 4096 * 4096, self.leak.pid, self.leak.pid, "cgroupfs"))
        self.assertTrue(0 < e["confidence_pct"] <= 100)
        self.assertGreater(e["anon_bytes"], 30 * MIB)
        self.assertLess(len(forecasts), 4)

    def test_a_limit_that_is_set_later(self):
        (e, *_) = self.forecasts_of(self.late)
        self.assertEqual((e["limit_bytes"], e["scope"], e["victim_pid"]), (200 * MIB, "cgroup", self.late_leak.pid))

    def test_history_of_the_leak(self):
        (history,), (kill,) = self.trace.of(type="memory_history", cgroup=self.leaking.path), self.kills_in(self.leaking)
        points = [p.rsplit(":", 1) for p in history["curve"].split()]
        used = [float(p[1]) for p in points]
        self.assertEqual(points[-1], ["-0", "%.1f" % (kill["used_bytes"] / MIB)])
        self.assertGreater(len(points), 5)
        # It only grows, but for what the CPUs had taken in advance and give back.
        self.assertEqual([(a, b) for a, b in zip(used, used[1:]) if b < a - self.taken_in_advance() / MIB - 0.1], [])
        self.assertTrue(kill["used_bytes"] <= history["most_bytes"] <= kill["limit_bytes"], (history, kill))
        self.assertLessEqual(kill["limit_bytes"] - kill["used_bytes"], self.taken_in_advance())
        self.assertLess(history["least_bytes"], 50 * MIB)
        self.assertGreater(history["warned_ns"], 10 * 10**9)
        self.assertGreater(history["span_ns"], history["warned_ns"])

    def test_mappings(self):
        """Held against /proc/PID/maps of just before; only what the hog added has changed since."""
        (history,) = self.trace.of(type="memory_history", cgroup=self.mapping.path)
        told = [item.split(":", 2) for item in history["mappings"].split(" ")]
        self.assertEqual(len(told), 8)
        sizes = [float(size) for size, _, _ in told]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertGreater(history["mapping_count"], 3000)
        self.assertEqual(history["mappings_looked"], history["mapping_count"])
        name = self.folder + "/9.0:rw-p:[heap]\\040\\012"
        self.assertIn(["33.0", "rw-s", name], [[s, r, n[-len(name):]] for s, r, n in told])
        self.assertIn(["31.0", "r--s", "/memfd:of\\040no\\040folder\\040(deleted)"], told)
        grown = [item for item in told if item[1] == "rw-p" and item[2] in ("[heap]", "[anon]")]
        self.assertGreater(sum(float(size) for size, _, _ in grown), 40)
        # Those that did not grow are the largest of their kind that there were.
        there = sorted(("%.1f" % size, rights) for size, rights in self.mapped if size >= 0.5 and rights != "rw-p")
        self.assertEqual([x for x in sorted((s, r) for s, r, _ in told if r != "rw-p") if x not in there], [])

    def test_what_was_not_looked_at_is_not_told(self):
        histories = self.ours(self.short, type="memory_history")
        self.assertEqual(len(histories), len(self.ours(self.trace, type="memory_history")))
        self.assertEqual({(e["mappings"], e["mapping_count"], e["mappings_looked"]) for e in histories}, {(None, None, None)})
        for e in self.ours(self.trace, type="memory_history"):
            self.assertIn(":[", e["mappings"])

    def test_nothing_beyond_the_horizon(self):
        self.assertEqual([e for e in self.short.of(type="memory", kind="forecast") if e["time_to_limit_ns"] > 10**9], [])

    def test_one_grows_into_what_another_gives_back(self):
        """The cgroup's use hardly moves, so nothing can be said of it; of the process it can."""
        forecasts = self.small.of(type="memory", kind="forecast", cgroup=self.swapping.path)
        self.assertGreater(len(forecasts), 0)
        for e in forecasts:
            self.assertEqual((e["victim_pid"], e["pid"], e["scope"], e["limit_bytes"]),
                             (self.grows.pid, self.grows.pid, "cgroup", 250 * MIB))
            self.assertLess(abs(e["slope_bytes_per_second"] - 4 * MIB), 0.15 * 4 * MIB)
            self.assertLess(abs(e["time_to_limit_ns"] * e["slope_bytes_per_second"] / 1e9 - (e["limit_bytes"] - e["used_bytes"])),
                            20 * MIB)

    def test_stable_and_sawing_processes_are_not_told(self):
        pids = {e["victim_pid"] for e in self.ours(self.small, type="memory", kind="forecast", scope="cgroup")}
        self.assertLessEqual(pids, {self.leak.pid, self.grows.pid, self.late_leak.pid})

    def test_settings_have_limits(self):
        for text, said in (("sample_interval_ns=1ms", "1s to 1m"), ("least_confidence_pct=101", "0 to 100"), ("mappings=9", "0 to 8")):
            done = subprocess.run([SONDE, "trace", "memory", "--for", "1s", "--set", text], capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("out of range: " + said, done.stderr)

    def test_quiet_ones(self):
        for cgroup in (self.quiet, self.sawing, self.stopping):
            self.assertEqual(self.forecasts_of(cgroup) + self.kills_in(cgroup), [], cgroup.path)

    def test_ledger(self):
        for trace in (self.trace, self.short, self.small):
            self.assertEqual((trace.ledger.get("residual"), trace.ledger.get("invalid")), (0, 0), trace.stderr)


class InTheAgent(unittest.TestCase):
    """There the user side runs in the worker, which has no right to read a process or a program: settings reach it all the same."""

    @classmethod
    def setUpClass(cls):
        if not v2_has_memory() and not os.path.exists(V1 + "/memory.limit_in_bytes"):
            raise unittest.SkipTest("no memory controller")

    def test_settings_and_history(self):
        cgroup = Cgroup(type(self), "agent", 32 * MIB)
        with Agent(programs=only("memory", memory={"settings": {"mappings": 1}})) as agent:
            hog = cgroup.start(HOG)
            hog.wait(60)
            (history,) = wait_for(lambda: agent.events("memory_history", where="victim_pid = %d" % hog.pid), "the history")
            self.assertEqual(re.sub(r"[\d.]+", "N", history["mappings"]), "N:rw-p:[anon]")
            self.assertEqual(len(agent.events("memory", where="kind = 'oom_kill' and victim_pid = %d" % hog.pid)), 1)
            agent.settle("memory")


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
            wait_for(lambda: trace.of(type="memory", kind="untracked"), "they are told")
            time.sleep(3)  # and not again
        told = trace.of(type="memory", kind="untracked")
        self.assertGreaterEqual(told[0]["untracked"], self.BEYOND)  # others on this machine may have limits too
        for before, after in zip(told, told[1:]):  # and make more of them meanwhile
            self.assertGreater(after["untracked"], 2 * before["untracked"])
        self.assertEqual((told[0]["pid"], told[0]["victim_pid"], told[0]["source"]), (None, None, "cgroupfs"))
        self.assertEqual(trace.ledger.get("residual"), 0)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
