"""The lab for people: `python -m tests.lab up | down | status | build`.

`up` leaves a keeper process behind, which owns the lab as a test would; `down` ends the keeper.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import build
from tests.lab.boot import FOREIGN, RUN, attach, start
from tests.lab.errors import LabError
from tests.lab.real import builder, packages
from tests.lab.state import Process, State

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 120.0
DOWN = 3


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when not, 3 for the status of a lab that is down."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "build":
            wanted = (build.LAB, build.ARGO_CD, build.HELM, build.PROMTOOL)
            for programs in (build.REAL_NODES,) if options.real else wanted:
                print(build.binaries(programs))
            if options.real:
                print(packages.unpack())
                print(builder.prepared())
            return 0
        directory: Path = options.dir.absolute()
        if options.command == "up":
            return _up(directory, _Size.of(options), options.kubeconfig or directory / "kubeconfig")
        if options.command == "down":
            return _down(directory, directory / "kubeconfig")
        if options.command == "status":
            return _status(directory)
        return _keep(directory, _Size.of(options))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description="A real control plane on loopback."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up | down | status | build")
    builder = commands.add_parser("build", help="only build its programs, Argo CD, Helm and promtool")
    builder.add_argument("--real", action="store_true", help="those of real nodes instead")
    # `keep` is for `up` alone, and without a help text it is not listed.
    commands_of_a_lab = {"up": "start a lab", "down": "stop it", "status": "say how it is", "keep": None}
    for name, text in commands_of_a_lab.items():
        command = commands.add_parser(name, help=text) if text else commands.add_parser(name)
        command.add_argument("--dir", type=Path, default=_default(), help="the lab's directory (%(default)s)")
        if name in ("up", "keep"):
            command.add_argument("--nodes", type=int, help="simulated nodes (4, or none beside real ones)")
            command.add_argument(
                "--real", type=int, default=0, help="real nodes (%(default)s); needs root on Linux"
            )
        if name == "up":
            command.add_argument(
                "--kubeconfig", type=Path, help="where to write the kubeconfig (DIR/kubeconfig)"
            )
    return parser


def _default() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "resilience-lab"


@dataclass(frozen=True)
class _Size:
    """How many nodes a lab has."""

    simulated: int
    real: int

    @classmethod
    def of(cls, options: argparse.Namespace) -> _Size:
        simulated = options.nodes if options.nodes is not None else 0 if options.real else 4
        return cls(simulated, options.real)


def _up(directory: Path, size: _Size, copy: Path) -> int:
    state = _living(directory)
    if state:
        print("The lab is up already.")
    else:
        build.binaries()
        if size.real:
            build.binaries(build.REAL_NODES)
            packages.unpack()
        state = _launch(directory, size)
    lab = attach(directory)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    shutil.copy(lab.kubeconfig(), copy)
    print(f"API server   {state.server}")
    print(f"kubectl      {lab.kubectl_program}")
    print(f"To reach it  export KUBECONFIG={copy}")
    for network in sorted((directory / RUN).glob("real-*.network")):
        print(f"In a node    nsenter --net={network} COMMAND")
    print(f"To stop it   python -m tests.lab down --dir {directory}")
    return 0


def _down(directory: Path, copy: Path) -> int:
    state = State.load(_file(directory))
    if state is None:
        print("No lab is up here.")
        return 0
    if not state.keeper.end(patience=15.0):
        raise LabError(f"the keeper, process {state.keeper.pid}, does not end")
    left = [name for name, part in state.parts.items() if not part.gone_within(10.0)]
    if left:
        raise LabError(f"still running: {', '.join(left)}")
    shutil.rmtree(directory / RUN, ignore_errors=True)
    for file in (_file(directory), copy):
        file.unlink(missing_ok=True)
    print("The lab is down.")
    return 0


def _status(directory: Path) -> int:
    state = _living(directory)
    if state is None:
        print("The lab is down.")
        return DOWN
    print(f"The lab is up: {state.server}")
    for name, part in state.parts.items():
        print(f"  {name:24} {f'process {part.pid}' if part.alive() else 'not running'}")
    print(attach(directory).kubectl("get", "nodes").rstrip())
    return 0


def _launch(directory: Path, size: _Size) -> State:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "keeper.log"
    argv = [sys.executable, "-m", "tests.lab", "keep", "--dir", str(directory)]
    argv += ["--nodes", str(size.simulated), "--real", str(size.real)]
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            argv, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        return _await_state(directory, keeper, log)
    except BaseException:
        # An interrupted `up` leaves nothing behind.
        keeper.terminate()
        keeper.wait()
        raise


def _await_state(directory: Path, keeper: subprocess.Popen[bytes], log: Path) -> State:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if keeper.poll() is not None:
            raise LabError(f"the lab did not start:\n{log.read_text()[-3000:]}")
        state = _living(directory)
        if state and state.keeper.pid == keeper.pid:
            return state
        time.sleep(0.1)
    raise LabError(f"the lab did not start within {_PATIENCE:g} s; see {log}")


def _keep(directory: Path, size: _Size) -> int:
    """The keeper: hold the lab until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The lab to keep is one's own, whatever cluster the tests are told to use.
    os.environ.pop(FOREIGN, None)
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LabError(f"another lab lives or starts in {directory}") from error
    shutil.rmtree(directory / RUN, ignore_errors=True)
    with lock, start(nodes=size.simulated, directory=directory / RUN, real=size.real) as lab:
        parts = {name: Process.of(pid) for name, pid in lab.running().items()}
        State(Process.of(os.getpid()), parts, lab.server).save(_file(directory))
        while True:
            signal.pause()


def _living(directory: Path) -> State | None:
    state = State.load(_file(directory))
    return state if state and state.keeper.alive() else None


def _file(directory: Path) -> Path:
    return directory / "lab.json"


if __name__ == "__main__":
    sys.exit(main())
