# SPDX-License-Identifier: Apache-2.0
"""A network namespace with real addresses, beside the machine's own: made by the test, and gone after it."""
import contextlib
import ctypes
import os
import socket
import subprocess
import uuid

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def _enter(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


class Namespace:
    """`host` is the machine's address on the link; `inside` are those of the namespace."""

    def __init__(self, host, inside, bits=24):
        number = uuid.uuid4().hex[:6]
        self.name, self.link = f"pn-{number}", f"pnh{number}"
        self.host, self.inside = host, inside
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns",
                 self.name)
            _run("ip", "addr", "add", f"{host}/{bits}", "dev", self.link)
            _run("ip", "link", "set", self.link, "up")
            for address in inside:
                _run("ip", "-n", self.name, "addr", "add", f"{address}/{bits}", "dev", "eth0")
            _run("ip", "-n", self.name, "link", "set", "eth0", "up")
            _run("ip", "-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.remove()
            raise

    def remove(self):
        for command in (("ip", "link", "del", self.link), ("ip", "netns", "del", self.name)):
            subprocess.run(command, capture_output=True, timeout=20, check=False)

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace; sockets that it opens stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(f"/run/netns/{self.name}")
            try:
                yield
            finally:
                if _libc.setns(home, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(home)

    def connect(self, port, source, timeout=10):
        """A TCP connection to the machine from one of the namespace's addresses."""
        with self.entered():
            return socket.create_connection((self.host, port), timeout, (source, 0))
