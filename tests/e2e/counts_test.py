# SPDX-License-Identifier: Apache-2.0
"""Exact counts: what real clients do is what the agent has, with owner, addresses and bytes."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import GENERATE, Agent, wait_for  # noqa: E402

MIB = 1 << 20


def command_of(pid):
    with open("/proc/%s/comm" % pid) as f:
        return f.read().strip()


OWN = {"pid": os.getpid(), "uid": os.getuid(), "command": command_of("self")}


def listener(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        s.listen(128)
    return s, s.getsockname()[1]


def closed_port(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    s, port = listener(family, kind)
    s.close()
    return port


def read(s, size):
    while size:
        data = s.recv(size)
        assert data, "the peer closed too early"
        size -= len(data)


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def setUpModule():
    """One agent for all, and a connection that is older than it."""
    global agent, older, older_peer
    server, port = listener()
    older = socket.create_connection(("127.0.0.1", port))
    older_peer = server.accept()[0]
    server.close()
    older.sendall(b"x" * 1234)
    read(older_peer, 1234)
    agent = Agent().start()


def tearDownModule():
    for s in (older, older_peer):
        s.close()
    agent.__exit__()


class Case(unittest.TestCase):
    maxDiff = None

    def settled(self, type, where, count):
        """The events, once there are so many and all are stored; more of them fail the test."""
        wait_for(lambda: agent.count(type, where=where)["count"] >= count or agent.settle() and
                 agent.count(type, where=where)["count"] >= count, "%d %s with %s" % (count, type, where), 20, 0.2)
        agent.settle()
        events = agent.events(type, where=where)
        self.assertEqual(len(events), count, events[:5])
        return events

    def each(self, events, **fields):
        for e in events:
            self.assertEqual({name: e[name] for name in fields}, fields)


class Drops(Case):
    def test_closed_port(self):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            port = closed_port(family, socket.SOCK_DGRAM)
            done = subprocess.run([GENERATE, "udp", address, str(port), "10"], capture_output=True)
            self.assertEqual(done.returncode, 0)
            events = self.settled("packet_drop", "destination_port = %d and protocol = UDP" % port, 10)
            self.each(events, reason="NO_SOCKET", destination_address=address, source_address=address, interface="lo",
                      **{"class": "application"})

    def test_firewall(self):
        """In a network namespace that ends with its process."""
        port = closed_port(kind=socket.SOCK_DGRAM)
        script = """
