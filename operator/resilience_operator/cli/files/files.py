"""Finds and reads manifests: files, directories, standard input. Used by cli/check.

Sizes are judged before anything is read. Many files are read by two or more processes.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path

from resilience_operator.cli.files.manifests import Loaded, Problem, read
from resilience_operator.cli.files.rendering import render
from resilience_operator.cli.launch import STRANGER, looks_like_user_data, read_user_data
from resilience_operator.cli.launch import SUFFIX as USER_DATA

SUFFIXES = frozenset({".yaml", ".yml", ".json", USER_DATA})
STDIN = "-"
STDIN_NAME = "<stdin>"
DEFAULT_MAX_SIZE = 16 * 1024 * 1024
"""Bytes of one file."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How text begins that PowerShell redirected into a file; YAML may be written so (YAML 1.2, 5.2)."""
CHUNK = 100
"""Files that a process reads before it gives back what it found."""
MANY = 300
"""Fewer files are read here: to start processes would take longer."""

Progress = Callable[[int, int], None]
"""Called with (files read, all files)."""


def load(
    paths: Sequence[str],
    max_size: int,
    progress: Progress = lambda done, total: None,
    exclude: Sequence[str] = (),
    *,
    rendering: bool = False,
) -> Loaded:
    """All objects of the given files and directories; `-` is standard input. Never raises on their content.

    `exclude`: globs; of a directory, what one matches by its path or name is left out, with all below it.
    `rendering`: charts and kustomizations below the directories are rendered, and not read as files.
    """
    loaded = Loaded()
    rendered = render(path for path in paths if os.path.isdir(path)) if rendering else None
    if rendered is not None:
        loaded.add(rendered.loaded)
    files: list[str] = []
    for path in paths:
        if path == STDIN:
            loaded.add(_read_stdin(max_size))
        else:
            files += _found(path, loaded, exclude)
    files = [one for one in dict.fromkeys(files) if rendered is None or not rendered.made_of(one)]
    explicit = {STDIN_NAME, *map(os.path.normpath, paths)}
    for done, part in _loads(files, max_size):
        loaded.add(part)
        progress(done, len(files))
    for found in (loaded.strangers, loaded.foreign):
        # What somebody names is meant to be read; most other TOML is about something else.
        loaded.problems += [one for one in found if one.file in explicit]
        found[:] = [
            one for one in found if not (one.file in explicit or one.file.lower().endswith(USER_DATA))
        ]
    return loaded


def _found(path: str, loaded: Loaded, exclude: Sequence[str]) -> list[str]:
    """The manifests below a path, sorted; a Problem where there are none."""
    if not os.path.isdir(path):
        return [os.path.normpath(path)]
    found = sorted(_walk(Path(path), frozenset(), exclude))
    if not found:
        loaded.problems.append(Problem(path, 0, "has no file that ends in .yaml, .yml, .json or .toml"))
    return found


def _excluded(path: str, exclude: Sequence[str]) -> bool:
    path = os.path.normpath(path)
    return any(
        fnmatchcase(path, glob.rstrip("/")) or fnmatchcase(os.path.basename(path), glob) for glob in exclude
    )


def _walk(directory: Path, above: frozenset[str], exclude: Sequence[str]) -> Iterator[str]:
    """Files below a directory, without hidden ones; a link back to a directory above is not followed."""
    real = os.path.realpath(directory)
    if real in above:
        return
    try:
        entries = list(os.scandir(directory))
    except OSError:
        # Reported as a file that cannot be read: it must not look like an empty directory.
        yield os.path.normpath(directory)
        return
    for entry in entries:
        if entry.name.startswith(".") or _excluded(entry.path, exclude):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), above | {real}, exclude)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield os.path.normpath(entry.path)


def _loads(files: list[str], max_size: int) -> Iterator[tuple[int, Loaded]]:
    """(how many files are done, what the newest gave), in the order of `files`."""
    workers = min(os.cpu_count() or 1, 8)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    if len(files) < MANY or workers < 2:
        results: Iterable[Loaded] = (read_files(chunk, max_size) for chunk in chunks)
        yield from _counted(results, chunks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context(_start_method())) as pool:
        yield from _counted(pool.map(read_files, chunks, [max_size] * len(chunks)), chunks)


def _start_method() -> str:
    """A fork shares what is imported already; elsewhere than on Linux it is not safe."""
    return "fork" if sys.platform == "linux" else "spawn"


def _counted(results: Iterable[Loaded], chunks: list[list[str]]) -> Iterator[tuple[int, Loaded]]:
    done = 0
    for part, chunk in zip(results, chunks, strict=True):
        done += len(chunk)
        yield done, part


def read_files(files: list[str], max_size: int) -> Loaded:
    """What a few files give; runs in a worker."""
    loaded = Loaded()
    for file in files:
        loaded.add(read_file(file, max_size))
    return loaded


def read_file(file: str, max_size: int) -> Loaded:
    """What one file gives; a file that cannot be read is a Problem."""
    try:
        size = os.stat(file).st_size
        if size > max_size:
            return Loaded(problems=[_too_big(file, f"is {size:,} bytes", max_size)])
        with open(file, "rb") as stream:
            data = stream.read(max_size + 1)
    except OSError as error:
        return Loaded(problems=[Problem(file, 0, f"cannot be read: {error.strerror or error}")])
    if len(data) > max_size:
        return Loaded(problems=[_too_big(file, f"is more than {max_size:,} bytes", max_size)])
    return _decoded(data, file, is_json=file.lower().endswith(".json"))


def _read_stdin(max_size: int) -> Loaded:
    data = sys.stdin.buffer.read(max_size + 1)
    if len(data) > max_size:
        return Loaded(problems=[_too_big(STDIN_NAME, f"is more than {max_size:,} bytes", max_size)])
    return _decoded(data, STDIN_NAME, is_json=data.lstrip()[:1] == b"{")


def _too_big(file: str, what: str, max_size: int) -> Problem:
    return Problem(file, 0, f"{what}; files of more than {max_size:,} bytes are not read (--max-size)")


def _decoded(data: bytes, file: str, *, is_json: bool) -> Loaded:
    if data.startswith(_UTF16):
        data = data.decode("utf-16", "replace").encode()
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        return Loaded(problems=[Problem(file, line, "is binary, not text")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Loaded(problems=[Problem(file, line, "is binary, or text that is not UTF-8")])
    if file.lower().endswith(USER_DATA) or (file == STDIN_NAME and looks_like_user_data(text)):
        return _user_data(data.decode("utf-8"), file)
    return read(text, file, is_json=is_json)


def _user_data(text: str, file: str) -> Loaded:
    """`text` with its byte order mark: who reads user data minds it."""
    found = read_user_data(text, file)
    if found is None:
        return Loaded(strangers=[Problem(file, 1, STRANGER)])
    return Loaded(launch=[found], objects=1)
