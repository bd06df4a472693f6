"""A network namespace of a test's own, without a route out, and the `conntrack` tool as the independent witness."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def needs_kernel(*tools: str) -> pytest.MarkDecorator:
    """Skip by name where a test of the real kernel cannot run."""
    missing = [tool for tool in ("ip", *tools) if not shutil.which(tool)]
    reason = "" if os.geteuid() == 0 else "needs root, to make a network namespace"
    if missing:
        reason = f"needs {', '.join(missing)}: apt-get install conntrack iproute2 nftables"
    return pytest.mark.skipif(bool(reason), reason=reason)


@dataclass(frozen=True)
class Namespace:
    """A network namespace; nothing in it leads out."""

    name: str

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run a command in it and return its output."""
        whole = ["ip", "netns", "exec", self.name, *command]
        ran = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
        return ran.stdout

    def conntrack(self, *words: str) -> list[str]:
        """The entries that the tool lists."""
        return sorted(self.run("conntrack", "-L", *words).splitlines())

    def load(self, lines: Sequence[str]) -> None:
        """Let the tool make entries, one a line in its own words."""
        path = Path("/tmp") / f"{self.name}.entries"
        path.write_text("".join(f"{line}\n" for line in lines))
        try:
            self.run("conntrack", "--load-file", str(path))
        finally:
            path.unlink()

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in it, that the test ends."""
        whole = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(whole, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread in the namespace: its sockets and its /proc/sys/net."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.name}") as inside:
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace with loopback up, gone afterwards with all its entries."""
    name = f"agent-{uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    made = Namespace(name)
    try:
        made.run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def udp(
    client: str, port: int, front: str, backend: str, *, front_port: int = 53, backend_port: int = 53
) -> str:
    """An entry of a UDP flow over a Service, in the tool's words."""
    to = f"[{backend}]" if ":" in backend else backend
    return (
        f"-I -p udp -s {client} -d {front} --sport {port} --dport {front_port}"
        f" --dst-nat {to}:{backend_port} -t 300 -u ASSURED,SEEN_REPLY"
    )


def tcp(client: str, port: int, front: str, backend: str) -> str:
    """An entry of an established TCP flow over a Service, in the tool's words."""
    return (
        f"-I -p tcp -s {client} -d {front} --sport {port} --dport 53 --dst-nat {backend}:53"
        " -t 300 --state ESTABLISHED -u ASSURED,SEEN_REPLY"
    )
