"""Builds the parts of the control plane, Argo CD, Helm and promtool, once, from Go modules, outside the tree.

Called by `cluster.start`, `argocd`, `fixtures` and the command line. The cache is keyed by the module files and the
flags: a finished folder appears by one rename, so an interrupted build leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.progress import Progress
from tests.lab.toolchain import find_go

_MODULES = Path(__file__).with_name("modules")
_KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"
# Without them the API server's version is not a version, and `kubectl version` cannot read it.
_STAMP = {"gitVersion": _KUBERNETES, "gitMajor": "1", "gitMinor": "36", "gitTreeState": "clean"}
_FLAGS = ("-trimpath", "-buildvcs=false")


@dataclass(frozen=True)
class Binary:
    """One program, and the package and module that it is built from."""

    name: str
    module: str
    package: str
    static: bool = False
    """Without C libraries: it is the only file of an image."""

    @property
    def linker_flags(self) -> str:
        """No symbol tables; for Kubernetes, the version."""
        stamp = [f"-X {_VERSION}.{key}={value}" for key, value in _STAMP.items()]
        return " ".join(["-s -w", *(stamp if self.module == "kubernetes" else [])])


@dataclass(frozen=True)
class Companion:
    """A file or folder of a Go module, kept beside the programs: where they are built, the modules may be gone."""

    module: str
    source: str
    path: str

    @property
    def name(self) -> str:
        """What it is called beside the programs."""
        return Path(self.path).name


BINARIES = (
    Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Binary("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Binary("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Binary("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Binary("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)


def cache() -> Path:
    """The lab's cache: $RESILIENCE_LAB_CACHE, else resilience-lab in the user's cache directory."""
    if chosen := os.environ.get("RESILIENCE_LAB_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resilience-lab"


@dataclass(frozen=True)
class Programs:
    """What is built together: the programs, the folder of their modules, and how long it takes the first time."""

    binaries: Sequence[Binary]
    modules: Path
    patience: str
    companions: Sequence[Companion] = ()

    @property
    def names(self) -> str:
        """What is built, for a person."""
        return ", ".join(binary.name for binary in self.binaries)

    def key(self) -> str:
        """Changes when a flag or a module file does."""
        digest = hashlib.sha256()
        for binary in self.binaries:
            digest.update("\0".join((binary.name, binary.package, binary.linker_flags, *_FLAGS)).encode())
            digest.update(b"static" if binary.static else b"")
        for each in self.companions:
            digest.update(f"{each.source}\0{each.path}\0".encode())
        for file in self._files():
            digest.update(f"{file.relative_to(self.modules)}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:16]

    def go_version(self) -> tuple[int, ...]:
        """The oldest Go that builds all of them."""
        texts = [file.read_text() for file in self._files() if file.name == "go.mod"]
        lines = [line for text in texts for line in text.splitlines() if line.startswith("go ")]
        return max(tuple(int(number) for number in line.split()[1].split(".")) for line in lines)

    def _files(self) -> list[Path]:
        folders = {binary.module for binary in self.binaries}
        files = (file for folder in folders for file in (self.modules / folder).rglob("*"))
        return sorted(file for file in files if file.name in ("go.mod", "go.sum") or file.suffix == ".go")


LAB = Programs(BINARIES, _MODULES, "once; 4 to 8 minutes on two cores")
REAL_NODES = Programs(
    (
        Binary("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
        Binary("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
        Binary("coredns", "coredns", "github.com/coredns/coredns", static=True),
        Binary("traffic", "traffic", ".", static=True),
    ),
    _MODULES,
    "once; up to 5 minutes on two cores",
)
_ARGO_CD = "github.com/argoproj/argo-cd/v3"
ARGO_CD = Programs(
    (
        # One program that is the command line, the repo-server and the application-controller, by its name.
        Binary("argocd", "argocd", f"{_ARGO_CD}/cmd"),
        Binary("argocd-cache", "argocd", "./cache"),
    ),
    _MODULES,
    "once; up to 9 minutes on two cores",
    (
        Companion("argocd", _ARGO_CD, "manifests/crds"),
        Companion("argocd", _ARGO_CD, "manifests/base/config"),
        Companion("argocd", _ARGO_CD, "hack/git-verify-wrapper.sh"),
    ),
)
HELM = Programs(
    (Binary("helm", "helm", "helm.sh/helm/v4/cmd/helm"),),
    _MODULES,
    "once; 2 minutes on two cores",
)
PROMTOOL = Programs(
    (Binary("promtool", "prometheus", "github.com/prometheus/prometheus/cmd/promtool"),),
    _MODULES,
    "once; 3 to 8 minutes on two cores",
)


def built(programs: Programs) -> Path | None:
    """The directory of the built programs, None where nobody built them."""
    target = cache() / programs.key()
    return target if target.is_dir() else None


def binaries(programs: Programs = LAB) -> Path:
    """The directory of the built programs; builds them when they are not there."""
    target = cache() / programs.key()
    if target.is_dir():
        return target
    with lock(cache() / f"{target.name}.lock"):
        # Another process may have built it while this one waited.
        if not target.is_dir():
            _build(target, programs)
    return target


def _build(target: Path, programs: Programs) -> None:
    for leftover in target.parent.glob(f"{target.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
    try:
        with Progress(len(programs.binaries) + len(programs.companions)) as progress:
            progress.note(f"building {programs.names} into {target} ({programs.patience})")
            go = find_go(programs.go_version(), target.parent, progress)
            for binary in programs.binaries:
                progress.begin(f"building {binary.name}")
                _compile(go, binary, programs.modules / binary.module, partial / binary.name, progress)
            for each in programs.companions:
                progress.begin(f"copying {each.name}")
                _copy(go, each, programs.modules / each.module, partial / each.name)
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _compile(go: Path, binary: Binary, module: Path, output: Path, progress: Progress) -> None:
    argv = [str(go), "build", *_FLAGS, "-ldflags", binary.linker_flags, "-o", str(output), binary.package]
    with tempfile.TemporaryFile("w+") as log:
        environment = os.environ | ({"CGO_ENABLED": "0"} if binary.static else {})
        with subprocess.Popen(argv, cwd=module, env=environment, stdout=log, stderr=log) as process:
            try:
                while process.poll() is None:
                    progress.tick()
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            log.seek(0)
            raise LabError(f"{' '.join(argv)} failed:\n{log.read()[-4000:]}")


def _copy(go: Path, companion: Companion, module: Path, output: Path) -> None:
    argv = [str(go), "list", "-m", "-f", "{{.Dir}}", companion.source]
    result = subprocess.run(argv, check=False, cwd=module, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"{' '.join(argv)} failed:\n{result.stderr[-2000:]}")
    source = Path(result.stdout.strip()) / companion.path
    # The module cache is read-only, and a copy of its modes could not be removed again.
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        target = output / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o755 if file.suffix == ".sh" else 0o644)


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Only one process at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
