"""Artifacts on disk: written beside and renamed, hashed by content, never half there."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homefeed.errors import ArtifactError, StorageError

PARTIAL = ".partial"  # ends the name of what is being written beside its place


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target``; on success rename it there, on failure remove it.

    The caller makes either a file or a folder at the yielded path; where its process is killed, it
    stays. An existing target is replaced. Raises StorageError where the disk is full or not
    writable.
    """
    target = Path(target)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        _replace(beside, target)
    except Exception as error:
        if reason := _cannot_write(error):
            raise StorageError(f"cannot write {target}: {reason}") from error
        raise
    finally:
        _remove(beside)


def is_disk_full(error: Exception) -> bool:
    """Whether ``error`` means a full disk, or a file larger than what may be written.

    Polars and DuckDB say it in an error of their own.
    """
    return _out_of_space(error) is not None


def _out_of_space(error: Exception) -> int | None:
    """The system's number for what is used up: the disk, or the size that a file may have."""
    number, text = getattr(error, "errno", None), str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in text:
        return errno.ENOSPC
    return errno.EFBIG if number == errno.EFBIG or os.strerror(errno.EFBIG) in text else None


def _cannot_write(error: Exception) -> str | None:
    """What the system refused and what to do; None for an error of another kind."""
    place = "choose another folder (`storage.root` in homefeed.yaml, or --out where you gave it)"
    number = _out_of_space(error)
    if number == errno.ENOSPC:
        return f"{os.strerror(number)}; free some space or {place}"
    if number == errno.EFBIG:
        return f"{os.strerror(number)}; raise the limit (ulimit -f) or {place}"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES):
        return f"{error.strerror}; make it writable or {place}"
    return None


def _replace(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        os.replace(target, old)
        os.replace(source, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder of artifacts; links in it become what they point at.

    Files are written once, so a file is shared (a hard link) where both lie on one file system.
    """
    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def fingerprint(*paths: Path, leave_out: Path | None = None) -> str:
    """16 hexadecimal digits over the names and bytes of files and folders; order matters.

    Links to files and folders are followed; what lies in the folder ``leave_out`` does not count.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in map(Path, paths):
        if not path.exists():
            raise ArtifactError(f"cannot fingerprint {path}: it does not exist")
        files = sorted(_files_below(path, leave_out)) if path.is_dir() else [path]
        for file in files:
            digest.update(str(file.relative_to(path)).encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _files_below(
    folder: Path, leave_out: Path | None, above: tuple[Path, ...] = ()
) -> Iterator[Path]:
    # Path.rglob follows no link to a folder in Python 3.11 and 3.12.
    real = folder.resolve()
    if real in above or (leave_out is not None and real == leave_out.resolve()):
        return  # a link to a folder that holds it would never end
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, leave_out, (*above, real))
        elif path.is_file():
            yield path


def open_to_read(path: Path) -> sqlite3.Connection:
    """A SQLite file that others may be writing, read-only and whatever its folder is called."""
    # As a URI, which quotes what would end the path or stand for another letter: `#`, `?`, `%`.
    return sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)


def hash_json(value: Any) -> str:
    """16 hexadecimal digits over the canonical JSON of ``value``."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with writing(path) as beside:
        beside.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; ArtifactError names the file where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; run the step that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not JSON ({error}); run its step again") from None
