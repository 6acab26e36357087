# SPDX-License-Identifier: Apache-2.0
"""What the tests of file let a child do."""
import json
import os
import subprocess
import sys

PYTHON = os.path.realpath(sys.executable)
HOUR = ("--set", "update_interval_ns=1h")  # all is told at the end, so each sum is one event
ENTRIES = 65536  # tally.bpf.h

# The beginning of each. It prints its figures as one line of JSON.
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


# Each operation once.
EACH = r"""
fd = os.open("one", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
os.write(fd, b"x" * 100); os.pread(fd, 1000, 0); os.fsync(fd)
fails("none")
out["fd"] = fd
"""
