"""Fetching a file from mirrors, so that what stands under its name is always whole and the right one.

The one idea: the file is written beside its place under another name, its checksum is compared there, and only then
does it take its name, in one step (``os.replace``). Whatever happens on the way, an error or Ctrl-C, leaves nothing
behind.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from .idx import read_bytes


class DownloadError(OSError):
    """No mirror gave the file; the message lists each with its failure, and says what to do by hand."""


class _Hopeless(Exception):
    """A failure that trying the same address again will not mend."""


def fetch(
    urls: Sequence[str],
    path: str | os.PathLike[str],
    sha256: str,
    *,
    timeout: float = 30.0,
    attempts: int = 3,
    backoff: float = 1.0,
) -> None:
    """Download a file from the first of ``urls`` that has it, and put it at ``path`` as it comes.

    ``sha256``: the checksum (hexadecimal) of the *uncompressed* content. ``timeout``: seconds without an answer or
    data. The mirrors are tried in turn, up to ``attempts`` rounds, with a pause of ``backoff`` seconds after the first
    round, twice that after the second, and so on; one that answers 404 or the like, or has another file, is not asked
    again.

    Raises ``DownloadError`` (an ``OSError``) with every address's failure where none gave the file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "there").write_bytes(b"abc")
    >>> address = (folder / "there").as_uri()
    >>> fetch([address], folder / "here", hashlib.sha256(b"abc").hexdigest())
    >>> (folder / "here").read_bytes()
    b'abc'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    hopeful = list(dict.fromkeys(urls))
    for attempt in range(attempts):
        if attempt and hopeful:
            time.sleep(backoff * 2 ** (attempt - 1))
        for url in list(hopeful):
            try:
                _fetch_one(url, path, sha256, timeout)
                return
            except _Hopeless as error:  # noqa: PERF203 (what a try costs is nothing beside a download)
                hopeful.remove(url)
                failures[url] = str(error)
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures[url] = f"{type(error).__name__}: {error}"
    lines = "".join(f"\n  {url}: {failure}" for url, failure in failures.items())
    raise DownloadError(
        f"could not download {path.name}:{lines}\n"
        f"To do it by hand, put the file at {path} (SHA-256 of its uncompressed content: {sha256})"
    )


def _fetch_one(url: str, path: Path, sha256: str, timeout: float) -> None:
    # The process and thread in its name: two that download the same file at once do not write into one another's.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        _copy(url, part, path.name, timeout)
        found = hashlib.sha256(read_bytes(part)).hexdigest()
        if found != sha256.lower():
            raise _Hopeless(f"another file than expected: SHA-256 of its uncompressed content is {found}, not {sha256}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _copy(url: str, part: Path, name: str, timeout: float) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "tinynet"})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if 400 <= error.code < 500 and error.code not in (408, 429):  # those two say: later
            raise _Hopeless(f"HTTP status {error.code} ({error.reason})") from error
        raise
    with response, open(part, "wb") as file:
        size = int(response.headers.get("Content-Length") or 0)
        with tqdm(total=size or None, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
            while chunk := response.read(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
        # Reading in pieces, urllib takes a connection cut half-way for the end of the file.
        if size and file.tell() != size:
            raise ConnectionError(f"the connection ended after {file.tell()} of {size} bytes")
