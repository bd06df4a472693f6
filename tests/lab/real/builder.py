"""Images from the repository's Dockerfiles, built without a registry: buildah takes their steps as they are written.

Called by tests, and by `tests.lab build --real`, which fetches what it needs: buildah and a base image's programs from
Debian's packages, unpacked and not installed, and the locked wheels. The steps themselves run without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.lab import build
from tests.lab.errors import LabError
from tests.lab.real import images, packages

ROOT = Path(__file__).resolve().parents[3]
REGISTRY = "docker.io/library"
"""What containerd puts before an image's name that names no registry."""

_BUILDER = (
    *("buildah", "golang-github-containers-common", "libgpgme11", "libassuan0", "libgpg-error0"),
    *("libdevmapper1.02.1", "libseccomp2"),
)
_BASE = (
    *("python3.11", "python3.11-minimal", "python3.11-venv", "python3-pip-whl", "python3-setuptools-whl"),
    *(
        "libpython3.11-stdlib",
        "libpython3.11-minimal",
        "libc6",
        "libcrypt1",
        "libssl3",
        "libexpat1",
        "zlib1g",
    ),
    *("libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0", "libuuid1", "libstdc++6", "libgcc-s1"),
    *("dash", "coreutils", "libacl1", "libattr1", "libselinux1", "libpcre2-8-0", "libgmp10", "mawk"),
)
_PYTHON = "3.11"
_LINKS = {"usr/bin/awk": "mawk", "usr/local/bin/python": f"../../bin/python{_PYTHON}"}
_PIP = "[global]\nno-index = true\nfind-links = /wheels\n"
_LOCK = "lock"
_MOST = 4 << 30
"""Bytes of kept layers, above which they are thrown away: each change of the source leaves some behind."""


def write(dockerfile: str, name: str, archive: Path) -> Path:
    """Build an image from a Dockerfile of the repository, as `name` with its tag, and write its archive."""
    folder = prepared()
    with build.lock(folder / _LOCK):
        if _size(folder / "layers") > _MOST:
            shutil.rmtree(folder / "layers")
        reference = f"{REGISTRY}/{name}"
        mounts = {folder / "wheels": "/wheels", folder / "pip.conf": "/etc/pip.conf"}
        _buildah(
            folder,
            *("build", "--isolation=chroot", "--layers", "--pull-never"),
            f"--build-arg=BASE=oci-archive:{folder / 'base.tar'}",
            *(f"--volume={source}:{target}:ro" for source, target in mounts.items()),
            *(f"--tag={reference}", f"--file={ROOT / dockerfile}", str(ROOT)),
        )
        _buildah(folder, "push", reference, f"docker-archive:{archive}:{reference}")
    return archive


def prepared() -> Path:
    """The folder of the builder, its base image and the wheels; fetches what is not there."""
    folder = build.cache() / f"builder-{_key()}"
    with build.lock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
            try:
                _fetch(partial)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def _fetch(folder: Path) -> None:
    for part, names in (("tools", _BUILDER), ("base", _BASE)):
        (folder / part).mkdir()
        packages.extract(names, folder / part)
    base = folder / "base"
    for useless in ("doc", "man", "locale"):
        shutil.rmtree(base / "usr/share" / useless, ignore_errors=True)
    for link, target in _LINKS.items():
        (base / link).parent.mkdir(parents=True, exist_ok=True)
        (base / link).symlink_to(target)
    (base / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (base / "etc/group").write_text("root:x:0:\n")
    (base / "tmp").mkdir()
    (base / "tmp").chmod(0o1777)
    image = images.Image(
        f"{REGISTRY}/python:{_PYTHON}",
        {f"/{entry.name}": entry for entry in sorted(base.iterdir())},
        entrypoint=(),
        command=("python",),
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    images.write(image, folder / "base.tar")
    shutil.rmtree(base)
    _download(folder / "wheels")
    (folder / "pip.conf").write_text(_PIP)
    (folder / "temporary").mkdir()


def _download(folder: Path) -> None:
    """The wheels that the Dockerfile installs, each by its hash, as the base image's Python takes them."""
    wanted = ["--require-hashes", "--only-binary=:all:", f"--python-version={_PYTHON}", f"--dest={folder}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as pins:
        pins.writelines(_build_tool((ROOT / "requirements-dev.lock").read_text()))
        pins.flush()
        for requirements in (str(ROOT / "requirements.lock"), pins.name):
            _run([sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--requirement", requirements])


def _build_tool(lock: str) -> Iterator[str]:
    """The lines of the lock that pin setuptools."""
    found = False
    for line in lock.splitlines(keepends=True):
        found = found or line.startswith("setuptools==")
        if found:
            yield line
            if not line.rstrip().endswith("\\"):
                return


def _buildah(folder: Path, command: str, *arguments: str) -> None:
    tools = folder / "tools"
    own, system = tools / "etc/containers", next(tools.glob("usr/lib/*-linux-gnu")).name
    # It starts itself anew without LD_LIBRARY_PATH, so its libraries lie over the machine's, in mounts of its own.
    layers = f"{tools}/usr/lib/{system}:{tools}/lib/{system}:/usr/lib/{system}"
    mounted = f'mount -t overlay -o "lowerdir={layers}" lab "/usr/lib/{system}" && exec "$@"'
    state = {
        "root": folder / "layers",
        "runroot": folder / "running",
        "registries-conf": own / "registries.conf",
    }
    environment = {
        "PATH": f"{tools}/usr/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder / "temporary"),
        "CONTAINERS_CONF": str(tools / "usr/share/containers/containers.conf"),
    }
    _run(
        [
            *("unshare", "--mount", "--net", "sh", "-c", mounted, "sh", "buildah"),
            *(f"--{key}={value}" for key, value in state.items()),
            *(command, f"--signature-policy={own / 'policy.json'}", *arguments),
        ],
        environment,
    )


def _run(argv: list[str], environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(
        argv, check=False, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    if result.returncode != 0:
        said = f"{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        raise LabError(f"{' '.join(argv)} ended with {result.returncode}:\n{said}")


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def _key() -> str:
    locks = (
        (ROOT / "requirements.lock").read_text(),
        *_build_tool((ROOT / "requirements-dev.lock").read_text()),
    )
    what = "\0".join((*_BUILDER, *_BASE, *_LINKS, Path("/etc/os-release").read_text(), *locks))
    return hashlib.sha256(what.encode()).hexdigest()[:16]
