#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples do what they say, and include nothing of ours but public headers.

. "$Q2S_SRC/tests/cli/lib.sh"

examples=$Q2S_BUILD/examples

for file in "$Q2S_SRC"/examples/*.c; do
	! grep -n '#include "' "$file" || fail "$file includes what a program elsewhere does not have"
	[ "$(wc -l <"$file")" -le 90 ] || fail "$file is no short example"
done

# 3 MiB that compress, some that do not, a hole, and 100 odd bytes
yes 'a line of text' | head -c 3145728 >disk.raw || true
head -c 300000 /dev/urandom >>disk.raw
truncate -s 4M disk.raw
yes 'the end' | head -c 100 >>disk.raw || true
size=$(stat -c %s disk.raw)
truncate -s $(((size + 511) / 512 * 512)) disk.raw

# ---- read: a chain at an offset
q2s-stream disk.raw base.qcow2
q2s-create -q -F qcow2 -b base.qcow2 --write data@64k+64k:0x41 top.qcow2
expect_exit 0 "$examples/read" top.qcow2 65530 12
{ dd if=disk.raw bs=1 skip=65530 count=6 status=none; printf AAAAAA; } >expected
"$examples/read" top.qcow2 65530 12 >got
cmp expected got
expect_exit 1 "$examples/read" missing 0 1
expect_stderr '^read: missing: file: cannot be opened'

# ---- walk: what lies where
"$examples/walk" top.qcow2 >got
[ "$(awk '{ n += $2 } END { print n }' got)" = "$(stat -c %s disk.raw)" ] || fail 'walk: not the whole disk'
grep -Eq '^65536 65536 data top.qcow2 [0-9]+$' got || fail 'walk: not the cluster of the top'
grep -Eq '^[0-9]+ [0-9]+ data base.qcow2 [0-9]+$' got || fail 'walk: not what lies below'

# ---- compare: with an oracle
expect_exit 0 "$examples/compare" base.qcow2 disk.raw
expect_exit 1 "$examples/compare" top.qcow2 disk.raw
expect_stdout '^they differ at 65536$'
expect_exit 2 "$examples/compare" disk.raw disk.raw
expect_stderr '^compare: '

# ---- store: an image in two files, cut anywhere
for cut in 1 65536 100001; do
	head -c "$cut" base.qcow2 >first
	tail -c +$((cut + 1)) base.qcow2 >second
	"$examples/store" first second >got
	cmp disk.raw got
done

# ---- the program of the man page
read -ra cc <<<"${CC:-cc}"
so=$Q2S_BUILD/lib/.libs/libq2s.so
if [ -e "$so" ] && ! grep -q 'define HAVE_SANITIZERS' "$Q2S_BUILD/config.h"; then
	sed -n '/^#include <stdio.h>/,/^\.fi/p' "$Q2S_SRC/doc/libq2s.3" |
		sed '$d; s/\\e/\\/g; s/\\&//g' >backup.c
	"${cc[@]}" -std=c11 -Wall -Wextra -Werror -I"$Q2S_SRC/include" -o backup backup.c "$so" \
		-Wl,-rpath,"${so%/*}"
	expect_exit 0 ./backup base.qcow2 full.qcow2
	expect_exit 0 ./backup top.qcow2 diff.qcow2 full.qcow2
	expect_exit 1 ./backup top.qcow2 diff.qcow2 full.qcow2
	expect_stderr '^backup: .*exists'
	[ "$(stat -c %s diff.qcow2)" -lt "$(stat -c %s full.qcow2)" ] || fail 'backup: no difference'
	"$examples/read" diff.qcow2 65530 12 >got
	cmp expected got
	[ ! -e "$(command -v qemu-img)" ] || qemu-img compare -q top.qcow2 diff.qcow2
fi

# ---- send: a compressed image down a socket
requires python3
cat >receive.py <<'END'
import shutil, socket, subprocess, sys

ours, theirs = socket.socketpair()
sender = subprocess.Popen([sys.argv[1], "disk.raw", str(theirs.fileno())],
			  pass_fds=[theirs.fileno()], stdout=open("length", "w"))
theirs.close()
with ours.makefile("rb") as stream, open("sent.qcow2", "wb") as out:
	shutil.copyfileobj(stream, out)
sys.exit(sender.wait())
END
expect_exit 0 python3 receive.py "$examples/send"
[ "$(cat length)" = "$(stat -c %s sent.qcow2)" ] || fail 'send: another length than was said'
expect_exit 0 "$examples/compare" sent.qcow2 disk.raw
[ "$(stat -c %s sent.qcow2)" -lt 1000000 ] || fail 'send: nothing is compressed'
