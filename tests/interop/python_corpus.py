# SPDX-License-Identifier: GPL-2.0-or-later
# python_corpus.py some|all: each image of the corpus in this folder, read from Python, and what the
# tools say of it. What is illegal has to be a result or a q2s.Error.
import hashlib
import json
import os
import subprocess
import sys

import q2s

READABLE = 256 << 20  # bytes of a disk, as in corpus.sh
THREADED = 64 << 10


def numbers(item):
    """JSON's numbers end at 2^63 - 1; what is larger is a string there."""
    return {key: int(value) if key in ("found", "expected") else value
            for key, value in item.items()}


def tool(*args):
    done = subprocess.run(["q2s-inspect", *args], capture_output=True)
    return json.loads(done.stdout, object_hook=numbers) if done.stdout else None


def merged(ranges):
    """Without what the tool alone looks for: holes behind data."""
    out = []
    for item in ranges:
        item = dict(item, zero=item["zero"] and not item["data"])
        last = out[-1] if out else {}
        end = last.get("start", 0) + last.get("length", 0)
        kind = ("depth", "present", "zero", "data", "compressed")
        if (last and all(last[key] == item[key] for key in kind) and
                ("offset" in last) == ("offset" in item) and
                item.get("offset", end) - last.get("offset", end) ==
                ("offset" in item and last["length"])):
            last["length"] += item["length"]
        else:
            out.append(item)
    assert out or not ranges
    return [item for item in out if item["length"]]


def within(part, whole, where):
    """Each key of ours is one of the tool's, with the same value."""
    for key, value in part.items():
        assert key in whole, (where, key)
        if isinstance(value, dict):
            within(value, whole[key], (where, key))
        else:
            assert value == whole[key], (where, key, value, whole[key])


def same_steps(ours, theirs):
    by_id = {step["id"]: step for step in theirs}
    for step in ours:
        other = by_id[step["id"]]
        for bytes_read in step.pop("read", []):
            assert bytes_read in other["read"], (bytes_read, other["read"])
        within(step, other, step["id"])


def same_way(name, offset):
    ours = q2s.explain(name, offset)
    theirs = tool("explain", "--output=json", str(offset), name)
    assert ours["result"] == theirs["result"], (name, ours, theirs)
    assert len(ours["layers"]) == len(theirs["layers"])
    for layer, other in zip(ours["layers"], theirs["layers"]):
        same_steps(layer.pop("steps"), other.pop("steps"))
        assert layer == other, (layer, other)


def same_as_tools(name):
    info = tool("info", "--output=json", name)
    within(q2s.info(name), info, name)
    found = tool("check", "--output=json", name)
    ours = {key: value for key, value in q2s.check(name).items()
            if value != 0 or key == "check-errors"}
    assert ours == found, (name, ours, found)
    if not q2s.info(name).get("backing-filename"):
        map_ours, map_theirs = q2s.map(name), tool("map", "--output=json", name)
        assert merged(map_ours) == merged(map_theirs), (name, map_ours, map_theirs)
        for item in map_ours[:2]:
            same_way(name, item["start"])


def content(name, size):
    """By readinto() in odd steps; the same at any place by pread()."""
    subprocess.run(["qemu-img", "convert", "-O", "raw", name, "raw"], check=True)
    digest = hashlib.sha256()
    with q2s.open(name, follow="any") as disk, open("raw", "rb") as raw:
        assert disk.size == size == os.fstat(raw.fileno()).st_size, name
        buffer = bytearray((3 << 20) - 517)
        while got := disk.readinto(buffer):
            assert raw.read(got) == memoryview(buffer)[:got], (name, disk.tell())
            digest.update(memoryview(buffer)[:got])
        assert disk.tell() == size
        for at in range(0, size, size // 7 + 1):
            raw.seek(at)
            assert disk.pread(THREADED, at) == raw.read(THREADED), (name, at)
        total = 0
        for extent in disk.extents():
            assert extent["start"] == total and extent["length"] > 0
            total += extent["length"]
        assert total == size
    return digest.hexdigest()


def survive(name):
    """A hostile image gives results or q2s.Error; how many calls raised."""
    calls = [lambda: q2s.info(name), lambda: q2s.map(name), lambda: q2s.check(name, decode=True),
             lambda: q2s.explain(name, 0), lambda: read_all(name)]
    raised = 0
    for call in calls:
        try:
            call()
        except q2s.Error as error:
            assert error.code and error.message and isinstance(error.errno, int), vars(error)
            raised += 1
        except ValueError as error:
            assert "is not on the disk of 0 bytes" in str(error), error
    return raised


def read_all(name):
    buffer = bytearray(1 << 20)
    with q2s.open(name, format="qcow2", follow="beside") as disk:
        disk.extents(0, 1 << 40)
        while disk.tell() < READABLE and disk.readinto(buffer):
            pass


with open("manifest.jsonl") as lines:
    manifest = [json.loads(line) for line in lines]
kinds = {}
count = {"legal": 0, "illegal": 0, "refused": 0}
for image in manifest:
    index = kinds[image["kind"]] = kinds.get(image["kind"], -1) + 1
    if sys.argv[1] != "all" and index != 0:
        continue
    if not image["legal"]:
        count["illegal"] += 1
        count["refused"] += survive(image["file"]) > 0
    elif image["virtual-size"] <= READABLE and not image.get("encrypted"):
        count["legal"] += 1
        got = content(image["file"], image["virtual-size"])
        assert got == image.get("sha256", got), image
        same_as_tools(image["file"])
os.unlink("raw")
print(count, "of", len(manifest), "images")
assert count["legal"] > 50 and count["illegal"] > 50 and count["refused"] > 40, count
