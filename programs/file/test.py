#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""file against the real kernel: every field of each operation, held against what the caller did; exact counts under load."""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import GENERATE, Agent, Trace, only, wait_for  # noqa: E402

PYTHON = os.path.realpath(sys.executable)
HOUR = ("--set", "update_interval_ns=1h")  # all is told at the end, so each sum is one event
OPENS = 1000000
ENTRIES = 65536  # tally.bpf.h

# What the child does. It prints its figures as one line of JSON.
CHILD = r"""
import ctypes, errno, json, os, socket, sys
folder, out = sys.argv[1].encode(), {}
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return result if result >= 0 else -ctypes.get_errno()
def opened(path, flags=os.O_RDONLY, **options):
    fd = os.open(path, flags, **options)
    os.close(fd)
    return fd
def fails(path, flags=os.O_RDONLY, **options):
    try:
        os.open(path, flags, **options)
    except OSError as e:
        return e.errno
os.chdir(folder)
"""


def child(code, *arguments, **options):
    """Runs it to its end; (pid, what it reported)."""
    process = subprocess.Popen([PYTHON, "-S", "-E", "-c", CHILD + code + "\nprint(json.dumps(out))", *arguments],
                               stdout=subprocess.PIPE, **options)
    output, _ = process.communicate(timeout=120)
    if process.returncode:
        raise AssertionError("the child failed")
    return process.pid, json.loads(output)


