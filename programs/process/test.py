#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""process against the real kernel: each kind of start and end, every field; ends are held against what wait() says."""
import csv
import ctypes
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
from harness import Agent, Trace, only  # noqa: E402

TRUE, SLEEP, SHELL = (os.path.realpath(shutil.which(x)) for x in ("true", "sleep", "sh"))
PYTHON = os.path.realpath(sys.executable)
RUNS = 1000


class Ended:
    """A child that ran under the trace: its pid, what wait() said, and the most that it can have lived."""

    def __init__(self, arguments, stop=None, **options):
        begin = time.monotonic_ns()
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, **options)
        if stop is not None:
            time.sleep(0.05)
            child.send_signal(stop)
        self.pid, self.status = child.pid, child.wait(60)
        self.ns = time.monotonic_ns() - begin


def python(code, *arguments):
    return [PYTHON, "-S", "-E", "-c", "import ctypes,os,signal,sys,threading,time\n" + code, *arguments]


class Process(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.realpath(tempfile.mkdtemp(prefix="sonde-process-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.own_true = os.path.join(cls.folder, "own-true")
        shutil.copy(TRUE, cls.own_true)
        before = os.path.join(cls.folder, "own-sleep")
        shutil.copy(SLEEP, before)
        cls.older = subprocess.Popen([before, "1000"])
        cls.addClassCleanup(cls.older.wait)
        cls.addClassCleanup(cls.older.kill)
        while os.readlink("/proc/%d/exe" % cls.older.pid) != before:
            time.sleep(0.01)
        os.unlink(before)
        with Trace("process") as cls.trace:
            cls.cause()
            cls.older.kill()
            cls.older.wait()

    @classmethod
    def cause(cls):
        cls.plain = Ended([TRUE])
        cls.code = Ended([SHELL, "-c", "exit 3"])
        cls.killed = Ended([SLEEP, "1000"], stop=signal.SIGKILL)
        cls.fault = Ended([SHELL, "-c", "kill -SEGV $$"])
        cls.short = Ended([SLEEP, "0.005"])
        cls.user = Ended([TRUE], user=65534)
        cls.threads = Ended(python("t=[threading.Thread(target=time.sleep,args=(.01,)) for _ in range(20)]\n"
                                   "[x.start() for x in t];[x.join() for x in t];os._exit(5)"))
        cls.threads_killed = Ended(python("[threading.Thread(target=time.sleep,args=(99,)).start() for _ in range(9)]\n"
                                          "os.kill(os.getpid(), signal.SIGTERM)"))
        # The thread leaves by its own system call: the C library would end the process with 0 after its last thread.
        cls.no_leader = Ended(python("threading.Thread(target=lambda:(time.sleep(.1),ctypes.CDLL(None).syscall(60, 8)))"
                                     ".start()\n"
                                     "ctypes.CDLL(None).syscall(60, 7)"))
        cls.thread_exec = Ended(python("threading.Thread(target=lambda:os.execv(sys.argv[1],['true'])).start()\n"
                                       "time.sleep(99)", TRUE))
        cls.twice = Ended([SHELL, "-c", "exec " + TRUE])
        cls.named = Ended(python("ctypes.CDLL(None).prctl(15, bytes([27]) + b'[31m\"\\n\\xff')\nos._exit(0)"))
        cls.forker = Ended(python("os.fork() or os._exit(9); os.wait()"))
        script = os.path.join(cls.folder, "script")
        with open(script, "w") as f:
            f.write("#!%s\nexit 4\n" % SHELL)
        os.chmod(script, 0o755)
        cls.script = Ended(["./script", "word"], cwd=cls.folder)
        cls.relative = Ended(["./own-true"], cwd=cls.folder)
        cls.deleted = Ended(python("os.mkdir(sys.argv[2]); path = sys.argv[2] + '/gone'\n"
                                   "open(path, 'wb').write(open(sys.argv[1], 'rb').read()); os.chmod(path, 0o755)\n"
                                   "fd = os.open(path, os.O_RDONLY); os.unlink(path); os.rmdir(sys.argv[2])\n"
                                   "os.execve(fd, ['gone'], {})", TRUE, cls.folder + "/empty"))
        cls.memfd = Ended(python("fd = os.memfd_create('hidden'); os.write(fd, open(sys.argv[1], 'rb').read())\n"
                                 "os.execve(fd, ['nothing'], {})", TRUE))
        cls.cause_arguments()
        cls.cause_paths()
        cls.many = [os.waitpid(os.posix_spawn(TRUE, ["true"], {}), 0)[0] for _ in range(RUNS)]

    @classmethod
    def cause_arguments(cls):
        cls.long_words = ["true", "x" * 100, "y" * 300, "z" * 4000]
        cls.long = Ended(cls.long_words, executable=TRUE)
        cls.hostile_words = [b"true", b"new\nline", b"\x1b[31mred", b"\xff\xfe\xc3(", b'quo"te', b"it's", b"", b"\\"]
        cls.hostile = Ended(cls.hostile_words, executable=TRUE)
        cls.secret = Ended(["true", "--password=hunter2-in-one", "--token", "hunter2-in-two", "API_KEY=hunter2-env",
                            "https://me:hunter2-url@example.org/"], executable=TRUE)

    @classmethod
    def cause_paths(cls):
        cls.deep_folder = cls.folder
        while len(cls.deep_folder) < 400:
            cls.deep_folder += "/component"
        os.makedirs(cls.deep_folder)
        shutil.copy(TRUE, cls.deep_folder)
        cls.deep = Ended([os.path.join(cls.deep_folder, os.path.basename(TRUE))])
        cls.wide_name = "n" * 255
        shutil.copy(TRUE, os.path.join(cls.folder, cls.wide_name))
        cls.wide = Ended(["./" + cls.wide_name], cwd=cls.folder)
        for name in ("bound", "lower", "upper", "work", "merged"):
            os.mkdir(os.path.join(cls.folder, name))
        shutil.copy(TRUE, os.path.join(cls.folder, "lower", "below"))
        cls.mounts = Ended(["unshare", "--mount", "--fork", "--kill-child", SHELL, "-c",
                            "mount --bind %s/lower %s/bound && %s/bound/below && "
                            "mount -t tmpfs none {0}/work && mkdir {0}/work/u {0}/work/w && "
                            "mount -t overlay -o lowerdir={0}/lower,upperdir={0}/work/u,workdir={0}/work/w none "
                            "{0}/merged && {0}/merged/below".format(cls.folder).replace("%s", cls.folder)])

    def events(self, ended, **fields):
        return self.trace.of(type="process", pid=getattr(ended, "pid", ended), **fields)

    def one(self, ended, kind):
        events = self.events(ended, kind=kind)
        self.assertEqual(len(events), 1, "%s of pid %d: %s" % (kind, ended.pid, events))
        return events[0]

    def check_life(self, ended, path, arguments, execs=1):
        """fork, exec and exit of one child, every field."""
        self.assertEqual([e["kind"] for e in self.events(ended)], ["fork"] + ["exec"] * execs + ["exit"])
        fork, start, end = self.one(ended, "fork"), self.events(ended, kind="exec")[-1], self.one(ended, "exit")
        for e in (fork, start, end):
            self.assertEqual((e["tid"], e["uid"], e["parent_pid"], e["weight"], e["source"]),
                             (ended.pid, 0, os.getpid(), 1, "ebpf"))
        self.assertEqual((start["path"], start["arguments"]), (path, arguments))
        self.assertEqual(start["command"], os.path.basename(path)[:15])
        self.assertEqual(end["path"], path)
        self.check_end(ended)
        for e in (fork, start):
            self.assertEqual([e[k] for k in ("exit_code", "signal", "signal_name", "lifetime_ns")], [None] * 4)
        self.assertIsNone(fork["path"])
        self.assertIsNone(fork["arguments"])

    def check_end(self, ended):
        end = self.one(ended, "exit")
        if ended.status < 0:
            self.assertEqual((end["exit_code"], end["signal"], end["signal_name"]),
                             (None, -ended.status, signal.Signals(-ended.status).name))
        else:
            self.assertEqual((end["exit_code"], end["signal"], end["signal_name"]), (ended.status, None, None))
        self.assertGreater(end["lifetime_ns"], 0)
        self.assertLess(end["lifetime_ns"], ended.ns)

    def test_plain(self):
        self.check_life(self.plain, TRUE, TRUE)

    def test_exit_code(self):
        self.check_life(self.code, SHELL, "%s -c 'exit 3'" % SHELL)

    def test_killed(self):
        self.assertEqual(self.killed.status, -9)
        self.check_life(self.killed, SLEEP, SLEEP + " 1000")

    def test_fault(self):
        self.assertEqual(self.fault.status, -signal.SIGSEGV)
        self.check_end(self.fault)

    def test_short(self):
        self.check_life(self.short, SLEEP, SLEEP + " 0.005")
        self.assertGreaterEqual(self.one(self.short, "exit")["lifetime_ns"], 5000000)

    def test_user(self):
        self.assertEqual([e["uid"] for e in self.events(self.user)], [0, 65534, 65534])

    def test_many(self):
        for kind in ("fork", "exec", "exit"):
            pids = [e["pid"] for e in self.trace.of(type="process", kind=kind) if e["pid"] in set(self.many)]
            self.assertEqual(sorted(pids), sorted(self.many), kind)

    def test_threads_are_no_processes(self):
        for ended, status in ((self.threads, 5), (self.threads_killed, -signal.SIGTERM)):
            self.assertEqual(ended.status, status)
            self.assertEqual([e["kind"] for e in self.events(ended)], ["fork", "exec", "exit"])
            self.check_end(ended)

    def test_leader_ends_first(self):
        self.assertIn(self.no_leader.status, (7, 8))  # kernels differ in whose code counts
        self.assertEqual([e["kind"] for e in self.events(self.no_leader)], ["fork", "exec", "exit"])
        self.check_end(self.no_leader)
        self.assertGreaterEqual(self.one(self.no_leader, "exit")["lifetime_ns"], 100000000)

    def test_exec_in_thread(self):
        self.assertEqual([(e["kind"], e["tid"]) for e in self.events(self.thread_exec)],
                         [(k, self.thread_exec.pid) for k in ("fork", "exec", "exec", "exit")])
        self.assertEqual(self.events(self.thread_exec, kind="exec")[1]["path"], TRUE)
        self.check_end(self.thread_exec)

    def test_two_execs(self):
        self.check_life(self.twice, TRUE, TRUE, execs=2)

    def test_name_at_end(self):
        self.assertEqual(self.one(self.named, "exit")["command"], '\x1b[31m"\n\\xff')
        self.assertNotIn(b"\x1b", self.trace.raw)

    def test_fork_without_exec(self):
        children = self.trace.of(type="process", parent_pid=self.forker.pid)
        self.assertEqual([e["kind"] for e in children], ["fork", "exit"])
        self.assertEqual(children[1]["path"], PYTHON)

    def test_script(self):
        self.check_end(self.script)
        start = self.one(self.script, "exec")
        self.assertEqual((start["path"], start["arguments"], start["command"]),
                         (SHELL, SHELL + " ./script word", "script"))

    def test_relative(self):
        self.check_life(self.relative, self.own_true, "./own-true")

    def test_deleted(self):
        self.assertEqual(self.deleted.status, 0)
        self.assertEqual(self.events(self.deleted, kind="exec")[1]["path"], self.folder + "/empty/gone (deleted)")

    def test_memfd(self):
        self.assertEqual(self.memfd.status, 0)
        start = self.events(self.memfd, kind="exec")[1]
        self.assertEqual((start["path"], start["arguments"]), ("/memfd:hidden (deleted)", "nothing"))

    def test_long_arguments(self):
        start = self.one(self.long, "exec")
        self.assertEqual(start["arguments_bytes"], sum(len(w) + 1 for w in self.long_words))
        self.assertEqual(start["arguments"], " ".join(self.long_words)[:512].rstrip())
        self.assertIsNone(self.one(self.long, "exit")["arguments_bytes"])

    def test_hostile_arguments(self):
        words = self.one(self.hostile, "exec")["arguments"]
        for part in ("true", "red", 'quo"te'):
            self.assertIn(part, words)
        self.assertEqual(self.one(self.hostile, "exec")["arguments_bytes"],
                         sum(len(w) + 1 for w in self.hostile_words))

    def test_secrets(self):
        words = self.one(self.secret, "exec")["arguments"]
        self.assertNotIn(b"hunter2", self.trace.raw)
        self.assertIn("--password=***", words)
        self.assertIn("example.org", words)

    def test_deep_path(self):
        path, full = self.one(self.deep, "exec")["path"], os.path.join(self.deep_folder, os.path.basename(TRUE))
        self.assertTrue(path.startswith("..."), path)
        self.assertEqual(path[3:], full[-252:])
        self.assertEqual(self.one(self.wide, "exec")["path"][3:], self.wide_name[-252:])

    def test_mounts(self):
        self.assertEqual(self.mounts.status, 0)
        for path in ("/bound/below", "/merged/below"):
            self.assertEqual(len(self.trace.of(kind="exec", path=self.folder + path)), 1, path)

    def test_older_process(self):
        running = self.one(self.older, "running")
        path = self.folder + "/own-sleep"
        self.assertEqual((running["path"], running["arguments"], running["parent_pid"], running["command"]),
                         (path + " (deleted)", path + " 1000", os.getpid(), "own-sleep"))
        end = self.one(self.older, "exit")
        self.assertEqual((end["signal"], end["path"]), (9, path + " (deleted)"))

    def test_running_is_said_once(self):
        running = self.trace.of(kind="running")
        self.assertEqual(len(running), len({e["pid"] for e in running}))
        self.assertIn(os.getpid(), [e["pid"] for e in running])
        self.assertTrue(all(e["pid"] == e["tid"] for e in running))

    def test_ledger(self):
        self.assertEqual(self.trace.ledger.get("residual"), 0, self.trace.stderr)


# A process that points its arguments at a mapped file, as CRIU does: prctl(PR_SET_MM, PR_SET_MM_MAP), no capability needed.
MOVE_ARGUMENTS = """
import mmap, struct
area = mmap.mmap(int(sys.argv[1]), 4096, mmap.MAP_PRIVATE)
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
stat = [0] * 3 + open('/proc/self/stat').read().rsplit(')', 1)[1].split()
field = lambda number: int(stat[number])
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
layout = struct.pack('12QIi', field(26), field(27), field(45), field(46), field(47), libc.sbrk(0), field(28),
                     at, at + 4000, field(50), field(51), 0, 0, -1)
refused = libc.prctl(35, ctypes.c_ulong(14), layout, ctypes.c_ulong(len(layout)), ctypes.c_ulong(0))
print('refused' if refused else 'moved', flush=True)
time.sleep(99)
"""


class HeldUpMemory(unittest.TestCase):
    def test_arguments_in_a_file_are_not_read(self):
        """A process may move its arguments to a file whose pages never come; then they are unknown, and nobody waits."""
        with tempfile.TemporaryFile() as f:
            f.write(b"decoy\0" * 1000)
            f.flush()
            child = subprocess.Popen(python(MOVE_ARGUMENTS, str(f.fileno())), pass_fds=(f.fileno(),),
                                     stdout=subprocess.PIPE)
            self.addCleanup(child.stdout.close)
            self.addCleanup(child.wait)
            self.addCleanup(child.kill)
            if child.stdout.readline() != b"moved\n":
                self.skipTest("PR_SET_MM_MAP is refused here")
            with Trace("process") as trace:
                pass
        running = trace.of(kind="running", pid=child.pid)
        self.assertEqual([(e["path"], e["arguments"]) for e in running], [(PYTHON, None)])


class Arguments(unittest.TestCase):
    """Whatever the words are, each form has them all, and each only once: a shell that reads the line gets them back."""
    CASES = (
        [b"true", b"a", b"b"], [b"true", b"a", b""], [b"", b"a"], [b"true", b"", b"b"], [b"", b"", b""], [b""], [],
        [b"true", b"a\nb", b"c\n"], [b"true", b"it's", b'"x"', b"`y`", b"$z", b"\\"], [b"true", b"\xff\xfe", b"ok\x80"],
        [b"true", "\u00e4\u20ac\U0001f600".encode()], [b"true", b" ", b"  a "], [b"true", b"\t", b"\x1b[31mred", b"\\xff"],
        [b"true", b"*", b"?", b"~", b"#x", b"a=b", b"{a,b}", b"$'x'"], [b"true"] + [b"x" * 1000] * 200, [b"true"] + [b""] * 100000,
        [b"true", b"y" * 505], [b"true", b"y" * 506], [b"true", b"y" * 507], [b"true", b"y" * 505, b""],
    )

    @staticmethod
    def run_with(words):
        pid = os.fork()
        if not pid:
            try:
                ctypes.CDLL(None).execve(TRUE.encode(), (ctypes.c_char_p * (len(words) + 1))(*words, None),
                                         (ctypes.c_char_p * 1)(None))
            finally:
                os._exit(99)
        return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @staticmethod
    def words_of(line):
        """As a shell reads it: printf repeats its format for each word."""
        return subprocess.run(["bash"], input=b"printf '%s\\0' " + line, capture_output=True, check=True).stdout[:-1].split(b"\0")

    def test_words(self):
        with Agent(programs=only("process")) as agent:
            ran = [(words, *self.run_with(words)) for words in self.CASES]
            agent.settle()
            for words, pid, code in ran:
                self.assertEqual(code, 0)
                raw = b"".join(word + b"\0" for word in words or [b""])  # Linux gives a program without words an empty one
                expected = (raw[:511] if raw[511:512] == b"\0" else raw[:512]) if len(raw) >= 512 else raw[:-1]
                event = agent.events("process", pid=pid, where="kind = exec")[0]
                self.assertEqual((event["path"], event["arguments_bytes"]), (TRUE, len(raw)))
                line = event["arguments"]
                ask = "events", "process", "--pid", str(pid), "-w", "kind = exec", "-o"
                sql = agent.cli("sql", "-o", "json", "select hex(arguments) as line from process where kind = 'exec' and pid = %d" % pid)
                count = "count", "process", "--by", "arguments", "--pid", str(pid), "-w", "kind = exec", "-o", "csv"
                row, counted = (next(csv.DictReader(io.StringIO(agent.cli(*question).stdout.decode())))["arguments"]
                                for question in ((*ask, "csv"), count))
                self.assertEqual(counted, row)
                lines = {
                    "API": line.encode(), "JSON": json.loads(agent.cli(*ask, "json").stdout)["arguments"].encode(),
                    "CSV": row[row[0] == "'":].encode(),  # what a spreadsheet could take for a formula, or this mark, has it in front
                    "SQL": bytes.fromhex(json.loads(sql.stdout)["line"]),
                }
                for form, found in lines.items():
                    self.assertEqual(self.words_of(found), expected.split(b"\0"), form)
                self.assertIn("  %s  " % line, agent.cli(*ask[:-1]).stdout.decode())


class ControlGroups(unittest.TestCase):
    NAME = "sonde-test-%d" % os.getpid()

    def cause(self, root):
        """Makes and removes a cgroup; its inode number and its events."""
        if not os.path.isdir(root):
            self.skipTest("no " + root)
        path = os.path.join(root, self.NAME)
        with Trace("process") as trace:
            os.mkdir(path)
            inode = os.stat(path).st_ino
            os.rmdir(path)
        return inode, trace.of(type="control_group", path="/" + self.NAME)

    def check(self, root, version):
        inode, events = self.cause(root)
        self.assertEqual([(e["kind"], e["version"], e["id"], e["pid"]) for e in events],
                         [(k, version, inode, os.getpid()) for k in ("create", "remove")])

    def test_v2(self):
        root = next((r for r in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                     if os.path.exists(r + "/cgroup.controllers")), "/none")
        self.check(root, 2)

    def test_v1_memory(self):
        self.check("/sys/fs/cgroup/memory", 1)

    def test_v1_other_controllers_are_left_out(self):
        self.assertEqual(self.cause("/sys/fs/cgroup/pids")[1], [])


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
