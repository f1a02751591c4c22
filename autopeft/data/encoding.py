"""Text files as decoded lines: UTF-8 with or without BOM, UTF-16 and UTF-32 with BOM, gzip."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from autopeft.errors import DataError

_MARKS = (  # UTF-32 first: its little-endian mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file, whatever its byte order mark, with its line ends untouched.

    Raises:
        DataError: inside the block too: unreadable, not text, or in an encoding without a mark.
    """
    try:
        with _open_bytes(path) as raw:
            head = raw.read(4096)
        if not head.strip():
            raise DataError(f"{path}: the file is empty; give it one row for each example")
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        if encoding == "utf-8" and b"\0" in head:
            raise DataError(
                f"{path}: not a text file (binary, or UTF-16 without its mark); save it as UTF-8"
            )
        with _open_bytes(path) as raw, io.TextIOWrapper(raw, encoding, newline="") as lines:
            yield lines
    except UnicodeDecodeError as fault:
        line = _line_of_fault(path, fault.encoding)
        raise DataError(
            f"{path}, {line}: not {fault.encoding.upper()} text ({fault.reason}); save the file "
            f"as UTF-8, for example: {_recoding(path)}"
        ) from fault
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(f"{path}: damaged gzip file ({fault}); compress it again") from fault
    except OSError as fault:
        reason = fault.strerror or fault
        raise DataError(f"{path}: cannot be read ({reason}); check the file") from fault


def is_gz(path: Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.suffix.lower() == ".gz"


def without_gz(path: Path) -> str:
    """Return a file's name, without the ending that says it is compressed."""
    return path.stem if is_gz(path) else path.name


def _open_bytes(path: Path) -> IO[bytes]:
    if is_gz(path):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _recoding(path: Path) -> str:
    """Return the command that makes UTF-8 of what older Windows programs write."""
    given, made = shlex.quote(path.name), shlex.quote(f"new-{without_gz(path)}")
    if is_gz(path):
        return f"gunzip -c {given} | iconv -f cp1252 -t utf-8 > {made}"
    return f"iconv -f cp1252 -t utf-8 {given} > {made}"


def _line_of_fault(path: Path, encoding: str) -> str:
    """Return where decoding first fails, such as ``line 7``; lines are those of an editor."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with _open_bytes(path) as raw:
        while block := raw.read(65536):
            before = decoder.getstate()
            try:
                line += decoder.decode(block).count("\n")
            except UnicodeDecodeError:
                decoder.setstate(before)
                for byte in block:
                    try:
                        line += decoder.decode(bytes([byte])) == "\n"
                    except UnicodeDecodeError:
                        break
                break
    return f"line {line}"