class Counted(unittest.TestCase):
    """One child, one report at the end."""

    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-file-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("plain", "target", "gone", "moved", "again", "rw"):
            with open(os.path.join(cls.folder, name), "wb") as f:
                f.write(b"x" * 10000)
        os.symlink("target", os.path.join(cls.folder, "link"))
        os.makedirs(os.path.join(cls.folder, "before", "deep"))
        with open(os.path.join(cls.folder, "before", "deep", "leaf"), "w"):
            pass
        cls.deep = cls.folder
        while len(cls.deep) < 300:
            cls.deep += "/component"
        os.makedirs(cls.deep)
        with Trace("file", *HOUR) as cls.trace:
            cls.pid, cls.out = child(cls.CODE, cls.folder, cls.deep)

    CODE = r"""
for _ in range(5): opened(folder + b"/plain")
for _ in range(3): opened("plain")
opened("link")
for _ in range(2): out["missing"] = fails(folder + b"/missing")
fails("missing-here"); fails("../" + os.path.basename(folder.decode()) + "/missing-up")
fails("plain/below"); fails("no-right", os.O_RDONLY | os.O_DIRECTORY); fails("plain", os.O_DIRECTORY)
directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
opened("plain", dir_fd=directory)
fails("missing-at", dir_fd=directory)
out["bad"] = fails("missing-bad", dir_fd=999)
out["fault"] = call(257, -100, 0, 0)
out["empty"] = fails("")
opened("made", os.O_CREAT | os.O_WRONLY | os.O_EXCL)
out["exists"] = fails("made", os.O_CREAT | os.O_WRONLY | os.O_EXCL)
how = (ctypes.c_uint64 * 3)(0, 0, 0)
os.close(call(437, -100, folder + b"/plain", how, 24))
os.close(call(85, folder + b"/created", 0o600))
os.close(call(2, folder + b"/plain", 0, 0))
opened("before/deep/leaf"); opened("before/deep/leaf")
os.rename("before", "after")
opened("after/deep/leaf")
fd = os.open("gone", os.O_RDWR)
os.unlink("gone")
os.read(fd, 1000)
for name in (b"new\nline", b"\x1b[31mred", b"\xff\xfe(", b'quo"te\\'):
    opened(name, os.O_CREAT | os.O_WRONLY)
    fails(b"no-" + name)
opened(sys.argv[2] + "/leaf", os.O_CREAT | os.O_WRONLY)
fails(sys.argv[2] + "/missing"); os.chdir(sys.argv[2]); fails("relative-missing"); os.chdir(folder)
fails("n" * 250 + "/" + "m" * 250)
opened("/"); opened("/dev/null"); opened("/proc/self/stat")
fd = os.open("again", os.O_CREAT | os.O_WRONLY); os.close(fd)
for _ in range(200):
    os.unlink("again"); fd = os.open("again", os.O_CREAT | os.O_WRONLY); os.close(fd)

fd = os.open("rw", os.O_RDWR)
got = 0
for _ in range(100): got += len(os.read(fd, 77))
got += len(os.pread(fd, 33, 5)) + os.readv(fd, [bytearray(10), bytearray(11)]) + os.preadv(fd, [bytearray(7)], 0)
out["read"], out["reads"] = got, 103
os.lseek(fd, 0, os.SEEK_END); os.read(fd, 10)
put = 0
for _ in range(50): put += os.write(fd, b"y" * 19)
put += os.pwrite(fd, b"z" * 5, 0) + os.writev(fd, [b"a" * 3, b"b" * 4]) + os.pwritev(fd, [b"c" * 8], 3)
out["wrote"], out["writes"] = put, 53
os.fsync(fd); os.fdatasync(fd); os.fsync(fd)
for _ in range(4):
    try: os.read(directory, 10)
    except OSError: pass
read_only = os.open("target", os.O_RDONLY)
try: os.write(read_only, b"x")
except OSError as e: out["not_writable"] = e.errno

a, b = os.pipe(); os.write(b, b"quiet" * 10); os.read(a, 50)
c, d = socket.socketpair(); os.write(c.fileno(), b"quiet"); os.read(d.fileno(), 5)
e = os.memfd_create("quiet"); os.write(e, b"quiet"); os.pread(e, 5, 0)
call(0, 998, 0, 0)
"""

    def sums(self, name, operation="open", error=None, **fields):
        path = name if name is None or name.startswith(("/", "...")) else os.path.join(self.folder, name)
        return self.trace.of(pid=self.pid, operation=operation, error=error, path=path, **fields)

    def count(self, *arguments, **fields):
        events = self.sums(*arguments, **fields)
        self.assertLessEqual(len(events), 1, events)
        return events[0]["count"] if events else 0

    def test_all_fields(self):
        [e] = self.sums("plain")
        self.assertEqual((e["type"], e["uid"], e["tid"], e["weight"], e["source"]), ("file", 0, self.pid, 1, "ebpf"))
        self.assertEqual((e["bytes"], e["latency_ns"], e["latency_p50_ns"], e["latency_p99_ns"], e["flags"], e["flags_number"], e["descriptor"], e["path_is_relative"], e["errno"]),
                         (None,) * 9)
        self.assertTrue(e["command"].startswith("python"))

    def test_opens(self):
        # 5 absolute, 3 relative, 1 by directory, openat2, open
        self.assertEqual(self.count("plain"), 11)
        self.assertEqual(self.count("made"), 1)
        self.assertEqual(self.count("created"), 1)
        for path in ("/", "/dev/null"):
            self.assertGreaterEqual(self.count(path), 1, path)
        self.assertEqual(self.count("/proc/%d/stat" % self.pid), 1)

    def test_symbolic_link_gives_its_target(self):
        self.assertEqual((self.count("target"), self.count("link")), (2, 0))

    def test_failures(self):
        self.assertEqual(self.out, {**self.out, "missing": 2, "bad": 9, "fault": -14, "empty": 2, "exists": 17,
                                    "not_writable": 9})
        self.assertEqual(self.count("missing", error="ENOENT"), 2)
        self.assertEqual(self.sums("missing", error="ENOENT")[0]["errno"], 2)
        self.assertEqual(self.count("missing-here", error="ENOENT"), 1)
        self.assertEqual(self.count("../%s/missing-up" % os.path.basename(self.folder), error="ENOENT"), 1)
        self.assertEqual(self.count("plain/below", error="ENOTDIR"), 1)
        self.assertEqual(self.count("plain", error="ENOTDIR"), 1)
        self.assertEqual(self.count("missing-at", error="ENOENT"), 1)
        self.assertEqual(self.count("made", error="EEXIST"), 1)

    def test_what_cannot_be_resolved_says_so(self):
        [e] = self.trace.of(pid=self.pid, path="missing-bad")
        self.assertEqual((e["error"], e["path_is_relative"], e["count"]), ("EBADF", True, 1))
        [e] = self.trace.of(pid=self.pid, error="EFAULT")
        self.assertEqual((e["path"], e["operation"], e["path_is_relative"]), (None, "open", None))

    def test_the_empty_name(self):
        self.assertEqual(self.count(self.folder + "/", error="ENOENT"), 1)

    def test_renamed_directory(self):
        self.assertEqual((self.count("before/deep/leaf"), self.count("after/deep/leaf")), (2, 1))

    def test_deleted(self):
        self.assertEqual(self.count("gone"), 1)
        [e] = self.sums("gone (deleted)", "read")
        self.assertEqual((e["count"], e["bytes"]), (1, 1000))

    def test_made_anew_is_the_same_path(self):
        self.assertEqual(self.count("again"), 201)

    def test_hostile_names(self):
        for name in ("new\nline", "\x1b[31mred", '\\xff\\xfe(', 'quo"te\\'):
            self.assertEqual(self.count(name), 1, name)
            self.assertEqual(self.count("no-" + name, error="ENOENT"), 1, name)

    def test_long_paths_keep_their_end(self):
        for name, error in (("leaf", None), ("relative-missing", "ENOENT")):
            whole = os.path.join(self.deep, name)
            [e] = [e for e in self.trace.of(pid=self.pid, error=error) if (e["path"] or "").endswith("/component/" + name)]
            self.assertTrue(e["path"].startswith("..."), e["path"])
            self.assertTrue(whole.endswith(e["path"][3:]))
            self.assertGreater(len(e["path"]), 230)

    def test_long_words_of_the_caller_are_cut(self):
        asked = self.deep + "/missing"
        [e] = [e for e in self.trace.of(pid=self.pid, error="ENOENT") if e["path"] == asked[:252] + "..."]
        self.assertEqual(e["count"], 1)

    def test_bytes(self):
        reads, writes = self.sums("rw", "read"), self.sums("rw", "write")
        self.assertEqual([(e["count"], e["bytes"]) for e in reads], [(self.out["reads"] + 1, self.out["read"])])
        self.assertEqual([(e["count"], e["bytes"]) for e in writes], [(self.out["writes"], self.out["wrote"])])
        self.assertEqual([(e["count"], e["bytes"]) for e in self.sums("rw", "sync")], [(3, None)])

    def test_failed_reads_and_writes(self):
        [e] = self.sums(self.folder, "read", "EISDIR")
        self.assertEqual((e["count"], e["bytes"]), (4, None))
        self.assertEqual(self.count("target", "write", "EBADF"), 1)

    def test_what_has_no_path_is_quiet(self):
        for e in self.trace.of(pid=self.pid):
            if e["operation"] != "open":
                self.assertRegex(e["path"], "^/(?!memfd)", e)

    def test_ledger(self):
        self.assertEqual((self.trace.ledger["residual"], self.trace.ledger["map_full"], self.trace.ledger["ring_full"]), (0, 0, 0))


