#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect safety`: the verdict on files from strangers, by findings with stable names.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires jq

# verdict STATUS IDS FILE: the exit code, and the sorted names of all findings (notes with a "~").
verdict() {
	expect_exit "$1" q2s-inspect safety --output=json "$3"
	assert_equal "$2" "$(jq -r '[.findings[] |
		if .severity == "note" then "~" + .id else .id end] | unique | join(" ")' stdout)" \
		"findings of $3"
	assert_equal "$([ "$1" = 0 ] && echo true || echo false)" "$(jq .safe stdout)" "verdict on $3"
	cp stdout json
	expect_exit "$1" q2s-inspect safety "$3"
	expect_stdout "^$3: $([ "$1" = 0 ] && echo safe || echo UNSAFE)\$"
	for id in ${2//\~/}; do
		expect_stdout "^  (unsafe|note  )  $id "
	done
}

# poked IDS OFFSET HEX [OPTION...]: an image with these bytes in its header is unsafe for this.
poked() {
	local ids=$1 at=$2 hex=$3

	shift 3
	q2s-create -q --force "$@" poked.qcow2 1G
	poke poked.qcow2 "$at" "$hex"
	verdict 2 "$ids" poked.qcow2
}

# --- safe: every kind of image that refers to nothing
for options in compat=v3 compat=v2 extended_l2=on extended_l2=on,cluster_size=2M \
	cluster_size=512 compression_type=zstd refcount_bits=1 lazy_refcounts=on; do
	q2s-create -q --force -o $options good.qcow2 1G
	case $options in
	extended_l2=*) verdict 0 '~readers-extended-l2' good.qcow2 ;;
	*=zstd) verdict 0 '~readers-zstd' good.qcow2 ;;
	*) verdict 0 '' good.qcow2 ;;
	esac
	assert_equal 1073741824 "$(jq '."virtual-size"' json)" 'virtual size'
done

# --- references, by their form
backing() {
	rm -f over.qcow2
	q2s-create -q -u -b "$2" -F raw over.qcow2 1G
	verdict 2 "$1" over.qcow2
}
backing backing-file base.raw
backing backing-file /etc/passwd
backing 'backing-file backing-json' 'json:{"driver":"file","filename":"/etc/passwd"}'
backing 'backing-file backing-protocol' nbd://example.org/x
backing backing-file ./with:colon
assert_equal 1 "$(grep -c 'with:colon' stdout)" 'the name is told'
backing backing-file $'\x1b[31mred'
! grep -q $'\x1b' stdout || fail 'an escape sequence reaches the terminal'
poke over.qcow2 112 0badcafe # hides the recorded format
verdict 2 'backing-file backing-format-missing ~extension-unknown' over.qcow2
q2s-create -q --force -o data_file=data.raw data.qcow2 1G
verdict 2 'data-file data-file-name' data.qcow2
poke data.qcow2 120 6a736f6e3a # json:
verdict 2 'data-file data-file-json data-file-name' data.qcow2
poke data.qcow2 72 0000000000000000 # the name stays, the feature goes
verdict 0 '~data-file-name-unused' data.qcow2

# --- features and states
poked dirty 72 0000000000000001
poked corrupt 72 0000000000000002
poked incompatible-unknown 72 0000000000000020
poked incompatible-unknown 72 8000000000000000
expect_stdout "unknown features that forbid opening the image: bit 63"
poked 'corrupt data-file dirty incompatible-unknown' 72 0000000000000027
poked encrypted 32 00000001
assert_equal 1 "$(jq '.findings[] | select(.id == "encrypted").found' json)" 'the value of a finding'
poked 'encrypted extension' 32 00000002 # LUKS without its header pointer
poked 'encrypted header-field' 32 00000007
q2s-create -q --force notes.qcow2 1G
poke notes.qcow2 80 00000000000000f0
poke notes.qcow2 88 00000000000000f0
verdict 0 '~autoclear-unknown ~compatible-unknown' notes.qcow2

