# SPDX-License-Identifier: Apache-2.0
"""Runs the sections, each a file beside this one, and writes what they measured: a table, and JSON."""
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time

import agent
import report

SECTIONS = ["footprint", "kernel", "overhead", "hooks", "file", "syscall", "flow", "dns", "together", "memory", "limits", "latency", "store"]


def others():
    """BPF programs that other tools have loaded: what they hook costs more, with us and without."""
    listed = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE).stdout
    return sum(p["type"] not in ("cgroup_device", "socket_filter") for p in json.loads(listed or "[]"))


def conditions():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "load_before": os.getloadavg()[0], "others": others(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def main(arguments):
    quick = "--quick" in arguments
    wanted = [a for a in arguments if a != "--quick"] or SECTIONS
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        sys.exit("bench: there is no section '%s': %s" % (unknown[0], ", ".join(SECTIONS)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the agents are ended too
    begin, rows, where = time.monotonic(), [], conditions()
    print("sonde on %(cpus)d x %(cpu)s, Linux %(kernel)s, load %(load_before).1f, %(time)s" % where)
    if where["others"]:
        print("%d BPF programs of other tools are loaded: what they hook costs more than it does without them." % where["others"])
    if where["load_before"] > 0.5:
        print("Other work runs on this machine: CPU times are sound, rates and latencies may be worse than it can do.")
    try:
        for name in wanted:
            section = report.Section(name)
            importlib.import_module(name).measure(section, quick)
            section.show()
            rows += section.rows
    finally:
        agent.stop_all()
    where.update(load_after=os.getloadavg()[0], seconds=round(time.monotonic() - begin, 1), quick=quick)
    path = os.path.join(agent.BUILD, "bench.json")
    with open(path, "w") as f:
        json.dump({"conditions": where, "rows": rows}, f, indent=1)
    print("\n%.0f s, load %.1f at the end; JSON: %s" % (where["seconds"], where["load_after"], os.path.relpath(path)))


main(sys.argv[1:])
