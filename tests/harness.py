# SPDX-License-Identifier: Apache-2.0
"""What the tests against the real kernel share: run sonde, cause events, look at what it says.

Python's standard library only. Every test starts its own sonde, talks only to this machine, and leaves nothing behind.
"""
import ctypes
import fcntl
import http.client
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import termios
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SONDE = os.environ.get("SONDE", os.path.join(ROOT, "build", "sonde"))
BUILD = os.path.dirname(SONDE)
GENERATE = os.path.join(BUILD, "generate")
FLOOD = os.path.join(BUILD, "flood.bpf.o")
# A test that is killed leaves no agent and no load behind.
END_WITH_US = ("setpriv", "--pdeathsig", "TERM")
TAG = int.from_bytes(os.urandom(5), "big")  # other runs on this machine flood too
BUILT_IN = tuple(sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(ROOT + "/programs/*/program.bpf.c")))


class Trace:
    """`sonde trace PROGRAM -o json`, from "attached" to Ctrl-C. Use as a context manager; then .events and .ledger. Times are
    only limits to give up: the machine may be busy."""

    def __init__(self, program, *arguments, timeout=60):
        self.command = [*END_WITH_US, SONDE, "trace", program, "-o", "json", *arguments]
        self.timeout = timeout
        self.lines, self.events, self.ledger, self.stderr = [], [], {}, ""

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.stderr = await_tracing(self.process, self.timeout)
        # Drain in the background: a full pipe would stop the tracer.
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()
        return self

    def __exit__(self, *_):
        try:
            await_packets()
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
            self.process.wait(self.timeout)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join()
        with self.process.stderr, self.process.stdout:
            self.stderr += self.process.stderr.read().decode(errors="replace")
        self.raw = b"".join(self.lines)
        self.read()
        self.ledger = {k: int(v) for k, v in re.findall(r"(\w+)[ =](-?\d+)", self.stderr.split("ledger", 1)[-1])}
        return False

    def read(self):
        """What has come by now."""
        self.events += [json.loads(line) for line in self.lines[len(self.events):]]

    def of(self, **fields):
        """The events with these values."""
        self.read()
        return [e for e in self.events if all(e.get(k) == v for k, v in fields.items())]


def await_tracing(process, timeout=60):
    """Until a `sonde trace` is attached; what it said."""
    os.set_blocking(process.stderr.fileno(), False)
    end = time.monotonic() + timeout
    said = b""
    while b"tracing" not in said:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            raise AssertionError("trace did not start: %s" % said.decode(errors="replace"))
        select.select([process.stderr], [], [], 0.2)
        said += process.stderr.read() or b""
    os.set_blocking(process.stderr.fileno(), True)
    return said.decode(errors="replace")


def wait_for(condition, what, timeout=30, pause=0.02):
    """Until it is true; what it returned. The time is only a limit to give up: the machine may be busy."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("after %d s still not: %s" % (timeout, what))
        time.sleep(pause)


def await_packets():
    """Until no CPU has packets before it that were sent on this machine, and softirqs had time for the rest, busy as it may be."""
    def backlog():
        with open("/proc/net/softnet_stat") as f:
            return sum(int(words[11], 16) for words in map(str.split, f) if len(words) > 11)
    time.sleep(0.3 + min(3, 0.1 * os.getloadavg()[0]))
    end = time.monotonic() + 10  # others send too
    while backlog() and time.monotonic() < end:
        time.sleep(0.01)


def running(pid):
    """Is there such a process, and no mere zombie?"""
    try:
        with open("/proc/%d/stat" % pid, errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def own_network():
    """From here on this process and its children are in a network namespace of their own, with `lo` alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def only(*names, **sections):
    """A `programs` section in which of the built-in ones only these run."""
    programs = {name: {"enabled": name in names} for name in BUILT_IN}
    for name, section in sections.items():
        programs.setdefault(name, {}).update(section)
    return programs


def build_object(folder, name, source):
    """A program of one's own from its text; the path of its object."""
    path = os.path.join(folder, name + ".bpf.")
    with open(path + "c", "w") as f:
        f.write(source)
    subprocess.run([os.path.join(ROOT, "tools/build-bpf.sh"), path + "c", path + "o"], check=True)
    return path + "o"