class Changed(unittest.TestCase):
    def test_exec(self):
        """What is opened after an exec is told of the new program, in the same interval too."""
        with Trace("file", *HOUR) as trace:
            process = subprocess.Popen(["sh", "-c", "read x < /etc/hostname; read x < /etc/hostname; exec cat /etc/hostname"],
                                       stdout=subprocess.DEVNULL)
            process.wait()
        told = [(e["command"], e["count"]) for e in trace.of(pid=process.pid, operation="open", path="/etc/hostname")]
        self.assertEqual(sorted(told), [("cat", 1), ("sh", 2)])


class ByProcess(unittest.TestCase):
    """Reads and writes without path: the same ones, told by operation and error only."""

    CODE = Counted.CODE[Counted.CODE.index('fd = os.open("rw"'):]

    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-file-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("rw", "target"):
            with open(os.path.join(cls.folder, name), "wb") as f:
                f.write(b"x" * 10000)
        with Trace("file", "--set", "read_write=1", *HOUR) as cls.by_process, Trace("file", *HOUR) as cls.by_path:
            cls.pid, cls.out = child("directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)\n" + cls.CODE, cls.folder)

    def test_the_sums_are_those_by_path(self):
        def sums(trace):
            found = {}
            for e in (e for e in trace.of(pid=self.pid) if e["operation"] != "open"):
                n, size = found.get((e["operation"], e["error"]), (0, 0))
                found[(e["operation"], e["error"])] = n + e["count"], size + (e["bytes"] or 0)
            return found
        found = sums(self.by_process)
        self.assertEqual(found, sums(self.by_path))
        self.assertEqual(found[("write", None)], (self.out["writes"], self.out["wrote"]))  # and no more to pipes and sockets
        self.assertEqual((found[("sync", None)], found[("write", "EBADF")], found[("read", "EISDIR")]), ((3, 0), (1, 0), (4, 0)))

    def test_one_event_each_without_path(self):
        told = [(e["operation"], e["error"], e["path"]) for e in self.by_process.of(pid=self.pid) if e["operation"] != "open"]
        self.assertEqual(({path for _, _, path in told}, len(told)), ({None}, len(set(told))))

    def test_opens_have_their_path(self):
        self.assertEqual(len(self.by_process.of(pid=self.pid, operation="open", path=os.path.join(self.folder, "rw"))), 1)
        self.assertEqual(self.by_process.of(pid=self.pid, operation="open", path=None), [])

    def test_while_flushing(self):
        """Several processes on each CPU, so that slots are asked for by others and taken while they are added to."""
        each = 200000
        with Trace("file", "--set", "read_write=1", "--set", "update_interval_ns=5ms") as trace:
            loops = [subprocess.Popen(["taskset", "-c", str(i % os.cpu_count()), GENERATE, "read", os.path.realpath(__file__), str(each)],
                                      stdout=subprocess.DEVNULL) for i in range(3 * os.cpu_count())]
            for loop in loops:
                self.assertEqual(loop.wait(300), 0)
        found = {loop.pid: [0, 0] for loop in loops}
        for e in (e for e in trace.of(operation="read", path=None, error=None) if e["pid"] in found):
            found[e["pid"]][0] += e["count"]
            found[e["pid"]][1] += e["bytes"]
        libraries = {(n - each, size - each * 64) for n, size in found.values()}  # what each of them read as it began
        self.assertEqual(len(libraries), 1, found)
        self.assertLess(list(libraries)[0][0], 100)
        self.assertEqual((trace.ledger["residual"], trace.ledger["map_full"], trace.ledger["ring_full"]), (0, 0, 0))


