#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""file against the real kernel: every field of each operation, counted, held against what the caller did."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import GENERATE, Trace  # noqa: E402
from child import HOUR, child  # noqa: E402


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


class Chroot(unittest.TestCase):
    """Failed opens are told as those that succeed: with the way outside of it."""

    CODE = r"""
os.mkdir("root"); os.mkdir("root/inner"); opened("root/there", os.O_CREAT | os.O_WRONLY)
outside = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
fails("/absent")
os.chroot("root"); fails("/absent"); fails("absent-outside"); os.chdir("/inner")
opened("/there"); fails("/absent"); fails("/inner/../absent"); fails("absent"); fails("absent-at", dir_fd=outside); fails("/" + "absent" * 42)
"""

    def check(self, *settings):
        folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-file-"))
        self.addCleanup(shutil.rmtree, folder)
        with Trace("file", *settings) as trace:
            pid, _ = child(self.CODE, folder)
        told = {}
        for e in trace.of(pid=pid, operation="open", path_is_relative=None):
            if "absent" in e["path"] or e["path"].endswith("/there"):
                told[e["path"], e["error"]] = told.get((e["path"], e["error"]), 0) + e["count"]
        self.assertEqual(told, {(folder + "/root/there", None): 2, ("/absent", "ENOENT"): 1, (folder + "/root/absent", "ENOENT"): 2,
                                (folder + "/absent-outside", "ENOENT"): 1, (folder + "/root/inner/../absent", "ENOENT"): 1,
                                (folder + "/root/inner/absent", "ENOENT"): 1, (folder + "/absent-at", "ENOENT"): 1,
                                ("..." + ("absent" * 42)[2:], "ENOENT"): 1})

    def test_counted(self):
        self.check(*HOUR)

    def test_single(self):
        self.check("--set", "single=1")


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


if __name__ == "__main__":
    unittest.main()
