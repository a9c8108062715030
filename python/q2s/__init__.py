# SPDX-License-Identifier: LGPL-2.1-or-later
"""qcow2 disk images: their content, their structures, and new ones.

    with q2s.open("disk.qcow2") as disk:
        first = disk.read(512)
    for extent in q2s.map("disk.qcow2"):
        print(extent["start"], extent["length"], extent["data"])
    q2s.stream("disk.qcow2", "copy.qcow2", extended_l2=True)

The functions take the name of an image, and these keywords:

follow       which other files an image may make us open (a backing file, an external data file):
             "none", "beside" (in its own folder) or "any". Nothing is opened unasked.
format       "qcow2" or "raw"; None: qcow2 if it starts like one, else raw
force_share  take no locks: another program may be writing to it
key          the passphrase of encrypted images, as bytes or str
snapshot     the id or name of an internal snapshot, instead of what the image shows now

All failures of the library are q2s.Error, an OSError. The interpreter's lock is released while
the library works, so threads read in parallel, also from one open image.
"""

import io
import os
import threading
from typing import Any, Dict, List, Optional, Protocol, Union

from . import _q2s
from ._q2s import Error

__all__ = ["Error", "File", "check", "explain", "info", "map", "open", "stream"]
__version__ = _q2s.version

Name = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Key = Union[str, bytes, None]

_FOLLOW = {"none": 0, "beside": 1, "any": 2}
_PIPE_READ = 1 << 20


class Writer(Protocol):
    """What has a write() for bytes, such as a binary file."""

    def write(self, data: bytes, /) -> Any: ...


def _choice(what: str, word: Any, choices: Dict[Any, int]) -> int:
    if word not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{what}={word!r} is not one of {known}")
    return choices[word]


def _log2(what: str, value: int) -> int:
    if value < 1 or value & (value - 1):
        raise ValueError(f"{what}={value!r} is not a power of two")
    return value.bit_length() - 1


