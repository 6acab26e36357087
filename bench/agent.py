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
ALL = sorted(os.path.basename(os.path.dirname(path)) for path in
             glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "programs", "*", "program.bpf.c")))
BUILT_IN = ["connection", "packet_drop", "process"]


def is_default(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "programs", name, "program.bpf.c")) as f:
        return "SONDE_OFF_BY_DEFAULT" not in f.read()


DEFAULT = list(filter(is_default, ALL))  # what runs without a configuration
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


def verified_instructions(pid):
    """How many instructions the verifier looked at in the BPF programs that the process holds, by their names."""
    result = {}
    for path in glob.glob("/proc/%d/fdinfo/*" % pid):
        with open(path) as f:
            facts = dict(line.split(":", 1) for line in f if ":" in line)
        if "verified_insns" in facts:
            number = facts["prog_id"].strip()
            shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show", "id", number], stdout=subprocess.PIPE).stdout)
            result["%s %s" % (number, shown.get("name", "?"))] = int(facts["verified_insns"])
    return result


def memory_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        facts = {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f) if k in ("VmRSS", "VmHWM")}
    with open("/proc/%d/smaps_rollup" % pid) as f:
        facts.update({k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f if ":" in line) if k == "Pss"})
    return facts


class Agent:
    """`sonde run`; a context manager. `programs`: which of the built-in ones; `objects`: others, by path; `settings`:
    of programs, by their names."""

    def __init__(self, programs=BUILT_IN, objects=(), store="memory", settings={}):
        self.programs, self.objects, self.store, self.settings = programs, objects, store, settings

    def configuration(self):
        path = "memory" if self.store == "memory" else os.path.join(self.directory, "data", "events.db")
        lines = ["store: {path: %s}" % path,
                 "listen: {metrics: 127.0.0.1:%d, health: 127.0.0.1:%d, api: \"\", socket: %s}" %
                 (self.metrics_port, self.health_port, self.socket), "programs:"]
        for name in ALL:
            lines.append("  %s: {enabled: %s, settings: {%s}}" % (name, str(name in self.programs).lower(), self.settings_of(name)))
        for path in self.objects:
            name = os.path.basename(path).split(".")[0]
            lines.append("  %s: {object: %s, enabled: true, settings: {%s}}" % (name, path, self.settings_of(name)))
        return "\n".join(lines) + "\n"

    def settings_of(self, name):
        return ", ".join("%s: %s" % item for item in self.settings.get(name, {}).items())

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sonde-bench-")
        os.chmod(self.directory, 0o755)
        self.socket = os.path.join(self.directory, "run", "sonde.sock")  # a directory that is not there becomes the worker's
        self.health_port, self.metrics_port = free_port(), free_port()
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

    def metric(self, series):
        """The number of that series of the metrics page; 0: it is not there."""
        time.sleep(0.3)  # the page is made five times a second
        c = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=20)
        try:
            c.request("GET", "/metrics")
            lines = c.getresponse().read().decode().splitlines()
        finally:
            c.close()
        return next((int(line.split()[-1]) for line in lines if line.startswith(series + " ")), 0)

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


def run_on(cpu, *command):
    """Runs it there: what it wrote, its pid, and its CPU time with that of its children."""
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    output = child.stdout.read()
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise RuntimeError("%s failed" % (command,))
    return output, child.pid, (usage.ru_utime + usage.ru_stime) * 1e9


def generate(*arguments, cpu=0):
    """Runs the generator on one CPU: what it says, and `total_cpu_ns`, with that of its children."""
    output, _, used = run_on(cpu, os.path.join(BUILD, "generate"), *arguments)
    return {**json.loads(output), "total_cpu_ns": used}