# --- sizes and places
poked header-field 4 00000009
poked header-field 20 00000030
poked header-field 24 8000000000000000
poked header-field 24 0007ffffffffffff # needs more L1 entries than there are
poked header-field 36 00400001
poked header-field 40 0000000000000001
poked header-field 56 00000000
poked 'header-field ~snapshots' 60 00010001
poked header-field 64 0000000000000010
poked header-field 96 00000009
poked header-field 100 00000064
poked header-field 104 01
poked 'backing-file header-field' 8 0000000000020000
poked l1-past-end 40 0000000000100000
poked l1-past-end 40 7fffffffffff0000
poked refcount-table-past-end 48 0000000000100000
poked 'refcount-table-past-end tables-overlap' 56 00000080
poked tables-overlap 40 0000000000010000
poked 'snapshot-table-past-end ~snapshots' 60 0000000100000000001000000000000000000000
poked 'extension' 116 00ffffff
q2s-create -q --force -o cluster_size=2M huge.qcow2 2P
verdict 2 virtual-size huge.qcow2
expect_exit 0 q2s-inspect safety --max-size 2P huge.qcow2
expect_exit 2 q2s-inspect safety --max-size 1M good.qcow2

# --- not qcow2, and hardly qcow2
printf 'plain text' >plain
verdict 2 not-qcow2 plain
assert_equal unknown "$(jq -r .format json)" 'format of something else'
: >empty
verdict 2 not-qcow2 empty
cp good.qcow2 one.qcow2 # version 1 has other fields where ours are
poke one.qcow2 4 00000001
poke one.qcow2 8 0000000000001000
poke one.qcow2 32 0c090000
verdict 2 header-field one.qcow2
head -c 80 good.qcow2 >cut.qcow2
verdict 2 header-truncated cut.qcow2
head -c 65536 good.qcow2 >cut.qcow2
verdict 2 'l1-past-end refcount-table-past-end' cut.qcow2

# --- standard input: the same, except that a pipe has no length; and no byte more than needed
q2s-inspect safety - <good.qcow2 >out
grep -q '^-: safe' out
! q2s-inspect safety - <over.qcow2 >out || fail 'unsafe on standard input'
! q2s-inspect safety - <cut.qcow2 >out || fail 'a file on standard input has a length'
# shellcheck disable=SC2002  # a pipe is the point
cat cut.qcow2 | q2s-inspect safety - >out
for len in 104 600 65535; do # cut short within cluster 0, it has a length
	! head -c "$len" good.qcow2 | q2s-inspect safety --output=json - >json ||
		fail "safe after $len bytes"
	assert_equal 'l1-past-end,refcount-table-past-end' \
		"$(jq -r '[.findings[].id] | join(",")' json)" "a pipe of $len bytes"
done
q2s-create -q --force wide.qcow2 1G
truncate -s 1M wide.qcow2
# shellcheck disable=SC2002
cat wide.qcow2 | (q2s-inspect safety - >out; wc -c >rest)
assert_equal $((1048576 - 65536)) "$(cat rest)" 'bytes left in the pipe'
head -c 1M /dev/zero | (q2s-inspect safety - >out || :; wc -c >rest)
assert_equal $((1048576 - 512)) "$(cat rest)" 'bytes left of something else'

# --- an unknown feature by the name that the image has for it
q2s-create -q --force named.qcow2 1M
name_at=$(grep -abo 'dirty bit' named.qcow2 | head -n 1)
name_at=${name_at%%:*}
poke named.qcow2 78 02
poke named.qcow2 $((name_at - 1)) 09
printf 'frobnicated clusters' | dd of=named.qcow2 conv=notrunc bs=1 seek="$name_at" status=none
verdict 2 incompatible-unknown named.qcow2
expect_stdout "'frobnicated clusters' \\(bit 9\\)"
