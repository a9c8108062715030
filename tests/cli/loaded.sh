#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libnbd, libcurl and libgcrypt are loaded by what needs them, and not before; where they cannot be, that is
# said.

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
	! grep -E 'libnbd|libgnutls|libxml2|libgcrypt|libcurl|libssl' loaded || fail "loaded by $cmd"
done

so=$Q2S_BUILD/lib/.libs/libq2s.so
[ -e "$so" ] || so=$(command -v q2s-stream)

# refused CMD...: CMD fails, and makes nothing, with the file that is in lib in the place of $name.
refused() {
	LD_LIBRARY_PATH=$tmp/lib:$LD_LIBRARY_PATH expect_exit 1 "$@" none.qcow2
	expect_stderr "$name cannot be loaded: .*lib/$name: "
	[ ! -e none.qcow2 ] || fail "an image was left behind"
}

# is_loaded_by LIBRARY FEATURE CMD...: CMD loads it, and says so when it cannot; and whoever makes
# a package learns of it.
is_loaded_by() {
	local macro=SONAME_${1^^} feature=$2

	grep -q "^#define HAVE_${1^^} 1\$" "$Q2S_BUILD/config.h" || return 0
	name=$(sed -n "s/^#define $macro \"\(.*\)\"\$/\1/p" "$Q2S_BUILD/config.h")
	shift 2
	loads "$@" some.out
	rm -f some.out
	grep -qFx "$name" loaded || fail "$name is not loaded by $*: $(cat loaded)"

	rm -rf lib
	mkdir lib
	echo 'no library' >"lib/$name"
	refused "$@"
	LD_LIBRARY_PATH=$tmp/lib:$LD_LIBRARY_PATH expect_exit 0 q2s-stream disk.raw here.qcow2
	assert_same_bytes disk.qcow2 here.qcow2
	# too old, or something else
	echo 'int nobody_calls_this(void) { return 0; }' >old.c
	"${cc[@]}" -shared -o "lib/$name" old.c
	refused "$@"
	expect_stderr "$name: undefined symbol: "

	expect_exit 0 readelf -d "$so"
	! grep -F "[$name]" stdout || fail "$name is linked"
	readelf -n "$so" >stdout || : # an old one fails, as it does not know the type
	expect_stdout '^ +FDO .*(0x407c0c0a|DLOPEN)'
	expect_exit 0 readelf -p .note.dlopen "$so"
	expect_stdout "\[\{\"soname\":\[\"$name\"\],\"feature\":\"$feature\",.*\}\]$"
}

read -ra cc <<<"${CC:-cc}"
uri="nbd+unix:///?socket=$tmp/none"
is_loaded_by libnbd nbd q2s-stream "$uri"
is_loaded_by libnbd nbd q2s-stream -b "$uri" -F raw disk.raw
is_loaded_by libcurl curl q2s-stream http://127.0.0.1:1/x
is_loaded_by libcurl curl q2s-stream --layers http://127.0.0.1:1/x
is_loaded_by libgcrypt gcrypt q2s-stream --digest=sha256 disk.raw
luks=size=1M,encrypt.format=luks,encrypt.iter-time=0
echo -n abc >key
is_loaded_by libgcrypt gcrypt q2s-create --key-file key -o "$luks"
if grep -q '^#define HAVE_LIBGCRYPT 1$' "$Q2S_BUILD/config.h"; then
	q2s-create --key-file key -o "$luks" luks.qcow2
	is_loaded_by libgcrypt gcrypt q2s-stream --key-file key luks.qcow2
fi