def rows(store, sql):
    """What a question to the store's file gives, asked without sonde's help: in a copy of plain tables, by SQLite's own hand."""
    with sqlite3.connect("file:%s?mode=ro" % store, uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the file is damaged"
    with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
        plain = os.path.join(directory, "plain.db")
        subprocess.run([SONDE, "export", plain, "--store", store], check=True, timeout=300, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        with sqlite3.connect(plain) as db:
            return db.execute(sql).fetchall()


def flood(**options):
    """Only the program of tests/flood: exactly one event for each call of system call 1023 by load()."""
    return only(flood={"object": FLOOD, "settings": {"tag": TAG}, **options})


def yaml(value, indent=0):
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            lines += ["%s%s:" % ("  " * indent, key), yaml(inner, indent + 1)] if inner else []
        elif isinstance(inner, str) and inner:
            lines.append('%s%s: "%s"' % ("  " * indent, key, inner))
        else:
            lines.append("%s%s: %s" % ("  " * indent, key, {True: "true", False: "false", "": '""'}.get(inner, inner)))
    return "\n".join(lines)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)


def ask(connection, method, path, body=None, headers={}):
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Agent:
    """`sonde run` with a configuration, ports, a socket and a store of its own. Use as a context manager: at its end it is
    stopped in order, and nothing of it may be left.

        with Agent(programs=flood(ring_bytes="64KiB")) as agent:
            run(load(1000))
            agent.settle()
            agent.events("flood")
    """

    def __init__(self, programs=None, store=None, arguments=(), ready=True, directory=None, **configuration):
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="sonde-test-")
        os.chmod(self.directory, 0o755)  # the worker has a user of its own
        options = store if isinstance(store, dict) else {"path": store} if store else {}
        self.store = options.get("path", os.path.join(self.directory, "store", "events.db"))
        self.socket = os.path.join(self.directory, "run", "sonde.sock")
        self.ports = {name: free_port() for name in ("metrics", "health", "api")}
        self.wait_ready = ready
        self.worker_may_die = not ready  # a test that kills it says so
        self.configuration = {
            "store": {**options, "path": self.store},
            "listen": {**{name: "127.0.0.1:%d" % port for name, port in self.ports.items()}, "socket": self.socket},
            "shared_maps": {"path": ""},  # so that an agent that is killed leaves nothing
            "programs": programs or {},
        }
        for section, values in configuration.items():
            if isinstance(values, dict):
                self.configuration.setdefault(section, {}).update(values)
            else:
                self.configuration[section] = values
        self.file = os.path.join(self.directory, "sonde.yaml")
        self.write_configuration()
        self.arguments = arguments
        self.log_file = os.path.join(self.directory, "log")
        self.ids = {"prog": set(), "map": set(), "link": set()}
        self.loader = None

    def write_configuration(self):
        with open(self.file, "w") as f:
            f.write(yaml(self.configuration) + "\n")

    # ---- life ----

    def start(self):
        with open(self.log_file, "ab") as log:
            self.loader = subprocess.Popen([*END_WITH_US, SONDE, "run", "-c", self.file, *self.arguments], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log)
        if self.wait_ready:
            self.await_ready()
        return self

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(AssertionError)
            raise

    def __exit__(self, kind=None, *_):
        try:
            if self.loader.poll() is None:
                code = self.stop()
                if kind is None and code:
                    raise AssertionError("the agent ended with code %d:\n%s" % (code, self.log()))
            self.check_nothing_left()
            if kind is None and not self.worker_may_die and re.search("the worker .*end|is damaged", self.log()):
                raise AssertionError("its worker or its store broke:\n" + self.log())
        except BaseException:
            if kind is None:
                raise
        finally:
            if self.loader.poll() is None:
                self.loader.kill()
                self.loader.wait()
            if kind is not None:
                print("log of the agent:\n" + self.log(), flush=True)
            if self.own_directory:
                shutil.rmtree(self.directory, ignore_errors=True)
        return False

    def log(self):
        with open(self.log_file, errors="replace") as f:
            return f.read()

    def await_ready(self, timeout=60):
        def ready():
            if self.loader.poll() is not None:
                raise AssertionError("the agent ended with code %s:\n%s" % (self.loader.returncode, self.log()))
            return self.is_ready()
        wait_for(ready, "ready; log:\n" + self.log(), timeout)
        self.note_ids()

    def is_ready(self):
        try:
            return self.health("/readiness").status == 200
        except OSError:
            return False

    def stop(self, signal_number=signal.SIGTERM, limit=10):
        """Ends it in order; its exit code. It has ten seconds."""
        self.note_ids()
        began = time.monotonic()
        self.loader.send_signal(signal_number)
        try:
            code = self.loader.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end:\n" + self.log())
        took = time.monotonic() - began
        if took > limit:
            raise AssertionError("it took %.1f s to end:\n%s" % (took, self.log()))
        return code

    # ---- what belongs to it ----

    @property
    def pid(self):
        return self.loader.pid

    def children(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid, errors="replace") as f:
                    if f.read().rpartition(")")[2].split()[1] == str(self.pid):
                        with open("/proc/%s/cmdline" % pid, "rb") as c:
                            if c.read().split(b"\0")[1:2] == [b"worker"]:
                                found.append(int(pid))
            except OSError:
                pass
        return found

    def worker_pid(self):
        return wait_for(self.children, "a worker")[0]

    def note_ids(self):
        """What it holds of the kernel: its descriptors say the numbers of programs, maps and links."""
        try:
            for fd in os.listdir("/proc/%d/fdinfo" % self.pid):
                with open("/proc/%d/fdinfo/%s" % (self.pid, fd)) as f:
                    for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)", f.read(), re.M):
                        self.ids[kind].add(int(number))
        except OSError:
            pass

    def left(self):
        """What is still there of all it ever had."""
        found = []
        for kind, ids in self.ids.items():
            listed = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True).stdout
            found += ["%s %d" % (kind, e["id"]) for e in json.loads(listed or "[]") if e.get("id") in ids]
        found += ["process %d" % pid for pid in self.children()]
        if os.path.exists(self.socket):
            found.append(self.socket)
        return found

    def check_nothing_left(self):
        if not any(self.ids.values()):
            return
        # The kernel frees programs and maps a moment after their last user.
        wait_for(lambda: not self.left(), "nothing is left (now: %s)" % ", ".join(self.left()), 20)

    # ---- what it says ----

    def api(self, path, method="GET", body=None, headers={}, timeout=60, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return ask(UnixConnection(self.socket, timeout), method, path, body, headers)

    def tcp(self, port, path, method="GET", body=None, headers={}, timeout=60):
        return ask(http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=timeout), method, path, body, headers)

    def health(self, path="/health", timeout=20):
        return self.tcp("health", path, timeout=timeout)

    def metrics(self, accept="text/plain"):
        return self.tcp("metrics", "/metrics", headers={"Accept": accept})

    def get(self, path, **query):
        answer = self.api(path, **query)
        if answer.status != 200:
            raise AssertionError("%s: %d %s" % (path, answer.status, answer.text))
        return answer.json

    def events(self, type=None, **query):
        """All stored events that match, oldest first."""
        query = {"limit": 10000, "order": "oldest", **({"type": type} if type else {}), **query}
        found = []
        while True:
            answer = self.get("/api/v1/events", **query)
            found += answer["events"]
            if not answer["more"]:
                return found
            query["cursor"] = answer["cursor"]

    def count(self, type=None, **query):
        return self.get("/api/v1/count", **({"type": type} if type else {}), **query)

    def status(self):
        return self.get("/api/v1/status")

    def ledger(self, program):
        return self.get("/api/v1/ledger")["ledger"][program]

    def settle(self, *programs, timeout=120):
        """Until of these programs (all) everything that entered before the call is in the store or counted as lost; the
        ledger. Its residual is always 0. Others may go on to cause events meanwhile."""
        def ended(l):
            return sum(l[name] for name in ("denied", "throttled", "sampled_out", "map_full", "ring_full", "stored", "invalid",
                                            "limited", "queue_dropped"))

        def ledger():
            return self.get("/api/v1/ledger")["ledger"]

        entered = {name: l["entered"] for name, l in ledger().items() if not programs or name in programs}

        def settled():
            now = ledger()
            return all(ended(now[name]) >= count for name, count in entered.items()) and now
        now = wait_for(settled, "all events are stored", timeout, 0.1)
        wrong = {name: l for name, l in now.items() if l["residual"]}
        if wrong:
            raise AssertionError("the ledger does not add up: %s" % wrong)
        return now

    def cli(self, *arguments, check=True, **options):
        """`sonde ARGUMENTS` against this agent; (exit code, standard output, standard error) as bytes."""
        done = subprocess.run([SONDE, *arguments], capture_output=True, timeout=120,
                              env={**os.environ, "SONDE_SOCKET": self.socket}, **options)
        if check and done.returncode:
            raise AssertionError("sonde %s: %d\n%s" % (" ".join(arguments), done.returncode, done.stderr.decode()))
        return done

    def on_terminal(self, columns, *arguments):
        """What a terminal of that many columns shows of `sonde ARGUMENTS`, as text without colours."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = {**os.environ, "SONDE_SOCKET": self.socket, "NO_COLOR": "1"}
        environment.pop("COLUMNS", None)
        with subprocess.Popen([SONDE, *arguments], stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
            os.close(theirs)
            shown = b""
            try:
                while piece := os.read(ours, 65536):
                    shown += piece
            except OSError:  # EIO: nobody has the other side any more
                pass
        os.close(ours)
        return shown.decode().replace("\r\n", "\n")


class Namespace:
    """A network namespace with loopback up; what runs in it is a process of its own, so that this one stays where it is."""

    made = 0

    def __init__(self, test):
        Namespace.made += 1
        self.name = "sonde-%d-%d" % (os.getpid(), Namespace.made)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        test.addCleanup(subprocess.run, ["ip", "netns", "delete", self.name], check=True)
        self.inode = os.stat("/run/netns/" + self.name).st_ino
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words, **options):
        return subprocess.run(["ip", "netns", "exec", self.name, *words], check=True, capture_output=True, timeout=120, **options)


def start_trace(test, *command):
    """A `sonde trace` that is attached by now."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for close in (process.stdout.close, process.stderr.close, process.wait, process.kill):
        test.addCleanup(close)
    await_tracing(process)
    return process


def load(count, rate=0):
    """Starts `count` calls of system call 1023, numbered from 0, in the background."""
    return subprocess.Popen([*END_WITH_US, GENERATE, "syscalls", str(count), str(rate), str(TAG)], stdout=subprocess.DEVNULL)


def run(process, timeout=300):
    code = process.wait(timeout)
    if code:
        raise AssertionError("%s: %d" % (process.args, code))
