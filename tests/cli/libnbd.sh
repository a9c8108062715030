#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libnbd is loaded when an NBD disk is opened, and not before; where it cannot be, that is said.

. "$Q2S_SRC/tests/cli/lib.sh"
requires readelf

# loads CMD...: what the loader opened while CMD ran, to $tmp/loaded, one file a line.
loads() {
	rm -f ld.*
	LD_DEBUG=files LD_DEBUG_OUTPUT=$tmp/ld "$@" >/dev/null 2>&1 || true
	cat ld.* | sed -n 's/.*[[:space:]]file=\([^ ]*\) \[0\];  generating link map$/\1/p' >loaded
	grep -q '^libc\.so' loaded || skip "the loader does not say what it loads"
}

truncate -s 1M disk.raw
q2s-stream disk.raw disk.qcow2
for cmd in 'q2s-create new.qcow2 1M' 'q2s-stream disk.raw' 'q2s-stream -O raw disk.qcow2 out.raw' \
	'q2s-stream --version' 'q2s-inspect map disk.qcow2' 'q2s-inspect check disk.qcow2'; do
	# shellcheck disable=SC2086 # its words
	loads $cmd
	! grep -E 'libnbd|libgnutls|libxml2' loaded || fail "loaded by $cmd"
done

requires HAVE_LIBNBD
name=$(sed -n 's/^#define LIBNBD_SONAME "\(.*\)"$/\1/p' "$Q2S_BUILD/config.h")
uri="nbd+unix:///?socket=$tmp/none"
loads q2s-stream "$uri"
grep -qFx "$name" loaded || fail "not loaded for $uri: $(cat loaded)"

# without CMD...: CMD with the file that is in the folder lib in the place of libnbd.
without() {
	LD_LIBRARY_PATH=$tmp/lib:$LD_LIBRARY_PATH expect_exit 1 "$@" none.qcow2
	[ ! -e none.qcow2 ] || fail "an image was left behind"
}
mkdir lib
echo 'no library' >"lib/$name"
without q2s-stream "$uri"
expect_stderr "^q2s-stream: nbd\+unix:.*/none: NBD: $name cannot be loaded: .*lib/$name: .+"
without q2s-stream -b "$uri" -F raw disk.raw
expect_stderr "NBD: $name cannot be loaded: "
LD_LIBRARY_PATH=$tmp/lib:$LD_LIBRARY_PATH expect_exit 0 q2s-stream disk.raw here.qcow2
assert_same_bytes disk.qcow2 here.qcow2

# One that is too old, or something else.
read -ra cc <<<"${CC:-cc}"
echo 'int nbd_create(void) { return 0; }' >old.c
"${cc[@]}" -shared -o "lib/$name" old.c
without q2s-stream "$uri"
expect_stderr "NBD: $name cannot be loaded: .*undefined symbol: nbd_"

# Whoever makes a package learns of it.
so=$Q2S_BUILD/lib/.libs/libq2s.so
if [ ! -e "$so" ]; then
	so=$(command -v q2s-stream)
fi
expect_exit 0 readelf -d "$so"
! grep -F "[$name]" stdout || fail "linked"
readelf -n "$so" >stdout || : # an old one fails, as it does not know the type
expect_stdout '^ +FDO .*(0x407c0c0a|DLOPEN)'
expect_exit 0 readelf -p .note.dlopen "$so"
expect_stdout "\[\{\"soname\":\[\"$name\"\],\"feature\":\"nbd\",.*\}\]$"