class File(io.RawIOBase):
    """The guest content of an image as a binary file, for reading. Made by q2s.open().

    read() and readinto() give all that was asked for, up to the end of the disk. The position
    that seek() and tell() know is one for all threads; pread() and pread_into() have none.
    """

    name: str

    def __init__(self, name: Name, disk: "_q2s.Disk") -> None:
        self.name = os.fsdecode(name)
        self.mode = "rb"
        self._disk = disk
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._disk.size

    def __repr__(self) -> str:
        return f"<q2s.File {self.name!r}{' closed' if self.closed else ''}>"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._disk.size  # which a closed one has not
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}
        if whence not in start:
            raise ValueError(f"whence={whence!r} is not supported")
        if start[whence] + offset < 0:
            raise ValueError(f"negative position {start[whence] + offset}")
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        got = self._disk.readinto(self._position, buffer)
        self._position += got
        return got

    def read(self, size: Optional[int] = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(self.size - self._position, 0)
        data = self._disk.read(self._position, size)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def pread(self, size: int, offset: int) -> bytes:
        """Up to size bytes at offset; fewer only at the end of the disk."""
        return self._disk.read(offset, size)

    def pread_into(self, buffer: Any, offset: int) -> int:
        """The same into a buffer; how many bytes there were."""
        return self._disk.readinto(offset, buffer)

    def extents(self, start: int = 0, length: Optional[int] = None) -> List[Dict[str, Any]]:
        """What is where, in order and without gaps: a dict for each extent.

        "start", "length"; "state": "data", "zero" or "unallocated" (which reads as zero too).
        Where the bytes lie plainly in a file also "filename", "offset".
        """
        return self._disk.extents(start, self.size if length is None else length)

    def close(self) -> None:
        if not self.closed:
            self._disk.close()
        super().close()


def _disk(name: Name, follow: str, key: Key, format: Optional[str], snapshot: Optional[str],
          force_share: bool) -> "_q2s.Disk":
    if isinstance(key, str):
        key = key.encode()
    return _q2s.Disk(os.fsencode(name), format, _choice("follow", follow, _FOLLOW), force_share,
                     snapshot, key)


def open(name: Name, *, follow: str = "none", key: Key = None, format: Optional[str] = None,
         snapshot: Optional[str] = None, force_share: bool = False) -> File:
    """Open the guest content of an image, or of an NBD URI (nbd://...), for reading."""
    return File(name, _disk(name, follow, key, format, snapshot, force_share))


def map(name: Name, *, follow: str = "none", format: Optional[str] = None,
        force_share: bool = False) -> List[Dict[str, Any]]:
    """Which layer holds what: the list of `q2s-inspect map --output=json`.

    "start", "length", "depth" (of the layer), "present", "zero", "data", "compressed", and, where
    the bytes lie plainly in a file, "offset". Clusters that were given out but never written are
    data here; the tool looks for holes behind those of preallocated images.
    """
    return _q2s.map(os.fsencode(name), format, _choice("follow", follow, _FOLLOW), force_share)


def check(name: Name, *, decode: bool = False, max_findings: int = 1000,
          force_share: bool = False) -> Dict[str, Any]:
    """Check a qcow2 image: the object of `q2s-inspect check --output=json`.

    "findings" is a list of dicts with "id", "severity", "structure", "text" and, where known,
    "host-offset", "guest-offset", "found", "expected". Unlike the tool's, the counts are there
    also when they are 0: "corruptions", "leaks", "check-errors" ... An image with findings is no
    error; one that cannot be checked is.

    decode  also try to decode all compressed clusters
    """
    return _q2s.check(os.fsencode(name), force_share, decode, max_findings)


def explain(name: Name, offset: int, *, follow: str = "none", format: Optional[str] = None,
            force_share: bool = False) -> Dict[str, Any]:
    """The way of a guest offset through the tables to host bytes.

    The object of `q2s-inspect explain --output=json`: "guest-offset", "layers" with the "outcome"
    of each, "result" with "state", "depth" and perhaps "host-offset". Of the "steps" those that
    read an entry or data, with the bytes; titles, rules and formulas are the tool's alone.
    """
    return _q2s.explain(os.fsencode(name), offset, format,
                        _choice("follow", follow, _FOLLOW), force_share)


def info(name: Name, *, format: Optional[str] = None, force_share: bool = False) -> Dict[str, Any]:
    """What an image is, with keys of `q2s-inspect info --output=json`.

    Those of `qemu-img info` but for "children", "encrypt" and "full-backing-filename"; under "q2s"
    the size of the file, the version and the geometry.
    """
    return _q2s.info(os.fsencode(name), format, force_share)


def _to_writer(dest: Writer, write: Any) -> int:
    """write(fd) in a thread of its own; what comes out of the other end goes to dest."""
    result: List[Any] = []
    reader, writer = os.pipe()

    def work() -> None:
        try:
            result.append(write(writer))
        except BaseException as error:
            result.append(error)
        finally:
            os.close(writer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while True:
            data = os.read(reader, _PIPE_READ)
            if not data:
                break
            rest = memoryview(data)
            while rest:
                done = dest.write(rest)
                rest = rest[len(rest) if done is None else done:]
    finally:
        os.close(reader)  # the thread ends with EPIPE if it is not at its end
        thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return int(result[0])


def stream(source: Union[Name, File], dest: Union[Name, int, Writer], *,
           output_format: str = "qcow2", cluster_size: int = 65536, extended_l2: bool = False,
           compat: str = "1.1", refcount_bits: int = 16, lazy_refcounts: bool = False,
           compression: Optional[str] = None, level: Optional[int] = None, threads: int = 0,
           follow: str = "none", key: Key = None, format: Optional[str] = None,
           snapshot: Optional[str] = None, force_share: bool = False) -> int:
    """Write the content of source as a complete image, byte for byte as q2s-stream does.

    source  the name of an image, with the keywords of open(); or what open() returned
    dest    the name of a file, which appears, or is replaced, when all is written; an open
            descriptor; or an object with write()

    output_format  "qcow2" or "raw"
    compat         "1.1" (version 3) or "0.10" (version 2)
    compression    "zlib" or "zstd", with level=; None: clusters are not compressed
    threads        0: one per processor; the bytes do not depend on it

    Returns the length of the image.
    """
    raw = _choice("output_format", output_format, {"qcow2": 0, "raw": 1})
    version = _choice("compat", compat, {"0.10": 2, "1.1": 3})
    _choice("compression", compression, {None: 0, "zlib": 1, "zstd": 2})
    if level is not None and level < 0:
        raise ValueError(f"level={level!r} is negative")
    cluster_bits = _log2("cluster_size", cluster_size)
    refcount_order = _log2("refcount_bits", refcount_bits)

    def write(path: bytes, fd: int) -> int:
        return _q2s.stream(disk, path, fd, bool(raw), version, cluster_bits, refcount_order,
                           extended_l2, lazy_refcounts, compression,
                           -1 if level is None else level, threads)

    disk = (source._disk if isinstance(source, File) else
            _disk(source, follow, key, format, snapshot, force_share))
    try:
        if isinstance(dest, int):
            return write(b"", dest)
        if hasattr(dest, "write"):
            return _to_writer(dest, lambda fd: write(b"", fd))
        return write(os.fsencode(dest), -1)
    finally:
        if not isinstance(source, File):
            disk.close()
