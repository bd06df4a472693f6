"""What a real node takes from Debian: downloaded and unpacked into the lab's cache, never installed.

Installing containerd would start it. Called by `boot` and the command line.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab import build
from tests.lab.errors import LabError

PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "nftables", "conntrack"),
    *("libseccomp2", "libmnl0", "libnfnetlink0", "libnetfilter-conntrack3", "libnftnl11", "libnftables1"),
    *("libxtables12", "libip4tc2", "libip6tc2", "libjansson4", "libedit2", "libbsd0", "libmd0", "libgmp10"),
)
# Links that the package makes when it is installed.
_LINKS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
_TOOLS = ("ip", "nsenter", "unshare", "mount", "setpriv")


def missing() -> str:
    """Why real nodes cannot run here, as the end of a sentence; empty where they can."""
    if os.uname().sysname != "Linux":
        return "Linux"
    if os.geteuid() != 0:
        return "root"
    if absent := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"the tools {', '.join(absent)}"
    if build.built(build.REAL_NODES) is None or unpacked() is None:
        return "their programs: python -m tests.lab build --real"
    return ""


def unpacked() -> Path | None:
    """The folder of the unpacked packages, None where nobody has unpacked them."""
    folder = _folder()
    return folder if folder.is_dir() else None


def unpack() -> Path:
    """The folder of the unpacked packages; downloads them when they are not there."""
    folder = _folder()
    if folder.is_dir():
        return folder
    if shutil.which("apt-get") is None:
        raise LabError(
            "real nodes take containerd and iptables from Debian's packages, and there is no apt-get here"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        extract(PACKAGES, partial)
        for link in _LINKS:
            (partial / "usr/sbin" / link).symlink_to("xtables-nft-multi")
        partial.chmod(0o755)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def extract(names: Sequence[str], folder: Path) -> None:
    """Download packages into a folder and unpack them there."""
    # The user that apt downloads as may not write here.
    _run(["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", *names], folder)
    for archive in sorted(folder.glob("*.deb")):
        _run(["dpkg", "--extract", str(archive), str(folder)], folder)
        archive.unlink()


def environment(folder: Path) -> dict[str, str]:
    """What a program needs to find the unpacked programs and libraries."""
    libraries = next(folder.glob("usr/lib/*-linux-gnu"))
    return {
        "PATH": f"{folder}/usr/sbin:{folder}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
    }


def _folder() -> Path:
    release = Path("/etc/os-release")
    what = " ".join((*PACKAGES, release.read_text() if release.exists() else ""))
    return build.cache() / f"packages-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _run(argv: list[str], folder: Path) -> None:
    result = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"{' '.join(argv[:2])} failed (apt-get update first?):\n{result.stderr[-2000:]}")
