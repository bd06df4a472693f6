"""What is published of one version: wheel, manifests as single files, chart, SBOM, and checksums of all of them.

`make release` runs it; nothing is sent anywhere. kubectl is the lab's, so that what is rendered is what was tested.
"""

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from resilience_operator import __version__
from tests.lab import build

ROOT = Path(__file__).resolve().parents[1]
CHECKSUMS = "SHA256SUMS"
_HEAD = """\
# The resilience operator {version}, {what}. Set your image: it is named resilience-operator:{version} here.
# kubectl apply -f {name}
# To uninstall, first the policies (kubectl delete rp --all), then kubectl delete -f {name}: in the other order the kind
# waits for policies that nobody lets go of.
"""
OVERLAYS = {
    "install.yaml": ("base", "which audits"),
    "install-enforce.yaml": ("enforce", "which may repair; needs Kubernetes 1.30"),
}
"""File -> the overlay that it holds beside manifests/setup, and what that does."""

Render = Callable[[Path], str]
"""A kustomization's folder -> its objects as YAML."""


def main(arguments: list[str]) -> int:
    """Fill a directory, `dist` where none is given."""
    target = Path(arguments[0] if arguments else "dist").absolute()
    if target.exists() and any(target.iterdir()):
        print(f"{target} is not empty: remove it first", file=sys.stderr)
        return 2
    target.mkdir(parents=True, exist_ok=True)
    wheel(target)
    manifests(target, kubectl)
    chart(target)
    with tempfile.TemporaryDirectory() as folder:
        sbom(target, runtime(Path(folder) / "runtime"))
    checksums(target)
    for file in sorted(target.iterdir()):
        print(f"{file.stat().st_size:>9}  {file.name}")
    return 0


def wheel(target: Path) -> None:
    """The package, from a copy of what it consists of: what an earlier build left in the tree does not get in."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("crds", "operator"):
            left_out = shutil.ignore_patterns("*.egg-info", "__pycache__")
            shutil.copytree(ROOT / name, Path(folder) / name, symlinks=True, ignore=left_out)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={target}", folder)


def manifests(target: Path, render: Render) -> None:
    """One file for each way to install: the Namespace and the kind come first, then the operator."""
    for name, (overlay, what) in OVERLAYS.items():
        parts = [render(ROOT / "manifests" / folder) for folder in ("setup", overlay)]
        head = _HEAD.format(version=__version__, what=what, name=name)
        (target / name).write_text(head + "---\n".join(parts))


def chart(target: Path) -> None:
    """The chart as Helm reads it, with the files that are links in the tree; the same bytes every time."""
    source, packed = ROOT / "manifests" / "chart", io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in sorted(walk(source)):
            content = file.read_bytes()
            entry = tarfile.TarInfo(f"resilience-operator/{file.relative_to(source)}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    name = f"resilience-operator-chart-{__version__}.tgz"
    (target / name).write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def walk(folder: Path) -> list[Path]:
    """Every file below, also behind a link to a directory."""
    found = []
    for each in folder.iterdir():
        found += walk(each) if each.is_dir() else [each]
    return found


def runtime(folder: Path) -> Path:
    """The Python of an environment with what the operator needs, and nothing else: as in the image."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip("install", "--require-hashes", "-r", str(ROOT / "requirements.lock"), python=python)
    pip("uninstall", "--yes", "pip", "setuptools", python=python)
    return python


def sbom(target: Path, python: Path) -> None:
    """What is in an environment, as CycloneDX: names, versions, licences and what needs what; checked by its schema."""
    subprocess.run(
        [
            str(Path(sys.executable).with_name("cyclonedx-py")),
            "environment",
            f"--pyproject={ROOT / 'pyproject.toml'}",
            "--output-format=JSON",
            "--output-reproducible",
            f"--output-file={target / 'sbom.cdx.json'}",
            str(python),
        ],
        check=True,
    )


def checksums(target: Path) -> None:
    """A file for `sha256sum --check`."""
    files = sorted(file for file in target.iterdir() if file.name != CHECKSUMS)
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (target / CHECKSUMS).write_text("".join(lines))


def kubectl(folder: Path) -> str:
    """What the lab's kubectl renders of a kustomization."""
    argv = [str(build.binaries() / "kubectl"), "kustomize", str(folder)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def pip(*arguments: str, python: Path | None = None) -> None:
    """Run pip without its chatter."""
    argv = [str(python or sys.executable), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
