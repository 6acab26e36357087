# SPDX-License-Identifier: Apache-2.0
"""An agent of our own to measure: started in a directory of its own, asked over its socket, always stopped again.

Python's standard library only. CPU times are those of the scheduler (/proc/PID/task/*/schedstat), in ns.
"""
import glob
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

BUILD = os.environ["BUILD"]
SONDE = os.path.join(BUILD, "sonde")
FLOOD = os.path.join(BUILD, "flood.bpf.o")
EMPTY = os.path.join(BUILD, "empty.bpf.o")
BUILT_IN = ["connection", "packet_drop", "process"]
running = []


def stop_all():
    for a in list(running):
        a.stop()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def threads_cpu_ns(pid):
    """CPU time of each thread by its name."""
    result = {}
    for task in glob.glob("/proc/%d/task/*" % pid):
        try:
            with open(task + "/comm") as f, open(task + "/schedstat") as g:
                name = f.read().strip()
                result[name] = result.get(name, 0) + int(g.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return result


def waited_ns(pid):
    """How long its threads were ready to run but had no CPU: the work of others."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        try:
            with open(path) as f:
                total += int(f.read().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def cpu_ns(pid):
    return sum(threads_cpu_ns(pid).values())


def process_cpu_ns(pid):
    """With the threads that have ended, in steps of a clock tick."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e9 / os.sysconf("SC_CLK_TCK")


def wakeups(pid):
    """How often its threads have gone to sleep of themselves, which is how often they were woken."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/status" % pid):
        try:
            with open(path) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def memory_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        facts = {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f) if k in ("VmRSS", "VmHWM")}
    with open("/proc/%d/smaps_rollup" % pid) as f:
        facts.update({k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f if ":" in line) if k == "Pss"})
    return facts


class Agent:
    """`sonde run`; a context manager. `programs`: which of the built-in ones; `objects`: others, by path."""

    def __init__(self, programs=BUILT_IN, objects=(), store="memory", ring_bytes=None):
        self.programs, self.objects, self.store, self.ring_bytes = programs, objects, store, ring_bytes

    def configuration(self):
        path = "memory" if self.store == "memory" else os.path.join(self.directory, "data", "events.db")
        lines = ["store: {path: %s}" % path,
                 "listen: {metrics: 127.0.0.1:%d, health: 127.0.0.1:%d, api: \"\", socket: %s}" %
                 (free_port(), self.health_port, self.socket), "programs:"]
        for name in sorted({*BUILT_IN, *(os.path.basename(d) for d in glob.glob(os.path.join(os.path.dirname(__file__), "..", "programs", "*")))}):
            lines.append("  %s: {enabled: %s}" % (name, "true" if name in self.programs else "false"))
        for path in self.objects:
            ring = ", ring_bytes: %d" % self.ring_bytes if self.ring_bytes else ""
            lines.append("  %s: {object: %s, enabled: true%s}" % (os.path.basename(path).split(".")[0], path, ring))
        return "\n".join(lines) + "\n"

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sonde-bench-")
        os.chmod(self.directory, 0o755)
        self.socket = os.path.join(self.directory, "run", "sonde.sock")  # a directory that is not there becomes the worker's
        self.health_port = free_port()
        configuration = os.path.join(self.directory, "sonde.yaml")
        with open(configuration, "w") as f:
            f.write(self.configuration())
        self.log = open(os.path.join(self.directory, "log"), "w+")
        running.append(self)
        self.started = time.monotonic()
        self.process = subprocess.Popen([SONDE, "run", "-c", configuration], stdout=self.log, stderr=self.log)
        self.wait_ready()
        self.loader = self.process.pid
        with open("/proc/%d/task/%d/children" % (self.loader, self.loader)) as f:
            self.worker = int(f.read().split()[0])
        return self

    def wait_ready(self):
        """Sets how long it took, as a client that asks /readiness every 5 ms sees it."""
        while time.monotonic() < self.started + 20:
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=5)
                c.request("GET", "/readiness")
                if c.getresponse().status == 200:
                    self.ready_s = time.monotonic() - self.started
                    return
            except OSError:
                pass
            finally:
                c.close()
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        with open(self.log.name) as f:
            raise RuntimeError("the agent does not get ready: " + f.read())

    def __exit__(self, *_):
        self.stop()
        return False

    def stop(self):
        if self not in running:
            return
        running.remove(self)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.store_bytes = sum(os.path.getsize(f) for f in glob.glob(self.directory + "/data/*"))
        shutil.rmtree(self.directory)

    def get(self, path):
        c = UnixConnection(self.socket)
        try:
            c.request("GET", path)
            return json.loads(c.getresponse().read())
        finally:
            c.close()

    def ledger(self):
        return self.get("/api/v1/ledger")["ledger"]

    def settle(self, program):
        """The ledger of a program when all of it is stored."""
        for _ in range(200):
            ledger = self.ledger()[program]
            if ledger["in_ring"] + ledger["pending"] == 0:
                break
            time.sleep(0.1)
        if ledger["residual"]:
            raise RuntimeError("the ledger of %s does not add up: %s" % (program, ledger))
        return ledger

    def hooks(self):
        """{(program, hook): (runs, run_time_ns)}; needs kernel.statistics()."""
        return {(p["name"], h["name"]): (h["runs"], h["run_time_ns"])
                for p in self.get("/api/v1/programs")["programs"] for h in p["hooks"] if h["attached"]}


def generate(*arguments, cpu=0):
    """Runs the generator on one CPU: what it says, and `total_cpu_ns`, with that of its children."""
    child = subprocess.Popen([os.path.join(BUILD, "generate"), *map(str, arguments)], stdout=subprocess.PIPE,
                             preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    output = child.stdout.read()
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise RuntimeError("generate %s failed" % (arguments,))
    result = json.loads(output)
    result["total_cpu_ns"] = (usage.ru_utime + usage.ru_stime) * 1e9
    return result
