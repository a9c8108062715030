#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The corpus: QEMU finds each image as the manifest says, and reads the content whose digest is
# there; making it again gives the same bytes.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img sha256sum

q2s-create -q --corpus corpus
cd corpus

# field NAME: a value of the manifest's line in $line.
field() {
	sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$line"
}

count=0
while read -r line; do
	file=$(field file)
	[ -f "$file" ] || fail "$file is not there"
	qemu_check_clean "$file"
	assert_equal "$(field virtual-size)" "$(qemu_virtual_size "$file" qcow2)" "size of $file"
	digest=$(field sha256)
	if [ -n "$digest" ]; then
		qemu-img convert -f qcow2 -O raw "$file" ../raw
		assert_equal "$digest  ../raw" "$(sha256sum ../raw)" "digest of $file"
	fi
	count=$((count + 1))
done <manifest.jsonl
[ "$count" -gt 400 ] || fail "only $count images"

# The command is how it was made; here, where its backing file is.
mkdir ../by-hand
cp base.qcow2 ../by-hand
while read -r line; do
	file=$(field file)
	command=$(sed -n 's/.*"command": "\([^"]*\)".*/\1/p' <<<"$line")
	[ "$file" != base.qcow2 ] || continue
	(cd ../by-hand && eval "$command") || fail "$command"
	assert_same_bytes "$file" "../by-hand/$file"
	rm -f "../by-hand/$file" ../by-hand/*.data
done < <(grep -E 'backed|data-file|extended-64k|kept|tables|size-|v2-4k' manifest.jsonl)

# All of it is the same each time.
cd ..
mkdir again
q2s-create -q --corpus again/
diff -r corpus again || fail "the second corpus differs"

echo "$count images"
