# SPDX-License-Identifier: Apache-2.0
"""What the tests against the real kernel share: run sonde, cause events, look at what it says.

Python's standard library only. Every test starts its own sonde, talks only to this machine, and leaves nothing behind.
"""
import json
import os
import re
import select
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SONDE = os.environ.get("SONDE", os.path.join(ROOT, "build", "sonde"))


class Trace:
    """`sonde trace PROGRAM -o json`, from "attached" to Ctrl-C. Use as a context manager; then .events and .ledger."""

    def __init__(self, program, *arguments, timeout=20):
        self.command = [SONDE, "trace", program, "-o", "json", *arguments]
        self.timeout = timeout
        self.events, self.ledger, self.stderr = [], {}, ""

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stderr.fileno(), False)
        end = time.monotonic() + self.timeout
        raw = b""
        while b"tracing" not in raw:
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError("trace did not start: %s" % raw.decode(errors="replace"))
            select.select([self.process.stderr], [], [], 0.2)
            raw += self.process.stderr.read() or b""
        self.stderr = raw.decode(errors="replace")
        # Drain in the background: a full pipe would stop the tracer.
        self.output = []
        import threading
        self.reader = threading.Thread(target=lambda: self.output.append(self.process.stdout.read()))
        self.reader.start()
        return self

    def __exit__(self, *_):
        time.sleep(0.3)  # what is in the ring gets out
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(self.timeout)
        self.reader.join(self.timeout)
        os.set_blocking(self.process.stderr.fileno(), True)
        self.stderr += self.process.stderr.read().decode(errors="replace")
        self.process.stderr.close()
        self.process.stdout.close()
        self.raw = self.output[0]
        self.events = [json.loads(line) for line in self.raw.splitlines() if line.strip()]
        self.ledger = {k: int(v) for k, v in re.findall(r"(\w+)[ =](-?\d+)", self.stderr.split("ledger", 1)[-1])}
        return False

    def of(self, **fields):
        """The events with these values."""
        return [e for e in self.events if all(e.get(k) == v for k, v in fields.items())]