class Single(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-file-"))
        self.addCleanup(shutil.rmtree, self.folder)

    CODE = r"""
fd = os.open("one", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
os.write(fd, b"x" * 100); os.pread(fd, 1000, 0); os.fsync(fd)
fails("none")
out["fd"] = fd
"""

    def test_each_operation(self):
        with Trace("file", "--set", "single=1") as trace:
            pid, out = child(self.CODE, self.folder)
        path, fd = os.path.join(self.folder, "one"), out["fd"]
        events = [e for e in trace.of(pid=pid) if (e["path"] or "").startswith(self.folder)]
        self.assertEqual([(e["operation"], e["error"], e["bytes"], e["descriptor"], e["path"], e["count"]) for e in events],
                         [("open", None, None, fd, path, 1), ("write", None, 100, fd, path, 1),
                          ("read", None, 100, fd, path, 1), ("sync", None, None, fd, path, 1),
                          ("open", "ENOENT", None, None, os.path.join(self.folder, "none"), 1)])
        flags = os.O_CREAT | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC
        self.assertEqual([e["flags_number"] for e in events], [flags, None, None, None, os.O_CLOEXEC])
        self.assertEqual([e["flags"] for e in events],
                         ["O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC", None, None, None, "O_RDONLY|O_CLOEXEC"])
        self.assertEqual([e["latency_ns"] for e in events], [None] * 5)
        times = [e["time"] for e in events]
        self.assertEqual(times, sorted(times))

    def test_names_of_every_length(self):
        """Names that fit into one word of the kernel's or many, opens of files and failed ones, up to the longest path and beyond."""
        code = r"""
for name in sys.argv[2:]:
    os.mkdir(name)
    opened(name, os.O_DIRECTORY)
    opened(name + "/" + name, os.O_CREAT | os.O_WRONLY)
    fails(name + "/" + name + "/none")
"""
        names = ["%03d%s" % (i, "abcdefghij" * 20) for i in range(1, 125)]  # longer ones of the caller are cut
        names = [name[:max(3, i)] for i, name in enumerate(names)]
        with Trace("file", "--set", "single=1", "--set", "read_write=0") as trace:
            pid, _ = child(code, self.folder, *names)

        told = [e["path"] for e in trace.of(pid=pid, error=None) if "O_DIRECTORY" in e["flags"] and e["path"].startswith(self.folder)]
        self.are_these(told, [os.path.join(self.folder, name) for name in names])
        self.assertTrue({63, 64} < {len(path) for path in told})  # the longest of a short record, the shortest of a long one
        told = [e["path"] for e in trace.of(pid=pid, error=None) if "O_CREAT" in e["flags"]]
        self.are_these(told, [os.path.join(self.folder, name, name) for name in names])
        told = [e["path"] for e in trace.of(pid=pid, error="ENOTDIR")]
        self.are_these(told, [os.path.join(self.folder, name, name, "none") for name in names])

    def are_these(self, told, paths):
        """What is too long has its last part, as far as there is room."""
        self.assertEqual(len(told), len(paths))
        for path, whole in zip(told, paths):
            if len(whole) <= 252:  # else there must be room for the dots
                self.assertEqual(path, whole)
            else:
                self.assertTrue(path.startswith("...") and whole.endswith(path[3:]) and len(path) > 245, (path, whole))

    def test_all_flags_by_name(self):
        """What python calls them is what sonde does."""
        names = ["O_APPEND", "O_CREAT", "O_DIRECTORY", "O_DSYNC", "O_EXCL", "O_NOATIME", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH",
                 "O_SYNC", "O_TMPFILE", "O_TRUNC"]
        code = "for name in sys.argv[2:]:\n    fails('missing/' + name, os.O_WRONLY | getattr(os, name))"
        with Trace("file", "--set", "single=1", "--set", "only_errors=1") as trace:
            pid, _ = child(code, self.folder, *names)
        found = {os.path.basename(e["path"]): e["flags"] for e in trace.of(pid=pid, operation="open") if "/missing/" in (e["path"] or "")}
        self.assertEqual({name: set(flags.split("|")) for name, flags in found.items()},
                         {name: {"O_WRONLY", name, "O_CLOEXEC"} for name in names})

    def test_latency(self):
        code = "r = os.open('fifo', os.O_RDWR)\nos.read(r, 0)\n" \
               "import threading, time; threading.Timer(0.2, lambda: os.write(r, b'late')).start(); os.read(r, 10)"
        os.mkfifo(os.path.join(self.folder, "fifo"))
        with Trace("file", "--set", "single=1", "--set", "min_latency_ns=100ms") as trace:
            pid, _ = child(code, self.folder)
        events = trace.of(pid=pid, operation="read", path=os.path.join(self.folder, "fifo"))
        self.assertEqual([e["bytes"] for e in events], [4])
        self.assertGreater(events[0]["latency_ns"], 100e6)
        self.assertTrue(all(e["latency_ns"] >= 100e6 for e in trace.events))

    def test_latency_of_counts(self):
        with Trace("file", "--set", "latency=1", *HOUR) as trace:
            pid, _ = child(self.CODE, self.folder)
        for e in trace.of(pid=pid, path=os.path.join(self.folder, "one")):
            self.assertGreater(e["latency_ns"], 0, e)
            self.assertEqual(e["latency_p50_ns"], e["latency_p99_ns"])
            self.assertGreaterEqual(e["latency_p99_ns"], e["latency_ns"])  # it is one

    def test_quantiles(self):
        """A read that waits is among many that do not."""
        code = "import threading, time\nr = os.open('fifo', os.O_RDWR)\n" \
               "for _ in range(95): os.write(r, b'x'); os.read(r, 1)\n" \
               "for _ in range(5): threading.Timer(0.05, lambda: os.write(r, b'x')).start(); os.read(r, 1)"
        os.mkfifo(os.path.join(self.folder, "fifo"))
        with Trace("file", "--set", "latency=1", *HOUR) as trace:
            pid, _ = child(code, self.folder)
        [e] = trace.of(pid=pid, operation="read", path=os.path.join(self.folder, "fifo"))
        self.assertEqual(e["count"], 100)
        self.assertLess(e["latency_p50_ns"], e["latency_p99_ns"])
        self.assertGreaterEqual(e["latency_p99_ns"], 40000000)

    def test_only_these_processes(self):
        code = "sys.stdin.read(1)\n" + self.CODE
        processes = [subprocess.Popen([PYTHON, "-S", "-E", "-c", CHILD + code, self.folder], stdin=subprocess.PIPE)
                     for _ in range(3)]
        chosen = [process.pid for process in processes[:2]]
        with Trace("file", "--set", "single=1", "--set", "pid=%d" % chosen[0], "--set", "pid_4=%d" % chosen[1]) as trace:
            for process in processes:
                process.communicate(b"x", 60)
                os.unlink(os.path.join(self.folder, "one"))
        self.assertEqual({e["pid"] for e in trace.events}, set(chosen))
        self.assertEqual(len(trace.of(path=os.path.join(self.folder, "one"))), 2 * 4)

    def test_only_errors_and_opens(self):
        with Trace("file", "--set", "only_errors=1", *HOUR) as errors, Trace("file", "--set", "read_write=0", *HOUR) as opens:
            pid, _ = child(self.CODE, self.folder)
        self.assertTrue(all(e["error"] for e in errors.events))
        self.assertEqual(len(errors.of(pid=pid, path=os.path.join(self.folder, "none"))), 1)
        self.assertEqual({e["operation"] for e in opens.events}, {"open"})
        self.assertEqual(len(opens.of(pid=pid, path=os.path.join(self.folder, "one"))), 1)


class Load(unittest.TestCase):
    def test_a_million_opens_while_flushing(self):
        """On all CPUs, by several threads of one process too; the sum is exact, with a thousand times fewer events."""
        path = os.path.realpath(__file__)
        cpus = os.cpu_count()
        each = OPENS // cpus
        with Trace("file", "--set", "update_interval_ns=1s", "--set", "read_write=0") as trace:
            began = time.monotonic()
            loops = [subprocess.Popen(["taskset", "-c", str(i), GENERATE, "open", path, str(each)],
                                      stdout=subprocess.DEVNULL) for i in range(cpus)]
            for loop in loops:
                self.assertEqual(loop.wait(300), 0)
            took = time.monotonic() - began
        mine = [e for e in trace.of(operation="open", path=path, error=None) if e["pid"] in {x.pid for x in loops}]
        self.assertEqual(sum(e["count"] for e in mine), each * cpus)
        self.assertGreater(len(mine), cpus, "it was not flushed while they ran (%.1f s)" % took)
        self.assertLessEqual(len(mine), OPENS // 1000)
        self.assertEqual((trace.ledger["residual"], trace.ledger["ring_full"]), (0, 0))

    def test_idle_entries_come_back(self):
        """Counts go on while entries are put to rest and removed: pauses of zero to four intervals."""
        code = "import time\nfor i in range(120):\n" \
               "    for _ in range(50): opened(%r)\n    time.sleep((i %% 5) * 0.011)"
        path = os.path.realpath(__file__)
        with Trace("file", "--set", "update_interval_ns=10ms", "--set", "read_write=0") as trace:
            pid, _ = child(code % path, "/")
        self.assertEqual(sum(e["count"] for e in trace.of(pid=pid, path=path, error=None)), 120 * 50)

    def test_more_paths_than_room(self):
        """What finds no entry is told without path and process; nothing is missing."""
        code = "out['n'] = %d\nfor i in range(%d): fails('/nowhere/%%d' %% i)" % (ENTRIES + 5000, ENTRIES + 5000)
        with Trace("file", "--set", "read_write=0", "--set", "only_errors=1", *HOUR) as trace:
            pid, out = child(code, "/")
        named = trace.of(pid=pid, error="ENOENT")
        rest = trace.of(pid=None, error="ENOENT", operation="open")
        self.assertEqual([e["path"] for e in rest], [None])
        named = [e for e in named if e["path"].startswith("/nowhere/")]
        self.assertGreaterEqual(rest[0]["count"] + len(named), out["n"])
        self.assertLessEqual(len(named), ENTRIES)
        self.assertEqual({e["count"] for e in named}, {1})
        self.assertEqual(trace.ledger["map_full"], 0)

    def test_the_dead_make_room(self):
        """When they have been told: who comes one or two flushes later is counted by path and process."""
        n = ENTRIES + 5000
        code = "for i in range(%d): fails('/nowhere/%%d' %% i)" % n
        with Trace("file", "--set", "only_errors=1", "--set", "update_interval_ns=6s") as trace:
            child(code, "/")
            time.sleep(13)  # two flushes
            pid, _ = child("for i in range(500): fails('/elsewhere/%d' % (i % 5))", "/")
        self.assertTrue(trace.of(pid=None, error="ENOENT"), "the table was never full")
        self.assertEqual(sum(e["count"] for e in trace.of(pid=pid) if e["path"].startswith("/elsewhere/")), 500)
        self.assertGreaterEqual(sum(e["count"] for e in trace.of(error="ENOENT")), n + 500)


class Running(unittest.TestCase):
    def test_off_until_asked_for(self):
        with Agent(programs=only()) as agent:
            def state():
                return [p["state"] for p in agent.get("/api/v1/programs")["programs"] if p["name"] == "file"]
            self.assertEqual(state(), ["disabled"])
            agent.cli("programs", "start", "file")
            self.assertEqual(state(), ["running"])
            pid, _ = child("for _ in range(7): opened('/etc/hostname')", "/")
            agent.cli("programs", "stop", "file")
            found = wait_for(lambda: agent.events("file", pid=pid, where="path = '/etc/hostname'"), "the last counts")
            self.assertEqual([e["count"] for e in found], [7])

    def test_by_configuration(self):
        with Agent(programs=only(file={"enabled": True, "settings": {"update_interval_ns": "100ms"}})) as agent:
            pid, _ = child("for _ in range(7): opened('/etc/hostname')", "/")
            found = wait_for(lambda: agent.events("file", pid=pid, where="path = '/etc/hostname'"), "an interval")
            self.assertEqual(sum(e["count"] for e in found), 7)

    def totals(self, agent, metric):
        """{labels: number} of those that are not 0."""
        found = re.findall(r"^sonde_file_%s_total\{(.*)\} (\d+)$" % metric, agent.metrics().text, re.M)
        return {labels: int(n) for labels, n in found if n != "0"}

    def metrics_are_what_a_process_did(self, **settings):
        folder = tempfile.TemporaryDirectory(prefix="sonde-file-")
        self.addCleanup(folder.cleanup)
        process = subprocess.Popen([PYTHON, "-S", "-E", "-c", CHILD + "sys.stdin.read(1)\n" + Single.CODE, folder.name], stdin=subprocess.PIPE)
        settings = {"update_interval_ns": "100ms", "pid": process.pid, **settings}
        with Agent(programs=only(file={"enabled": True, "settings": settings})) as agent:
            process.communicate(b"x", 60)
            events = wait_for(lambda: self.all_told(agent, process.pid), "the page")
            self.assertEqual(self.totals(agent, "bytes"),
                             {'operation="%s"' % name: sum(e["bytes"] for e in events if e["operation"] == name and e["bytes"])
                              for name in ("read", "write")})
            self.assertEqual(self.totals(agent, "errors"), {'operation="open",error="ENOENT"': 1})

    def all_told(self, agent, pid):
        events = agent.events("file", pid=pid)
        counts = {}
        for e in events:
            label = 'operation="%s"' % e["operation"]
            counts[label] = counts.get(label, 0) + e["count"]
        last = [e for e in events if e["error"] == "ENOENT"]
        return events if last and counts == self.totals(agent, "operations") else None

    def test_metrics(self):
        self.metrics_are_what_a_process_did()

    def test_metrics_of_single_events(self):
        self.metrics_are_what_a_process_did(single=1)

    def test_what_found_no_room_is_a_metric(self):
        n = ENTRIES + 5000
        with Agent(programs=only(file={"enabled": True, "settings": {"update_interval_ns": "1h"}})) as agent:
            child("for i in range(%d): fails('/nowhere/%%d' %% i)" % n, "/")
            line = r'^sonde_file_other_operations_total{operation="open"} (\d+)$'
            found = wait_for(lambda: [int(n) for n in re.findall(line, agent.metrics().text, re.M) if n != "0"], "the metric")[0]
            self.assertGreaterEqual(found, 5000)
            agent.cli("programs", "stop", "file")
            rest = wait_for(lambda: agent.events("file", where="pid = null and operation = 'open'"), "the last counts")
            self.assertGreaterEqual(sum(e["count"] for e in rest), found)


if __name__ == "__main__":
    unittest.main()
