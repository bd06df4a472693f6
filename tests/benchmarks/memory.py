"""What a process holds in memory, as the kernel counts it."""

import gc
import re
from pathlib import Path

MIB = 2**20


def rss(pid: int | str = "self", field: str = "VmRSS") -> int:
    """Bytes of a process that are resident (`VmHWM`: the most that ever were); our own after a collection."""
    if pid == "self":
        gc.collect()
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status has no {field}")
    return int(found[1]) * 1024
