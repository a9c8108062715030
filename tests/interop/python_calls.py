# SPDX-License-Identifier: GPL-2.0-or-later
# python_calls.py: the calls of the package, in this empty folder, beside what the corpus covers.
import errno
import io
import os
import random
import subprocess
import threading

import q2s

MIB = 1 << 20


def run(*args):
    subprocess.run(args, check=True)


def raises(kind, call, **attributes):
    try:
        call()
    except kind as error:
        for name, value in attributes.items():
            assert getattr(error, name) == value, (name, vars(error))
        return error
    raise AssertionError(f"no {kind.__name__}")


def read(name):
    with open(name, "rb") as file:
        return file.read()


random.seed(1)
data = b"".join(random.randbytes(MIB) if i % 3 else bytes([i]) * MIB for i in range(24))
with open("disk.raw", "wb") as file:
    file.write(data)

# what q2s-stream writes, to each kind of destination
for words, options in (
    ([], {}),
    (["-z", "zstd", "-o", "extended_l2=on,cluster_size=128k"],
     {"compression": "zstd", "extended_l2": True, "cluster_size": 131072}),
    (["--compress=zlib:9", "-o", "compat=0.10"], {"compression": "zlib", "level": 9, "compat": "0.10"}),
    (["-o", "lazy_refcounts=on,refcount_bits=64"], {"lazy_refcounts": True, "refcount_bits": 64}),
    (["-O", "raw"], {"output_format": "raw"}),
):
    run("q2s-stream", *words, "disk.raw", "tool")
    memory = io.BytesIO()
    with open("fd", "wb") as file:
        lengths = {q2s.stream("disk.raw", "named", **options),
                   q2s.stream("disk.raw", file.fileno(), **options),
                   q2s.stream("disk.raw", memory, **options), os.path.getsize("tool")}
    assert len(lengths) == 1, lengths
    assert read("tool") == read("named") == read("fd") == memory.getvalue(), words


class Full:
    def write(self, piece):
        raise OSError(errno.ENOSPC, "full")


raises(OSError, lambda: q2s.stream("disk.raw", Full()), errno=errno.ENOSPC)
raises(q2s.Error, lambda: q2s.stream("disk.raw", "disk.raw"), code="conflict")
raises(q2s.Error, lambda: q2s.stream("disk.raw", "x", compression="zlib", level=77), code="usage")
raises(q2s.Error, lambda: q2s.stream("disk.raw", "x", extended_l2=True, cluster_size=4096),
       code="conflict")
raises(ValueError, lambda: q2s.stream("disk.raw", "x", cluster_size=65537))
raises(ValueError, lambda: q2s.stream("disk.raw", "x", compression="lzma"))
assert not os.path.exists("x") and read("disk.raw") == data

# a file object
q2s.stream("disk.raw", "disk.qcow2", compression="zstd")
with q2s.open("disk.qcow2") as disk:
    assert isinstance(disk, io.RawIOBase) and disk.readable() and disk.seekable()
    assert not disk.writable() and disk.size == len(data)
    assert disk.read(5) == data[:5] and disk.tell() == 5
    assert disk.seek(-3, os.SEEK_END) == len(data) - 3 and disk.read(10) == data[-3:]
    assert disk.read() == disk.read(1) == b"" and disk.seek(1 << 62) == 1 << 62
    assert disk.read(1) == b"" and disk.readinto(bytearray(2)) == 0
    assert disk.seek(7) == 7 and disk.seek(3, os.SEEK_CUR) == 10 and disk.read() == data[10:]
    raises(ValueError, lambda: disk.seek(-1))
    raises(OverflowError, lambda: disk.pread(1, -1))
    raises(TypeError, lambda: disk.readinto(b"constant"))
    assert q2s.stream(disk, "again") == os.path.getsize("again")
    assert disk.extents(len(data)) == []
    buffered = io.BufferedReader(disk)
    assert buffered.seek(7) == 7 and buffered.read(100) == data[7:107]
    buffered.detach()
assert disk.closed
disk.close()
raises(ValueError, lambda: disk.read(1))
raises(ValueError, lambda: disk.extents())

