# SPDX-License-Identifier: Apache-2.0
"""Names of addresses: what a process asked a real server for stands beside the address that it then talks to."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, Agent, only, wait_for  # noqa: E402

DNSMASQ = "/usr/sbin/dnsmasq"
NAMESPACE = "sonde-names-%d" % os.getpid()
CONFIGURATION = "/etc/netns/" + NAMESPACE
CGROUP = "/sys/fs/cgroup/unified" if os.path.ismount("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
OTHER = "%s/%s" % (CGROUP, NAMESPACE)
TTL, SHORT_TTL = 60, 5  # of the names that are to be known still; of the one that runs out

# Where the clients connect to: all of 127.0.0.0/8 and ::1 answer. Prints its pid and what it connected to.
SERVER = r"""
import os, selectors, socket
chosen = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, 7000))
    s.listen(100)
    chosen.register(s, selectors.EVENT_READ)
print("serving", flush=True)
while True:
    for key, _ in chosen.select():
        key.fileobj.accept()[0].close()
"""
CLIENT = r"""
import os, socket, sys, time
def connect(host):
    with socket.create_connection((host, 7000)) as s:
        s.recv(1)
        return s.getpeername()[0]
"""


def inside(*words):
    return ["ip", "netns", "exec", NAMESPACE, *words]


def client(code, cgroup=None):
    """Runs it to its end; its pid."""
    def enter():
        if cgroup:
            with open(cgroup + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))
    process = subprocess.Popen(inside(sys.executable, "-c", CLIENT + code), preexec_fn=enter)
    if process.wait(60):
        raise AssertionError("the client failed")
    return process.pid


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.makedirs(CONFIGURATION)
        cls.addClassCleanup(os.rmdir, CONFIGURATION)
        with open(CONFIGURATION + "/resolv.conf", "w") as f:  # in the namespace this is /etc/resolv.conf
            f.write("nameserver 127.0.0.53\noptions single-request\n")
        cls.addClassCleanup(os.unlink, CONFIGURATION + "/resolv.conf")
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        cls.addClassCleanup(subprocess.run, ["ip", "netns", "delete", NAMESPACE], check=True)
        subprocess.run(inside("ip", "link", "set", "lo", "up"), check=True)
        cls.spawn([DNSMASQ, "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
                   "--listen-address=127.0.0.53", "--bind-interfaces", "--local-ttl=%d" % TTL, "--local=/example.org/",
                   "--host-record=db.example.org,127.0.1.1", "--host-record=cache.example.org,127.0.1.2",
                   "--host-record=six.example.org,::1", "--cname=www.example.org,db.example.org",
                   "--host-record=other.example.org,127.0.1.1", "--host-record=unused.example.org,127.0.1.3",
                   "--host-record=late.example.org,127.0.1.4,%d" % SHORT_TTL])
        server = cls.spawn([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
        cls.addClassCleanup(server.stdout.close)
        assert server.stdout.readline() == b"serving\n"
        wait_for(lambda: b":0035 " in subprocess.run(inside("cat", "/proc/net/udp"), stdout=subprocess.PIPE).stdout, "dnsmasq", 20)
        os.mkdir(OTHER)
        cls.addClassCleanup(lambda: wait_for(lambda: not os.path.exists(OTHER) or not os.rmdir(OTHER), "the cgroup is empty", 20))
        subprocess.run(inside("nft", "table inet t { chain c { type filter hook output priority 0; udp dport 9 drop; }; }"), check=True)
        flow = {"settings": {"update_interval_ns": "1s"}}
        cls.agent = Agent(programs=only("dns", "connection", "packet_drop", "flow", flow=flow)).start()
        cls.addClassCleanup(cls.agent.__exit__)

    @classmethod
    def spawn(cls, words, **options):
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(inside(*words), **options)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        return process

    def names(self, pid, count, kind="connect"):
        """(address, name) of the connections of this process to port 7000, in their order."""
        where = "kind = %s and remote_port = 7000" % kind
        wait_for(lambda: self.agent.count("connection", pid=pid, where=where)["count"] >= count, "the connections", 20)
        self.agent.settle()
        return [(e["remote_address"], e["remote_name"]) for e in self.agent.events("connection", pid=pid, where=where)]

    def test_by_name(self):
        pid = client("for host in ('db.example.org', 'cache.example.org', 'six.example.org'): connect(host)")
        expected = [("127.0.1.1", "db.example.org"), ("127.0.1.2", "cache.example.org"), ("::1", "six.example.org")]
        self.assertEqual(self.names(pid, 3), expected)
        self.assertEqual(self.names(pid, 3, "close"), expected)

    def test_a_cname_shows_what_was_asked_for(self):
        self.assertEqual(self.names(client("connect('www.example.org')"), 1), [("127.0.1.1", "www.example.org")])

    def test_two_names_of_one_address(self):
        """Each process has its own; within one, the last that it asked for."""
        pid = client("connect('db.example.org'); connect('other.example.org')")
        second = client("connect('db.example.org')")
        self.assertEqual(self.names(pid, 2), [("127.0.1.1", "db.example.org"), ("127.0.1.1", "other.example.org")])
        self.assertEqual(self.names(second, 1), [("127.0.1.1", "db.example.org")])

    def test_a_child_asked(self):
        """getent asks, the shell's other child connects: both are in one cgroup."""
        pid = client("import subprocess; subprocess.run(['getent', 'hosts', 'cache.example.org'], check=True,"
                     " stdout=subprocess.DEVNULL); connect('127.0.1.2')")
        self.assertEqual(self.names(pid, 1), [("127.0.1.2", "cache.example.org")])

    def test_not_guessed(self):
        """Nobody asked; another cgroup asked; the name has run out."""
        client("socket.getaddrinfo('unused.example.org', 7000)")
        self.assertEqual(self.names(client("connect('127.0.1.9')"), 1), [("127.0.1.9", None)])
        self.assertEqual(self.names(client("connect('127.0.1.3')", OTHER), 1), [("127.0.1.3", None)])
        self.assertEqual(self.names(client("connect('127.0.1.3')"), 1), [("127.0.1.3", "unused.example.org")])
        late = client("address = socket.getaddrinfo('late.example.org', 7000)[0][4][0]\n"
                      "time.sleep(%d)\nconnect(address)" % (SHORT_TTL + 1))
        self.assertEqual(self.names(late, 1), [("127.0.1.4", None)])

    def packets(self, type, pid, where, count):
        """(source, its name, destination, its name) of each event, in their order."""
        wait_for(lambda: self.agent.count(type, pid=pid, where=where)["count"] >= count, "the packets", 30)
        self.agent.settle()
        return {tuple(e[k] for k in ("source_address", "source_name", "destination_address", "destination_name"))
                for e in self.agent.events(type, pid=pid, where=where)}

    def test_packets_that_go_out(self):
        """Dropped on their way to a name that the process asked for; nobody asked in the other cgroup."""
        for where, cgroup, name in (("'cache.example.org'", None, "cache.example.org"), ("'127.0.1.2'", OTHER, None)):
            pid = client("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect((%s, 9))\nfor i in range(3):\n"
                         "    try: s.send(b'x')\n    except OSError: pass" % where, cgroup)
            self.assertEqual(self.packets("packet_drop", pid, "destination_port = 9", 3),
                             {("127.0.0.1", None, "127.0.1.2", name)})

    def test_packets_that_come_in(self):
        """From a name that their reader asked for, more than it reads; and the flow of them."""
        flood = ("r, s = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for i in range(2))\n"
                 "r.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\nr.bind(('127.0.0.1', 0))\nr.connect((%s, 7009))\n"
                 "s.bind(('127.0.1.1', 7009))\n"
                 "for i in range(100): s.sendto(b'x' * 1000, r.getsockname())")
        for host, cgroup, name in (("'other.example.org'", None, "other.example.org"), ("'127.0.1.1'", OTHER, None)):
            pid = client(flood % host, cgroup)
            expected = {("127.0.1.1", name, "127.0.0.1", None)}
            self.assertEqual(self.packets("packet_drop", pid, "source_port = 7009", 1), expected)
            self.assertEqual(self.packets("flow", pid, "source_port = 7009 and direction = ingress", 1), expected)

    def test_packets_of_nobody_have_no_name(self):
        """A closed port: the packet is no process's any more, so nobody can have asked."""
        client("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('db.example.org', 7010))")
        wait_for(lambda: self.agent.count("packet_drop", where="destination_port = 7010")["count"], "the drop", 20)
        for event in self.agent.events("packet_drop", where="destination_port = 7010"):
            self.assertEqual((event["pid"], event["destination_address"], event["destination_name"]), (None, "127.0.1.1", None))

    def test_flood_of_questions_and_drops(self):
        """Packets wait for the names before them: while both come fast none is lost, and a drop has the name just asked for."""
        with tempfile.NamedTemporaryFile("w") as questions:
            questions.write("cache.example.org A\ndb.example.org A\n")
            questions.flush()
            before = self.agent.settle()
            drops = subprocess.Popen(inside(GENERATE, "udp", "127.0.1.2", "9", "10000", "5000"), stdout=subprocess.DEVNULL)
            asker = subprocess.Popen(inside("dnsperf", "-s", "127.0.0.53", "-d", questions.name, "-l", "2", "-Q", "2000"),
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            pids = [client("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('cache.example.org', 9))\n"
                           "for i in range(20):\n    try: s.send(b'x')\n    except OSError: pass") for _ in range(10)]
            said, _ = asker.communicate(timeout=60)
            self.assertEqual((drops.wait(60), asker.returncode), (0, 0))
        after = self.agent.settle()
        for program in ("dns", "packet_drop", "flow"):
            for loss in ("ring_full", "map_full", "queue_dropped", "invalid"):
                self.assertEqual(after[program][loss] - before[program][loss], 0, (program, loss))
        self.assertEqual(self.agent.count("packet_drop", pid=drops.pid)["count"], 10000)
        self.assertEqual(self.agent.count("dns", pid=asker.pid)["count"], int(re.search(r"Queries sent: +(\d+)", said).group(1)))
        for pid in pids:
            self.assertEqual(self.packets("packet_drop", pid, "destination_port = 9", 20),
                             {("127.0.0.1", None, "127.0.1.2", "cache.example.org")})

    def test_faces(self):
        pid = client("connect('cache.example.org')")
        self.names(pid, 1)
        where = "remote_name = cache.example.org and kind = connect and pid = %d" % pid
        self.assertEqual(self.agent.count("connection", where=where)["count"], 1)
        groups = self.agent.get("/api/v1/count", type="connection", group_by="remote_name", where=where)["groups"]
        self.assertEqual(groups, [{"value": "cache.example.org", "count": 1}])
        out = self.agent.cli("events", "connection", "-w", where, "-o", "json").stdout
        self.assertEqual(json.loads(out)["remote_name"], "cache.example.org")
        rows = json.loads(self.agent.cli("sql", "select remote_name from connection where pid = %d and kind = 'connect' and "
                                         "remote_port = 7000" % pid, "-o", "json").stdout)
        self.assertEqual(rows, {"remote_name": "cache.example.org"})
        self.assertIn("sonde_known_address_names ", self.agent.metrics().text)


if __name__ == "__main__":
    unittest.main()
