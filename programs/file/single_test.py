#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""file, one event for each operation, and what the settings choose."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests")]
from harness import Trace  # noqa: E402
from child import CHILD, EACH, HOUR, PYTHON, child  # noqa: E402


class Single(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-file-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_each_operation(self):
        with Trace("file", "--set", "single=1") as trace:
            pid, out = child(EACH, self.folder)
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
            pid, _ = child(EACH, self.folder)
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
        code = "sys.stdin.read(1)\n" + EACH
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
            pid, _ = child(EACH, self.folder)
        self.assertTrue(all(e["error"] for e in errors.events))
        self.assertEqual(len(errors.of(pid=pid, path=os.path.join(self.folder, "none"))), 1)
        self.assertEqual({e["operation"] for e in opens.events}, {"open"})
        self.assertEqual(len(opens.of(pid=pid, path=os.path.join(self.folder, "one"))), 1)


if __name__ == "__main__":
    unittest.main()