ip link set lo up
nft 'table inet t { chain c { type filter hook input priority 0; udp dport %d drop; }; }'
stat -Lc %%i /proc/self/ns/net
%s udp 127.0.0.1 %d 10 >/dev/null
""" % (port, GENERATE, port)
        done = subprocess.run(["unshare", "-n", "sh", "-ec", script], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Numbers of namespaces are used again.
        where = "network_namespace = %d and destination_port = %d" % (int(done.stdout), port)
        self.each(self.settled("packet_drop", where, 10), reason="NETFILTER_DROP", source_address="127.0.0.1",
                  destination_address="127.0.0.1", interface="lo", **{"class": "policy"})


class Http(Case):
    def test_thousand_requests(self):
        """1,000 requests of curl over new connections: each has both its ends, and nothing was dropped."""
        with tempfile.TemporaryDirectory() as directory:
            for name in ("a", "b"):
                with open(os.path.join(directory, name), "w") as f:
                    f.write(name * 3000)
            port = closed_port()
            server = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], cwd=directory,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_for(lambda: connects(port), "the server answers")
                before = self.drops(port)  # our attempts before it listened
                self.thousand(server, port)
                self.assertEqual(self.drops(port), before)
            finally:
                server.kill()
                server.wait()

    def drops(self, port):
        agent.settle()
        return agent.count("packet_drop", where="source_port = %d or destination_port = %d" % (port, port))["count"]

    def thousand(self, server, port):
        client = subprocess.Popen(["curl", "-s", "--fail", "-o", "/dev/null", "-w",
                                   "%{local_port} %{size_request} %{size_header} %{size_download}\n",
                                   "http://127.0.0.1:%d/{a,b}?[0001-0500]" % port], stdout=subprocess.PIPE, text=True)
        said = client.communicate()[0]
        self.assertEqual(client.returncode, 0)
        truth = {}  # local port -> bytes asked, bytes answered; curl says it for each request
        for line in said.split("\n")[:-1]:
            local, asked, header, body = map(int, line.split())
            truth.setdefault(local, []).append((asked, header + body))
        self.assertEqual(sum(map(len, truth.values())), 1000)
        ends = self.settled("connection", "kind = close and pid = %d and remote_port = %d" % (client.pid, port), 1000)
        self.each(ends, role="client", protocol="TCP", command="curl", remote_address="127.0.0.1", error=None)
        found = {}
        for e in ends:
            found.setdefault(e["local_port"], []).append((e["sent_bytes"], e["received_bytes"]))
        self.assertEqual({k: sorted(v) for k, v in found.items()}, {k: sorted(v) for k, v in truth.items()})
        ends = self.settled("connection", "kind = close and local_port = %d and sent_bytes > 0" % port, 1000)
        self.each(ends, role="server", pid=server.pid, protocol="TCP", remote_address="127.0.0.1", error=None)
        self.assertTrue(all(e["command"].startswith("python3") for e in ends))
        found = {}
        for e in ends:
            found.setdefault(e["remote_port"], []).append((e["received_bytes"], e["sent_bytes"]))
        self.assertEqual({k: sorted(v) for k, v in found.items()}, {k: sorted(v) for k, v in truth.items()})


class Connections(Case):
    def test_short_process(self):
        """50 connects of a process that is gone a moment later."""
        server, port = listener()
        taken = []
        thread = threading.Thread(target=lambda: [taken.append(server.accept()[0]) for _ in range(50)])
        thread.start()
        client = subprocess.Popen([GENERATE, "tcp", "127.0.0.1", str(port), "50"], stdout=subprocess.DEVNULL)
        self.assertEqual(client.wait(), 0)
        thread.join()
        for s in (server, *taken):
            s.close()
        events = self.settled("connection", "kind = connect and remote_port = %d" % port, 50)
        self.each(events, pid=client.pid, command="generate", role="client", error=None)
        self.each(self.settled("connection", "kind = accept and local_port = %d" % port, 50), role="server", **OWN)
        self.each(self.settled("connection", "kind = close and remote_port = %d" % port, 50), pid=client.pid,
                  command="generate", sent_bytes=0, received_bytes=0)

    def test_refused(self):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            port = closed_port(family)
            client = subprocess.Popen(["ncat", address, str(port)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertNotEqual(client.wait(), 0)
            events = self.settled("connection", "remote_port = %d" % port, 1)
            self.each(events, kind="fail", error="ECONNREFUSED", errno=111, pid=client.pid, command="ncat", role="client",
                      remote_address=address, protocol="TCP")

    def test_two_sockets_in_one_thread(self):
        server, port = listener()
        with server:
            pairs = []
            for _ in range(2):
                client = socket.create_connection(("127.0.0.1", port))
                pairs.append((client, server.accept()[0]))
            readers = [threading.Thread(target=self.drain, args=(peer,)) for _, peer in pairs]
            for r in readers:
                r.start()
            for i in range(32):  # in turn, as a loop over events does
                pairs[0][0].sendall(b"a" * (MIB // 32))
                pairs[1][0].sendall(b"b" * (2 * MIB // 32))
            for client, _ in pairs:
                client.shutdown(socket.SHUT_WR)
            for r in readers:
                r.join()
            locals_ = [client.getsockname()[1] for client, _ in pairs]
            for pair in pairs:
                for s in pair:
                    s.close()
        ends = self.settled("connection", "kind = close and remote_port = %d" % port, 2)
        self.each(ends, received_bytes=0, role="client", **OWN)
        self.assertEqual({e["local_port"]: e["sent_bytes"] for e in ends}, {locals_[0]: MIB, locals_[1]: 2 * MIB})
        ends = self.settled("connection", "kind = close and local_port = %d" % port, 2)
        self.each(ends, sent_bytes=0, role="server", **OWN)
        self.assertEqual({e["remote_port"]: e["received_bytes"] for e in ends}, {locals_[0]: MIB, locals_[1]: 2 * MIB})

    @staticmethod
    def drain(s):
        while s.recv(65536):
            pass

    def test_older_connection(self):
        """Both ends were there before the agent: found at its start with their owner, and counted to the end."""
        client, server = older.getsockname()[1], older_peer.getsockname()[1]
        older.sendall(b"y" * 766)
        older_peer.sendall(b"z" * 500)
        read(older_peer, 766)
        read(older, 500)
        for s in (older, older_peer):
            s.close()
        for mine, other, sent, received in ((client, server, 2000, 500), (server, client, 500, 2000)):
            where = "local_port = %d and remote_port = %d" % (mine, other)
            events = self.settled("connection", where + " and kind = close", 1)
            self.each(events, sent_bytes=sent, received_bytes=received, protocol="TCP", **OWN)
            self.assertGreaterEqual(agent.count("connection", where=where + " and kind = update")["count"], 1)
            self.each(agent.events("connection", where=where + " and kind = update"), **OWN)


class Processes(Case):
    def test_exec_and_exit(self):
        child = subprocess.Popen(["/bin/sh", "-c", "exit 7", "a word"])
        child.wait()
        events = self.settled("process", "pid = %d" % child.pid, 3)
        self.assertEqual([e["kind"] for e in events], ["fork", "exec", "exit"])
        self.assertEqual(events[1]["arguments"], "/bin/sh -c 'exit 7' 'a word'")
        self.assertEqual((events[2]["exit_code"], events[2]["signal"], events[2]["command"]), (7, None, "sh"))
        self.each(events, parent_pid=os.getpid())

    def test_killed(self):
        child = subprocess.Popen(["sleep", "100"])
        wait_for(lambda: command_of(child.pid) == "sleep", "exec")
        child.send_signal(signal.SIGKILL)
        child.wait()
        event, = self.settled("process", "pid = %d and kind = exit" % child.pid, 1)
        self.assertEqual((event["signal"], event["signal_name"], event["exit_code"]), (9, "SIGKILL", None))

    def test_thousand(self):
        done = subprocess.Popen([GENERATE, "exec", "1000"], stdout=subprocess.DEVNULL)
        self.assertEqual(done.wait(), 0)
        for kind in ("fork", "exec", "exit"):
            events = self.settled("process", "kind = %s and parent_pid = %d" % (kind, done.pid), 1000)
            self.assertEqual(len({e["pid"] for e in events}), 1000)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(77)
    unittest.main()
