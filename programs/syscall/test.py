#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""syscall against the real kernel: counts equal to what loops made, single calls with every field, quiet otherwise."""
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import GENERATE, SONDE, TAG, Agent, Trace, only, wait_for  # noqa: E402

PYTHON = os.path.realpath(sys.executable)
HOUR = ("--set", "update_interval_ns=1h")  # all is told at the end
CALLS = 100000
ENTRIES = 65536  # tally.bpf.h
SLOTS = 16384  # sonde/call.bpf.h
NUMBERS = 600  # of calls that no kernel knows; each is an entry
CGROUPS = [path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup")
           if os.path.exists(path + "/cgroup.procs")]
X86 = platform.machine() == "x86_64"
GETPPID, CLOSE, NANOSLEEP, GETSID = (110, 3, 35, 124) if X86 else (173, 57, 101, 156)

CHILD = r"""
import ctypes, json, os, signal, sys, time
libc, out = ctypes.CDLL(None, use_errno=True), {}
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result if result != -1 else -ctypes.get_errno()
def nap(seconds, ns):
    time = (ctypes.c_long * 2)(seconds, ns)
    return call(%d, ctypes.addressof(time), 0)
""" % NANOSLEEP


# More entries than there is room for, of processes that are gone then.
CROWD = "for i in range(%d):\n    if os.fork() == 0:\n        for n in range(%d): call(10000 + n)\n        os._exit(0)\n" \
        "    os.wait()" % (ENTRIES // NUMBERS + 6, NUMBERS)
CROWD_CALLS = (ENTRIES // NUMBERS + 6) * NUMBERS


class Child:
    """Waits for a word before it begins, so that its pid can be chosen; out: what it reported."""

    def __init__(self, code):
        self.process = subprocess.Popen([PYTHON, "-S", "-E", "-c", CHILD + "sys.stdin.read(1)\n" + code +
                                         "\nprint(json.dumps(out))"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def run(self):
        output, _ = self.process.communicate(b"x", 120)
        if self.process.returncode:
            raise AssertionError("the child failed")
        self.out = json.loads(output)
        return self


def loops(count, number=1023):
    """As many as there are CPUs, each makes `count` calls of a number that no kernel knows; (their pids)."""
    running = [subprocess.Popen(["taskset", "-c", str(i), GENERATE, "syscalls", str(count), "0", str(TAG)],
                                stdout=subprocess.DEVNULL) for i in range(os.cpu_count())]
    for loop in running:
        if loop.wait(300):
            raise AssertionError("the loop failed")
    return {loop.pid for loop in running}


class Counts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        code = "for _ in range(%d): libc.getppid()\n" \
               "out['errors'] = sum(call(%d, 987654) < 0 for _ in range(300))\n" \
               "for _ in range(20): os.close(os.dup(1))\n" \
               "out['own'] = os.getppid()" % (CALLS, CLOSE)
        with Trace("syscall", *HOUR) as cls.trace:
            cls.child = Child(code).run()
            cls.pids = loops(CALLS)

    def one(self, name, **fields):
        # Not what it called before its exec.
        events = self.trace.of(name=name, pid=self.child.pid, command=os.path.basename(PYTHON)[:15], **fields)
        self.assertEqual(len(events), 1, events)
        return events[0]

    def test_count(self):
        e = self.one("getppid")
        self.assertEqual((e["count"], e["errors"]), (CALLS + 1, 0))

    def test_all_fields(self):
        e = self.one("getppid")
        self.assertEqual((e["type"], e["kind"], e["number"], e["is_32_bit"], e["uid"], e["weight"], e["source"]),
                         ("syscall", "count", GETPPID, False, 0, 1, "ebpf"))
        self.assertTrue(e["command"].startswith("python"))
        absent = ["latency_ns", "latency_p50_ns", "latency_p99_ns", "result", "error", "errno"]
        absent += ["argument_%d" % i for i in range(1, 7)]
        self.assertEqual([e[name] for name in absent], [None] * len(absent))

    def test_errors(self):
        e = self.one("close")
        self.assertEqual(e["errors"], self.child.out["errors"])
        self.assertGreaterEqual(e["count"], 300 + 20)

    def test_all_cpus_and_unknown_numbers(self):
        mine = [e for e in self.trace.of(number=1023) if e["pid"] in self.pids]
        self.assertEqual({e["pid"]: (e["count"], e["errors"]) for e in mine}, {pid: (CALLS, CALLS) for pid in self.pids})
        self.assertEqual({e["name"] for e in mine}, {None})

    def test_ledger(self):
        self.assertEqual((self.trace.ledger["residual"], self.trace.ledger["map_full"], self.trace.ledger["ring_full"]), (0, 0, 0))


class Flush(unittest.TestCase):
    def test_exact_while_flushing(self):
        with Trace("syscall", "--set", "update_interval_ns=20ms", "--set", "number=1023") as trace:
            pids = loops(10 * CALLS)
        mine = [e for e in trace.of(number=1023) if e["pid"] in pids]
        self.assertEqual(sum(e["count"] for e in mine), 10 * CALLS * len(pids))
        self.assertGreater(len(mine), len(pids))
        self.assertEqual({e["number"] for e in trace.events}, {1023})

    def test_idle_entries_come_back(self):
        code = "for i in range(120):\n    for _ in range(50): libc.getppid()\n    time.sleep((i % 5) * 0.011)"
        with Trace("syscall", "--set", "update_interval_ns=10ms", "--set", "number=%d" % GETPPID) as trace:
            child = Child(code).run()
        self.assertEqual(sum(e["count"] for e in trace.of(pid=child.pid)), 120 * 50)

    def test_processes_that_end(self):
        """Each has its calls, whenever it ends between two flushes."""
        with Trace("syscall", "--set", "update_interval_ns=10ms", "--set", "number=1023") as trace:
            ended = []
            for i in range(300):
                ended.append(subprocess.Popen([GENERATE, "syscalls", str(100 + i), "0", str(TAG)], stdout=subprocess.DEVNULL))
                if i % 4 == 3:
                    for process in ended[-4:]:
                        self.assertEqual(process.wait(60), 0)
        counts = {process.pid: 0 for process in ended}
        for e in trace.events:
            if e["pid"] in counts:
                counts[e["pid"]] += e["count"]
        self.assertEqual(counts, {process.pid: 100 + i for i, process in enumerate(ended)})

    def test_more_calls_than_room(self):
        """What finds none is told by number, without a process."""
        with Trace("syscall", *HOUR) as trace:
            Child(CROWD).run()
        mine = [e for e in trace.events if 10000 <= e["number"] < 10000 + NUMBERS]
        self.assertEqual(sum(e["count"] for e in mine), CROWD_CALLS)
        self.assertGreater(len([e for e in mine if e["pid"] is None]), 0)
        self.assertLessEqual(len([e for e in trace.events if e["pid"] is not None]), ENTRIES)

    def test_the_dead_make_room(self):
        """When they have been told: who comes one or two flushes later is counted by process."""
        with Trace("syscall", "--set", "update_interval_ns=6s") as trace:
            Child(CROWD).run()
            time.sleep(13)  # two flushes
            pids = loops(CALLS)
        mine = [e for e in trace.events if 10000 <= e["number"] < 10000 + NUMBERS]
        self.assertEqual(sum(e["count"] for e in mine), CROWD_CALLS)
        self.assertGreater(len([e for e in mine if e["pid"] is None]), 0, "the table was never full")
        later = trace.of(number=1023)
        self.assertEqual({pid: sum(e["count"] for e in later if e["pid"] == pid) for pid in pids}, {pid: CALLS for pid in pids})
        self.assertEqual((trace.ledger["residual"], trace.ledger["map_full"], trace.ledger["ring_full"]), (0, 0, 0))


class Changed(unittest.TestCase):
    """What a process called belongs to what it was at that time."""

    def test_exec_user_and_name(self):
        code = "for _ in range(100): call(1023)\n" \
               "libc.prctl(15, b'renamed', 0, 0, 0)\n" \
               "for _ in range(200): call(1023)\n" \
               "os.setuid(65534)\n" \
               "for _ in range(300): call(1023)\n" \
               "print('{}', flush=True)\n" \
               "os.execl('/bin/sh', 'sh', '-c', 'exit 0')"
        with Trace("syscall", *HOUR) as trace:
            child = Child(code).run()
        told = [(e["command"], e["uid"], e["count"]) for e in trace.of(pid=child.pid, number=1023)]
        name = os.path.basename(PYTHON)[:15]
        self.assertEqual(sorted(told), sorted([(name, 0, 100), ("renamed", 0, 200), ("renamed", 65534, 300)]))
        exits = [(e["command"], e["uid"], e["count"]) for e in trace.of(pid=child.pid, name="execve") if not e["errors"]]
        self.assertIn(("sh", 65534, 1), exits)

    @unittest.skipUnless(CGROUPS, "there is no control group to go to")
    def test_control_group(self):
        group = tempfile.mkdtemp(prefix="sonde-test-", dir=CGROUPS[0])
        self.addCleanup(os.rmdir, group)
        code = "for _ in range(100): call(1023)\n" \
               "open('%s/cgroup.procs', 'w').write('0')\n" \
               "for _ in range(200): call(1023)" % group
        with Trace("syscall", *HOUR) as trace:
            child = Child(code).run()
        told = trace.of(pid=child.pid, number=1023)
        self.assertEqual(sorted(e["count"] for e in told), [100, 200])
        self.assertEqual(len({(e["command"], e["uid"]) for e in told}), 1)


class Single(unittest.TestCase):
    def test_arguments_and_result(self):
        child = Child("out['sid'] = call(%d, 0, 22, 33, 44, 55, 66)\nout['bad'] = call(%d, 987654321, -2)" % (GETSID, CLOSE))
        with Trace("syscall", "--set", "single=1", "--set", "pid=%d" % child.pid) as trace:
            child.run()
        self.assertEqual({e["pid"] for e in trace.events}, {child.pid})
        [e] = [e for e in trace.of(name="getsid") if e["argument_2"] == 22]
        self.assertEqual([e["argument_%d" % i] for i in range(1, 7)], [0, 22, 33, 44, 55, 66])
        self.assertEqual((e["kind"], e["result"], e["error"], e["errno"], e["count"], e["errors"], e["latency_ns"]),
                         ("single", child.out["sid"], None, None, 1, 0, None))
        [e] = [e for e in trace.of(name="close") if e["argument_1"] == 987654321]
        self.assertEqual((e["result"], e["error"], e["errno"], e["errors"], e["argument_2"]),
                         (-9, "EBADF", 9, 1, -2))

    def test_only_that_number(self):
        child = Child("libc.getppid(); os.close(os.dup(1)); libc.getppid()")
        with Trace("syscall", "--set", "single=1", "--set", "pid=%d" % child.pid, "--set", "number=%d" % GETPPID) as trace:
            child.run()
            loops(1000)
        self.assertEqual([(e["name"], e["pid"], e["result"]) for e in trace.events], [("getppid", child.pid, os.getpid())] * 2)

    def test_latency(self):
        child = Child("nap(0, 150000000)")
        with Trace("syscall", "--set", "single=1", "--set", "latency=1", "--set", "pid=%d" % child.pid) as trace:
            child.run()
        [e] = trace.of(name="nanosleep")
        self.assertGreaterEqual(e["latency_ns"], 150000000)
        self.assertLess(min(e["latency_ns"] for e in trace.events if e["latency_ns"]), 1000000)

    def test_several_processes_and_numbers(self):
        code = "libc.getppid(); call(%d, 0); os.close(os.dup(1)); os.getuid()" % GETSID
        children = [Child(code) for _ in range(3)]
        with Trace("syscall", "--set", "single=1", "--set", "pid_2=%d" % children[0].pid, "--set", "pid_4=%d" % children[1].pid,
                   "--set", "number=%d" % GETPPID, "--set", "number_3=%d" % GETSID) as trace:
            for child in children:
                child.run()
        self.assertEqual([(e["name"], e["pid"]) for e in trace.events],
                         [(name, child.pid) for child in children[:2] for name in ("getppid", "getsid")])

    def test_nobody_chosen_is_refused(self):
        done = subprocess.run([SONDE, "trace", "syscall", "--set", "single=1", "--set", "number=-1"], capture_output=True, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"the setting 'single' needs one of these too: pid pid_2", done.stderr)


class Latency(unittest.TestCase):
    def test_quantiles(self):
        code = "for _ in range(60): nap(0, 1000000)\nfor _ in range(5): nap(0, 400000000)"
        with Trace("syscall", "--set", "latency=1", "--set", "number=%d" % NANOSLEEP, *HOUR) as trace:
            child = Child(code).run()
        [e] = trace.of(pid=child.pid)
        self.assertEqual(e["count"], 65)
        self.assertGreaterEqual(e["latency_ns"], 60 * 1000000 + 5 * 400000000)
        self.assertGreaterEqual(e["latency_p50_ns"], 1000000)
        self.assertGreaterEqual(e["latency_p99_ns"], 400000000)
        self.assertLess(e["latency_p50_ns"], e["latency_p99_ns"])

    def ask_for_pid(self, pid):
        """Of the next process, unless another is first."""
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(pid - 1))

    def test_two_threads_that_want_one_slot(self):
        """Their numbers are SLOTS apart; both are in a call at the same time."""
        self.ask_for_pid(SLOTS // 2)  # no number up to 300 is given out again
        first = Child("nap(3, 0)")
        with open("/proc/sys/kernel/pid_max") as f:
            same = range(first.pid % SLOTS, int(f.read()), SLOTS)
        free = [pid for pid in same if pid > 300 and not os.path.exists("/proc/%d" % pid)]
        for i in range(300):
            wanted = free[i % len(free)]
            self.ask_for_pid(wanted)
            second = Child("nap(0, 100000000)")
            if second.pid == wanted:
                break
            second.run()
        self.assertEqual(second.pid, wanted, "others took it each time")
        with Trace("syscall", "--set", "latency=1", "--set", "number=%d" % NANOSLEEP, *HOUR) as trace:
            first.process.stdin.write(b"x")
            first.process.stdin.flush()
            time.sleep(0.2)
            second.run()
            first.run()
        [long], [short] = trace.of(pid=first.pid), trace.of(pid=second.pid)
        self.assertGreaterEqual(long["latency_ns"], 3000000000)
        self.assertGreaterEqual(short["latency_ns"], 100000000)
        self.assertLess(short["latency_ns"], long["latency_ns"])


class Clones(unittest.TestCase):
    """They return twice: in the child nobody made a call."""

    def test_counted_once(self):
        child = Child("import threading\nfor i in range(20):\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n"
                      "out['child'] = os.fork()\nif not out['child']: time.sleep(0.01); os._exit(0)\nos.wait()\n"
                      "for i in range(30):\n    t = threading.Thread(target=libc.getppid); t.start(); t.join()")
        with Trace("syscall", *HOUR) as trace:
            child.run()
        counts = {pid: sum(e["count"] for e in trace.of(pid=pid) if e["name"] in ("clone", "clone3", "fork", "vfork"))
                  for pid in (child.pid, child.out["child"])}
        self.assertEqual(counts, {child.pid: 21 + 30, child.out["child"]: 0})
        self.assertTrue(trace.of(pid=child.out["child"]))  # what it did itself is there


class Interrupted(unittest.TestCase):
    def test_ends_of_signal_handlers(self):
        child = Child("signal.signal(signal.SIGUSR1, lambda *_: None)\n"
                      "for i in range(1000): os.kill(os.getpid(), signal.SIGUSR1)\nfor i in range(10): call(-1)")
        with Trace("syscall", "--set", "pid=%d" % child.pid, *HOUR) as trace:
            child.run()
        self.assertEqual([(e["count"], e["errors"]) for e in trace.of(name="rt_sigreturn")], [(1000, 0)])

    def test_signal_gives_eintr(self):
        child = Child("signal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\n"
                      "out['result'] = nap(5, 0)")
        with Trace("syscall", "--set", "single=1", "--set", "pid=%d" % child.pid, "--set", "number=%d" % NANOSLEEP) as trace:
            child.run()
        self.assertEqual(child.out["result"], -4)
        self.assertEqual([(e["error"], e["result"]) for e in trace.events], [("EINTR", -4)])


class Running(unittest.TestCase):
    def test_off_until_asked_for(self):
        with Agent(programs=only()) as agent:
            def hooks():
                return [(p["state"], sum(h["attached"] for h in p["hooks"])) for p in agent.get("/api/v1/programs")["programs"]
                        if p["name"] == "syscall"]
            self.assertEqual(hooks(), [("disabled", 0)])
            agent.cli("programs", "start", "syscall")
            self.assertEqual(hooks(), [("running", 7)])
            off = [h for h in agent.get("/api/v1/programs/syscall")["hooks"] if not h["attached"]]
            self.assertEqual([(h["wanted"], h["reason"]) for h in off], [(False, "switched off by the setting latency")] * 2)
            self.assertEqual(agent.get("/api/v1/programs/syscall")["reason"], "", "nothing is missing")
            child = Child("for _ in range(77): libc.getppid()").run()
            agent.cli("programs", "stop", "syscall")
            found = wait_for(lambda: agent.events("syscall", pid=child.pid, where="name = 'getppid'"), "the last counts")
            self.assertEqual([e["count"] for e in found], [77])

    def test_metrics(self):
        child = Child("for _ in range(77): libc.getppid()\nfor _ in range(5): call(%d, 987654)\ncall(9999)" % CLOSE)
        settings = {"update_interval_ns": "100ms", "pid": child.pid}
        with Agent(programs=only(syscall={"enabled": True, "settings": settings})) as agent:
            child.run()
            events = wait_for(lambda: self.all_told(agent), "the page")
            self.assertEqual(self.totals(agent, "errors"), self.sums(events, "errors"))
            calls = self.totals(agent, "calls")
            self.assertEqual((calls["getppid"], calls["unknown"], self.totals(agent, "errors")["close"]), (77, 1, 5))

    def totals(self, agent, metric):
        return {name: int(n) for name, n in re.findall(r'^sonde_syscall_%s_total\{name="(.*)"\} (\d+)$' % metric, agent.metrics().text, re.M)}

    def sums(self, events, field):
        sums = {}
        for e in events:
            if e[field]:
                sums[e["name"] or "unknown"] = sums.get(e["name"] or "unknown", 0) + e[field]
        return sums

    def all_told(self, agent):
        """The last call of the child too."""
        events = agent.events("syscall")
        return events if self.sums(events, "count") == self.totals(agent, "calls") and \
            "unknown" in self.sums(events, "count") else None

    def test_what_found_no_room_is_a_metric(self):
        with Agent(programs=only(syscall={"enabled": True, "settings": {"update_interval_ns": "1h"}})) as agent:
            Child(CROWD).run()
            found = wait_for(lambda: sum(int(n) for n in re.findall(r"^sonde_syscall_other_calls_total\{.*\} (\d+)$", agent.metrics().text, re.M)), "the metric")
            self.assertGreaterEqual(found, CROWD_CALLS - ENTRIES)
            agent.cli("programs", "stop", "syscall")
            rest = wait_for(lambda: agent.events("syscall", where="pid = null"), "the last counts")
            self.assertGreaterEqual(sum(e["count"] for e in rest), found)


if __name__ == "__main__":
    unittest.main()
