# SPDX-License-Identifier: Apache-2.0
"""A DNS server over TCP behind a tun device that sends its answers in the segments, and in the order, that it is told to; and a client
of the kernel's that asks it. For the tests.

`python3 segments.py`, in a network namespace: a line of JSON is a connection: {"questions": [NAME...], "segments": [[FROM, END]...]},
places in the stream of all answers. After each it prints what the client has read, in bytes; or 0 if it was not to get all of it."""
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading

import stub

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
HERE, THERE = "10.98.0.1", "10.98.0.2"
SYN, PSH, ACK = 2, 8, 16
BEGIN = 0xffffffc0  # the sequence wraps on the way


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Device:
    """The server's end of all connections."""

    def __init__(self):
        self.tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH", b"segments", IFF_TUN | IFF_NO_PI))
        for words in (["address", "add", HERE + "/30", "dev", "segments"], ["link", "set", "segments", "up"]):
            subprocess.run(["ip", *words], check=True)
        self.asked, self.received = {}, {}
        self.plan = None

    def send(self, port, sequence, acknowledged, flags, data=b""):
        source, destination = socket.inet_aton(THERE), socket.inet_aton(HERE)
        tcp = struct.pack("!HHIIBBHHH", 53, port, sequence & 0xffffffff, acknowledged & 0xffffffff, 5 << 4, flags, 65535, 0, 0) + data
        pseudo = source + destination + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0, source, destination)
        os.write(self.tun, ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp)

    def serve(self):
        while True:
            packet = os.read(self.tun, 65535)
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
                continue
            tcp = packet[(packet[0] & 15) * 4:]
            port, _, sequence, _, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
            self.segment(port, sequence, flags, tcp[(offset >> 4) * 4:])

    def segment(self, port, sequence, flags, data):
        if flags & SYN:
            self.asked[port], self.received[port] = b"", (sequence + 1) & 0xffffffff
            self.send(port, BEGIN - 1, sequence + 1, SYN | ACK)
        elif data and sequence == self.received[port]:
            self.asked[port] += data
            self.received[port] = (sequence + len(data)) & 0xffffffff
            self.send(port, BEGIN, self.received[port], ACK)
            self.answer(port)

    def answer(self, port):
        """When all are asked."""
        asked, answers, count = self.asked[port], b"", 0
        while len(asked) >= 2 and len(asked) >= 2 + struct.unpack("!H", asked[:2])[0]:
            size = struct.unpack("!H", asked[:2])[0]
            reply = stub.answer(asked[2:2 + size], True)
            answers += struct.pack("!H", len(reply)) + reply
            asked = asked[2 + size:]
            count += 1
        if count < len(self.plan["questions"]):
            return
        for begin, end in self.plan["segments"]:
            self.send(port, BEGIN + begin, self.received[port], PSH | ACK, answers[begin:end])


def ask(device, plan):
    device.plan = plan
    with socket.create_connection((THERE, 53), timeout=10) as s:
        s.sendall(b"".join(struct.pack("!H", len(q)) + q for q in (stub.question(name, number=i) for i, name in
                                                                   enumerate(plan["questions"]))))
        if plan.get("all", True):
            return len(stub.exactly(s, max(end for _, end in plan["segments"])))
        return 0


def main():
    device = Device()
    threading.Thread(target=device.serve, daemon=True).start()
    for line in sys.stdin:
        print(ask(device, json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
