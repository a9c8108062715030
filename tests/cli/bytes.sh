# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Single bytes of files, for tests that damage an image or look into one. Sourced after lib.sh.

# poke FILE OFFSET HEX: overwrite the bytes at OFFSET.
poke() {
	local hex=$3 i bytes=

	for ((i = 0; i < ${#hex}; i += 2)); do
		bytes+="\\x${hex:i:2}"
	done
	printf '%b' "$bytes" | dd of="$1" bs=1 seek="$(($2))" conv=notrunc status=none
}

# peek FILE OFFSET LEN: those bytes in hexadecimal.
peek() {
	od -An -v -tx1 -j "$(($2))" -N "$3" "$1" | tr -d ' \n'
}

# field FILE OFFSET LEN: the big-endian number there.
field() {
	echo $((16#$(peek "$1" "$2" "$3")))
}