# threads read at the same time, each what is there, and one may close it meanwhile
disk = q2s.open("disk.qcow2")
wrong = []


def reader(seed):
    rng = random.Random(seed)
    for _ in range(60):
        at, size = rng.randrange(len(data)), rng.randrange(300000)
        if disk.pread(size, at) != data[at:at + size]:
            wrong.append(at)


threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not wrong, wrong


def reads_until_closed():
    try:
        while True:
            assert disk.pread(MIB, 0) == data[:MIB]
    except ValueError:
        closed.append(True)


closed = []
threads = [threading.Thread(target=reads_until_closed) for _ in range(3)]
[thread.start() for thread in threads]
disk.close()
[thread.join() for thread in threads]
assert len(closed) == 3

# A pipe that is not read stops a stream; other threads go on, as it does not hold the lock.
read_end, write_end = os.pipe()
writer = threading.Thread(target=lambda: (q2s.stream("disk.raw", write_end), os.close(write_end)))
writer.start()
assert q2s.info("disk.qcow2")["virtual-size"] == len(data)
with os.fdopen(read_end, "rb") as pipe:
    piped = pipe.read()
writer.join()
q2s.stream("disk.raw", "plain.qcow2")
assert piped == read("plain.qcow2") == read("again")

# other files, and keys
run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "over.qcow2")
error = raises(q2s.Error, lambda: q2s.open("over.qcow2"), code="policy", follow="beside",
               errno=errno.EPERM, filename="over.qcow2")
with q2s.open("over.qcow2", follow="beside") as disk:
    assert disk.read() == data
assert {item["depth"] for item in q2s.map("over.qcow2", follow="beside")} == {1}
assert q2s.explain("over.qcow2", 0, follow="beside")["result"]["depth"] == 1
assert q2s.explain("over.qcow2", 0)["result"]["state"] == "unallocated"
assert q2s.info("over.qcow2")["backing-filename"] == "disk.qcow2"
raises(ValueError, lambda: q2s.open("over.qcow2", follow="all"))
raises(ValueError, lambda: q2s.explain("over.qcow2", len(data)))

with open("key", "w") as file:
    file.write("secret")
try:
    run("q2s-stream", "-o", "encrypt.format=luks,encrypt.iter-time=10", "--key-file=key", "disk.raw",
        "luks.qcow2")
except subprocess.CalledProcessError:
    print("not tried: encryption, which this build lacks")
else:
    raises(q2s.Error, lambda: q2s.open("luks.qcow2"), code="key")
    raises(q2s.Error, lambda: q2s.open("luks.qcow2", key="wrong"), code="key")
    for key in ("secret", b"secret"):
        with q2s.open("luks.qcow2", key=key) as disk:
            assert disk.read(MIB) == data[:MIB]
    assert q2s.info("luks.qcow2")["encrypted"] is True

# errors say where
raises(q2s.Error, lambda: q2s.open("none"), errno=errno.ENOENT, filename="none")
raises(q2s.Error, lambda: q2s.check("disk.raw"), code="magic", offset=0, structure="magic")
run("qemu-img", "create", "-q", "-f", "vmdk", "disk.vmdk", "1M")
raises(q2s.Error, lambda: q2s.open("disk.vmdk"), code="unsupported", structure="format")
with open("plain.qcow2", "r+b") as file:
    file.seek(q2s.explain("plain.qcow2", 0)["layers"][0]["steps"][1]["read"][0]["offset"])
    file.write(bytes.fromhex("8000000000010200"))
found = q2s.check("plain.qcow2")
assert found["corruptions"] and found["findings"][0]["guest-offset"] == 0, found
assert q2s.check("plain.qcow2", max_findings=0)["findings-omitted"] == len(found["findings"])
with q2s.open("plain.qcow2") as disk:
    raises(q2s.Error, lambda: disk.read(1), code="offset", structure="L2 entry")
    raises(q2s.Error, lambda: disk.extents(), code="offset")
raises(q2s.Error, lambda: q2s.map("plain.qcow2"), code="offset")
print("all calls do what they say")
