"""Sysctls: what is set, left, refused and given back; on a tree of files, and on the keys of a real namespace."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resilience_operator.agent import sysctls
from resilience_operator.agent.sysctl_files import SysctlFiles
from resilience_operator.agent.sysctl_loop import SysctlLoop
from resilience_operator.agent.sysctls import Direction, Known, Seen, State, Wanted
from resilience_operator.core.sysctls import BUCKETS, MAX, PREFIX
from tests.agent.namespaces import namespace, needs_kernel

TIME_WAIT = PREFIX + "tcp_timeout_time_wait"
SET, RAISE = Direction.SET, Direction.RAISE_ONLY


class Node:
    """A node's sysctls as a tree of files, and an agent's loop over it that the API server hears at once."""

    def __init__(self, root: Path) -> None:
        self.root = root / "net/netfilter"
        self.root.mkdir(parents=True)
        self.loop = SysctlLoop(SysctlFiles(root))
        self.now = 1000.0
        self.put(nf_conntrack_max=262144, nf_conntrack_buckets=262144, nf_conntrack_tcp_timeout_time_wait=120)

    def put(self, **values: int) -> None:
        for name, value in values.items():
            (self.root / name).write_text(f"{value}\n")

    def get(self, name: str) -> int:
        return int((self.root / name.removeprefix("net.netfilter.")).read_text())

    def look(
        self, *wanted: Wanted, entries: int = 1000, revert: bool = False, record: bool = True
    ) -> dict[str, State]:
        """One pass, five seconds after the last; the states by name without the prefix."""
        self.now += 5
        told = self.loop.enforce({one.name: one for one in wanted}, entries, self.now, revert=revert)
        if record:
            for name, known in self.loop.known.items():
                self.loop.known[name] = recorded(known)
        return {one.name.removeprefix(PREFIX): one.step.state for one in told}


def recorded(known: Known) -> Known:
    return Known(
        known.before,
        known.before is not None,
        known.ours,
        known.foreign,
        known.recent,
        known.stopped,
        known.failed,
    )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_value_is_noted_at_the_api_server_before_it_is_replaced(node: Node) -> None:
    wanted = Wanted(TIME_WAIT, 60, SET)
    assert node.look(wanted, record=False) == {"tcp_timeout_time_wait": State.RECORDING}
    assert node.look(wanted, record=False) == {"tcp_timeout_time_wait": State.RECORDING}
    assert node.get(TIME_WAIT) == 120
    node.look(wanted)
    assert node.look(wanted) == {"tcp_timeout_time_wait": State.HELD}
    assert node.get(TIME_WAIT) == 60
    assert (node.loop.known[TIME_WAIT].before, node.loop.known[TIME_WAIT].ours) == (120, 60)


def test_the_value_before_us_outlives_a_changed_wish_and_is_given_back(node: Node) -> None:
    for value in (60, 30, 90):
        node.look(Wanted(TIME_WAIT, value, SET))
        node.look(Wanted(TIME_WAIT, value, SET))
        assert node.get(TIME_WAIT) == value
    assert node.look(revert=True) == {}
    assert node.get(TIME_WAIT) == 120
    assert node.loop.known == {}


def test_without_revert_a_value_stays_when_it_is_no_longer_wanted(node: Node) -> None:
    node.look(Wanted(TIME_WAIT, 60, SET))
    node.look(Wanted(TIME_WAIT, 60, SET))
    assert node.look() == {}
    assert (node.get(TIME_WAIT), node.loop.known) == (60, {})


def test_what_somebody_changed_after_us_is_not_given_back(node: Node) -> None:
    node.look(Wanted(TIME_WAIT, 60, SET))
    node.look(Wanted(TIME_WAIT, 60, SET))
    node.put(nf_conntrack_tcp_timeout_time_wait=45)
    node.look(revert=True)
    assert node.get(TIME_WAIT) == 45


def test_raise_only_never_lowers(node: Node) -> None:
    assert node.look(Wanted(MAX, 131072, RAISE)) == {"max": State.SATISFIED}
    node.put(nf_conntrack_max=0)
    assert node.look(Wanted(MAX, 131072, RAISE)) == {"max": State.SATISFIED}, "0 is no limit at all"


def test_the_limit_is_never_set_below_the_entries_and_a_quarter(node: Node) -> None:
    wanted = Wanted(MAX, 131072, SET)
    assert node.look(wanted, entries=110_000) == {"max": State.WAITING}
    assert node.get(MAX) == 262144
    node.look(wanted, entries=100_000)
    assert node.look(wanted, entries=100_000) == {"max": State.HELD}
    assert node.get(MAX) == 131072


def test_buckets_grow_only_and_only_while_the_table_is_small(node: Node) -> None:
    assert node.look(Wanted(BUCKETS, 131072, SET)) == {"buckets": State.SATISFIED}
    assert node.look(Wanted(BUCKETS, 524288, SET), entries=50_000) == {"buckets": State.WAITING}
    node.look(Wanted(BUCKETS, 524288, SET))
    assert node.look(Wanted(BUCKETS, 524288, SET)) == {"buckets": State.HELD}


def test_a_rewrite_is_answered_and_a_fight_is_not(node: Node) -> None:
    wanted = Wanted(TIME_WAIT, 60, SET)
    node.look(wanted)
    node.look(wanted)
    states = []
    for _ in range(5):
        node.put(nf_conntrack_tcp_timeout_time_wait=120)
        states.append(node.look(wanted)["tcp_timeout_time_wait"])
    assert states == [State.HELD] * 3 + [State.CONTESTED] * 2
    known = node.loop.known[TIME_WAIT]
    assert (known.foreign, known.before, node.get(TIME_WAIT)) == (4, 120, 120)
    node.now += sysctls.WINDOW
    assert node.look(wanted) == {"tcp_timeout_time_wait": State.HELD}
    assert node.get(TIME_WAIT) == 60


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted("kernel.core_pattern", 1, SET), "NotAllowed"),
        (Wanted("net.netfilter.nf_conntrack_../../../kernel/panic", 1, SET), "NotAllowed"),
        (Wanted(MAX, 0, SET), "OutOfRange"),
        (Wanted(MAX, 65535, SET), "OutOfRange"),
        (Wanted(TIME_WAIT, 0, SET), "OutOfRange"),
        (Wanted(TIME_WAIT, -1, SET), "OutOfRange"),
        (Wanted(TIME_WAIT, 2147484, SET), "OutOfRange"),
        (Wanted(PREFIX + "tcp_timeout_established", 7874, SET), "OutOfRange"),
        (Wanted(PREFIX + "tcp_be_liberal", 2, SET), "OutOfRange"),
    ],
)
def test_what_is_not_compiled_in_is_refused(wanted: Wanted, reason: str) -> None:
    done = sysctls.step(wanted, Seen(120, 1, 1.0), Known())
    assert (done.state, done.reason, done.write) == (State.REFUSED, reason, None)


@pytest.mark.parametrize("before", [0, -1, 2**31])
def test_a_forged_value_before_us_is_not_written(before: int) -> None:
    done = sysctls.release(MAX, Seen(131072, 1, 1.0), Known(before, True, 131072))
    assert (done.state, done.write) == (State.REFUSED, None)


@pytest.mark.parametrize(
    ("number", "reason", "says"),
    [
        (
            errno.EROFS,
            "ReadOnly",
            "the mount is read-only; mount the host's /proc/sys/net with readOnly: false",
        ),
        (
            errno.EACCES,
            "Denied",
            "no right to it; run as uid 0, and look for a denial of AppArmor or SELinux",
        ),
        (errno.EINVAL, "NotTaken", "this kernel does not take the value"),
    ],
)
def test_a_write_that_fails_is_said_and_tried_again(number: int, reason: str, says: str) -> None:
    known = sysctls.failed(Known(120, True), TIME_WAIT, OSError(number, os.strerror(number)))
    done = sysctls.step(Wanted(TIME_WAIT, 60, SET), Seen(120, 1, 1.0), known)
    assert (done.state, done.reason, done.message, done.write) == (
        State.FAILED,
        reason,
        f"{TIME_WAIT} cannot be written: {says}",
        60,
    )


REAL = [
    (PREFIX + "tcp_timeout_established", 86400),
    (TIME_WAIT, 60),
    (PREFIX + "tcp_timeout_close_wait", 3600),
    (PREFIX + "udp_timeout", 15),
    (PREFIX + "udp_timeout_stream", 60),
    (PREFIX + "tcp_be_liberal", 1),
]


@needs_kernel()
def test_the_keys_of_a_real_namespace_are_set_and_given_back() -> None:
    wanted = {name: Wanted(name, value, SET) for name, value in REAL}
    with namespace() as ns, ns.entered():
        before = {name: int(ns.run("cat", f"/proc/sys/{name.replace('.', '/')}")) for name in wanted}
        loop = SysctlLoop(SysctlFiles(Path("/proc/sys")))
        loop.enforce(wanted, 0, 1.0, revert=False)
        loop.known = {name: recorded(known) for name, known in loop.known.items()}
        told = loop.enforce(wanted, 0, 6.0, revert=False)
        assert {one.name: one.observed for one in told} == dict(REAL)
        seen = {name: int(ns.run("cat", f"/proc/sys/{name.replace('.', '/')}")) for name in wanted}
        assert seen == dict(REAL)
        assert loop.enforce({}, 0, 11.0, revert=True) == []
        assert {name: int(ns.run("cat", f"/proc/sys/{name.replace('.', '/')}")) for name in wanted} == before


@needs_kernel("unshare", "mount")
def test_a_read_only_mount_is_said_as_such() -> None:
    script = (
        "import sys; from pathlib import Path; from resilience_operator.agent import sysctls;"
        "from resilience_operator.agent.sysctl_files import SysctlFiles; files = SysctlFiles(Path('/proc/sys'));\n"
        "try: files.write(sys.argv[1], 60)\n"
        "except OSError as error: said = sysctls.failed(sysctls.Known(), 'x', error).failure\n"
        "print(said, files.mounted_writable(sys.argv[1]))"
    )
    remount = 'mount -o bind,ro /proc/sys /proc/sys && exec python -c "$0" "$1"'
    ran = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", remount, script, TIME_WAIT],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "ReadOnly False"


@needs_kernel()
def test_the_limit_of_a_namespace_that_is_not_the_nodes_is_not_writable() -> None:
    with namespace() as ns, ns.entered():
        assert not SysctlFiles(Path("/proc/sys")).writable(MAX)


CONTAINER = """
mount -t tmpfs lab "$1" && mkdir "$1/net" && mount --bind "$2" "$1/net" && mount -o remount,ro "$1"
mount -o "remount,bind,$3" "$1/net"
shift 3
exec "$@"
"""


@needs_kernel("unshare")
@pytest.mark.parametrize(("how", "said"), [("rw", "True"), ("ro", "False")])
def test_the_mount_of_the_sysctls_is_judged_and_not_the_read_only_root_that_it_lies_in(
    tmp_path: Path, how: str, said: str
) -> None:
    root, host = tmp_path / "root", tmp_path / "host"
    root.mkdir()
    (host / "netfilter").mkdir(parents=True)
    (host / "netfilter/nf_conntrack_max").write_text("262144\n")
    asked = "import sys, pathlib; from resilience_operator.agent.sysctl_files import SysctlFiles as Files"
    asked += "; print(Files(pathlib.Path(sys.argv[1])).mounted_writable(sys.argv[2]))"
    script = ["sh", "-euc", CONTAINER, "sh", str(root), str(host), how]
    ran = subprocess.run(
        ["unshare", "--mount", *script, sys.executable, "-c", asked, str(root), MAX],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{said}\n", "")
