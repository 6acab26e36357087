# SPDX-License-Identifier: Apache-2.0
"""A DNS server whose answers depend on the first label of the name asked for, and the messages that its clients send.

For the tests: `python3 stub.py ADDRESS...` serves UDP and TCP on port 53 of each address and prints one line when it does.
"""
import select
import socket
import struct
import sys
import threading
import time

A, CNAME, TXT, AAAA = 1, 5, 16, 28
DELAYS = {"slow": 0.05, "late": 1.5, "again": 1.5}  # seconds


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def question(text, kind=A, number=0x1234, extra=b""):
    """A query; `extra`: a record behind the question."""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 1 if extra else 0) + name(text) + struct.pack("!HH", kind, 1) + extra


def edns(size=1232):
    return b"\0" + struct.pack("!HHIH", 41, size, 0, 0)


def record(kind, data, ttl=300, owner=b"\xc0\x0c"):
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def ipv4(text):
    return socket.inet_pton(socket.AF_INET, text)


def ipv6(text):
    return socket.inet_pton(socket.AF_INET6, text)


ANSWERS = {
    "a": [record(A, ipv4("192.0.2.1")), record(A, ipv4("192.0.2.2"), ttl=60)],
    "six": [record(AAAA, ipv6("2001:db8::1"))],
    "chain": [record(CNAME, name("cdn.example.net")), record(CNAME, name("edge.example.net"), owner=name("cdn.example.net")),
              record(A, ipv4("192.0.2.3"), owner=name("edge.example.net"))],
    "large": [record(AAAA, ipv6("2001:db8:1111:2222:3333:4444:5555:%x" % i)) for i in range(100)],
    "loop": [record(CNAME, b"\xc0\x0c\xc0\x28"), record(CNAME, b"\xff\xff")],
    "upperlarge": [record(AAAA, ipv6("2001:db8:1111:2222:3333:4444:5555:%x" % i)) for i in range(20)],
    "again": [record(A, ipv4("192.0.2.5"))],
    "poison": [record(A, ipv4("192.0.2.6"))],
    "beyond": [record(A, ipv4("192.0.2.4"), owner=b"\xff\xff")],
}
ANSWERS["crumbs"] = ANSWERS["a"]
CODES = {"formerr": 1, "servfail": 2, "nx": 3, "refused": 5}


def answer(query, stream):
    """The answer, or None."""
    end = query.index(b"\0", 12) + 5
    asked = query[12:end]
    first = asked[1:1 + asked[0]].decode()
    flags, records = 0x8180 | CODES.get(first, 0), ANSWERS.get(first, [])
    if first == "silent":
        return None
    if first == "bare":  # says that it understood nothing, as some servers do
        return query[:2] + struct.pack("!5H", 0x8181, 0, 0, 0, 0)
    if first == "cut" and not stream:
        flags |= 0x0200
    if first.startswith("upper"):
        asked = asked[:-4].upper() + asked[-4:]
    if first == "foreign":
        asked = name("forged.example.org") + asked[-4:]
    time.sleep(DELAYS.get(first, 0))
    if first == "short":  # says that there are more records than there are
        return query[:2] + struct.pack("!5H", flags, 1, 9, 0, 0) + asked
    if first == "noise":
        return query[:2] + struct.pack("!5H", flags, 1, 1, 0, 0) + asked + bytes(range(64, 200))
    if first == "self":
        records = [record(A, ipv4("192.0.2.4"), owner=struct.pack("!H", 0xc000 | end))]
    return query[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0) + asked + b"".join(records)


def forged(reply):
    """What is no answer to a question for poison.a@b, though it has its id: another name, type, class, number of questions, none."""
    end = reply.index(b"\0", 12) + 5
    records = record(A, ipv4("192.0.2.66"))
    for name_and_kind in (reply[12:end].replace(b"@", b"`"), reply[12:end].replace(b"@", b"A"), reply[12:end - 4] + b"\0\2\0\1",
                          reply[12:end - 4] + b"\0\1\0\3"):
        yield reply[:12] + name_and_kind + records
    yield reply[:5] + b"\2" + reply[6:end] + reply[12:end] + records
    yield reply[:5] + b"\0" + reply[6:12] + records


def serve_udp(sock):
    waiting = set()
    while True:
        query, client = sock.recvfrom(65535)
        if b"\5again" in query and query not in waiting:  # answers when it is asked a second time
            waiting.add(query)
            continue
        reply = answer(query, False)
        for message in forged(reply) if b"\6poison" in query else ():
            sock.sendto(message, client)
        if reply:
            sock.sendto(reply, client)


def exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


def serve_connection(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while True:
            prefix = exactly(sock, 2)
            query = prefix and exactly(sock, struct.unpack("!H", prefix)[0])
            if not query:
                return
            reply = answer(query, True)
            if not reply:
                continue
            prefix = struct.pack("!H", len(reply))
            if b"\6crumbs" in query:
                for byte in prefix + reply:
                    sock.sendall(bytes([byte]))
            elif b"\5split" in query or b"\4hole" in query:  # the length alone, then the message in pieces
                for piece in (prefix, reply[:13], reply[13:30], reply[30:]):
                    sock.sendall(piece)
                    time.sleep(0.02)
            else:
                sock.sendall(prefix + reply)


def serve_tcp(listener):
    while True:
        threading.Thread(target=serve_connection, args=(listener.accept()[0],), daemon=True).start()


def main(addresses):
    for word in addresses:
        address, _, port = word.partition("#")
        port = int(port or 53)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((address, port))
        threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
        tcp = socket.socket(family)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        tcp.listen(100)
        threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
    print("serving", flush=True)
    select.select([], [], [])


if __name__ == "__main__":
    main(sys.argv[1:])
