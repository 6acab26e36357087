# SPDX-License-Identifier: Apache-2.0
"""`sonde new`: what it writes is whole. Its kernel side compiles and sees real events, as an object of its own."""
import os
import platform
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import ROOT, SONDE, Trace  # noqa: E402


class New(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.addCleanup(self.directory.cleanup)
        for name in ("include", "tools", "tests"):
            os.symlink(os.path.join(ROOT, name), os.path.join(self.directory.name, name))
        os.mkdir(os.path.join(self.directory.name, "programs"))

    def new(self, name):
        return subprocess.run([SONDE, "new", name], cwd=self.directory.name, capture_output=True, text=True, timeout=20)

    def test_skeleton_works(self):
        done = self.new("signals")
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = os.path.join(self.directory.name, "programs", "signals")
        self.assertEqual(sorted(os.listdir(folder)), ["README.md", "event.h", "program.bpf.c", "test.py"])
        built = os.path.join(self.directory.name, "signals.bpf.o")
        subprocess.run([os.path.join(ROOT, "tools", "build-bpf.sh"), os.path.join(folder, "program.bpf.c"), built,
                        built + ".d", platform.machine()], check=True, timeout=60)
        with Trace(built) as trace:
            child = subprocess.Popen(["sleep", "60"])
            child.send_signal(signal.SIGUSR1)
            child.wait()
        sent = trace.of(pid=os.getpid(), target_pid=child.pid)
        self.assertEqual([(e["signal"], e["signal_name"]) for e in sent], [(10, "SIGUSR1")])

    def test_refused(self):
        self.assertEqual(self.new("signals").returncode, 0)
        again = self.new("signals")
        self.assertEqual(again.returncode, 1)
        self.assertIn("exists", again.stderr)
        for name in ("Upper", "../evil", "9", "", "a" * 40):
            self.assertEqual(self.new(name).returncode, 2, name)
        os.symlink(os.path.join(ROOT, "programs", "process"), os.path.join(self.directory.name, "programs", "process"))
        for name, why in (("int", "a word of C"), ("bool", "a word of C"), ("path", "a type"), ("mount", "a type"), ("cgroup", "a type"),
                          ("task_struct", "a type"), ("bpf_attr", "a type"), ("control_group", "an event already")):
            done = self.new(name)
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("'%s' is %s" % (name, why), done.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.directory.name, "programs", name)))
        self.assertEqual(self.new("process").returncode, 1)
        self.assertEqual(self.new("pat").returncode, 0)  # only the beginning of a type's name
        elsewhere = subprocess.run([SONDE, "new", "x"], cwd="/", capture_output=True, text=True, timeout=20)
        self.assertEqual(elsewhere.returncode, 1)
        self.assertIn("source tree", elsewhere.stderr)


if __name__ == "__main__":
    unittest.main()
