#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit amend with all pairs of keys and values, on images that refuse some of them: all of it is done,
# or nothing at all is changed.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

values=(compat=0.10 compat=1.1 refcount_bits=1 refcount_bits=64 extended_l2=on extended_l2=off
	lazy_refcounts=on data_file=other data_file= data_file_raw=off size=2M size=512k backing_file=base
	backing_fmt=qcow2)

# sets VALUE: the facts of the image are those that it asked for.
sets() {
	local key=${1%%=*} want=${1#*=} got

	case $key in
	compat) got=$(jq -r '."format-specific".data.compat' facts) ;;
	size) got=$(jq -r '."virtual-size"' facts) want=2097152 ;;
	backing_file) got=$(jq -r '."backing-filename" // ""' facts) ;;
	backing_fmt) got=$(jq -r '."backing-filename-format" // ""' facts) ;;
	refcount_bits) got=$(jq -r '."format-specific".data."refcount-bits"' facts) ;;
	data_file) got=$(jq -r '."format-specific".data."data-file" // ""' facts) ;;
	*)
		got=$(jq -r '."format-specific".data."'"${key//_/-}"'" // false' facts)
		[ "$want" = on ] && want=true || want=false
		;;
	esac
	[ "$got" = "$want" ] || fail "$kind, $list: $key is $got"
}

# try LIST VALUE...: on a copy of `made`.
try() {
	local status=0 value

	list=$1
	shift
	cp made disk
	q2s-edit amend -q --follow=beside ${key:+"$key"} -o "$list" disk >out 2>err || status=$?
	case $status in
	0)
		done=$((done + 1))
		q2s-inspect info --output=json disk >facts
		q2s-inspect check -q disk >check.out || fail "$kind, $list: $(cat check.out)"
		for value; do
			sets "$value"
		done
		;;
	1)
		refused=$((refused + 1))
		cmp made disk || fail "$kind, $list: refused, and something changed"
		[ -s err ] || fail "$kind, $list: refused without a word"
		;;
	*) fail "$kind, $list: exit $status: $(cat err)" ;;
	esac
}

# pairs KIND [EVERY]: alone, and each (or one in EVERY) with each of another key.
pairs() {
	local a b count=0

	kind=$1 done=0 refused=0
	for ((a = 0; a < ${#values[@]}; a++)); do
		try "${values[a]}" "${values[a]}"
		for ((b = a + 1; b < ${#values[@]}; b++)); do
			[ "${values[a]%%=*}" = "${values[b]%%=*}" ] || ((++count % ${2:-1})) ||
				try "${values[a]},${values[b]}" "${values[a]}" "${values[b]}"
		done
	done
	[ $done -gt 0 ] || fail "$kind: everything is refused"
	[ $refused -gt 0 ] || fail "$kind: nothing is refused"
}

head -c 300000 /dev/urandom >base
truncate -s 1M base
cp base other
key=
make() {
	rm -f made data
	qemu-img create -q -f qcow2 "$@" made 1M
	q2s-edit write -q --follow=beside ${key:+"$key"} made data@64k+40k:1 zero@256k+128k data@1000k+10k:2
}

make -o cluster_size=16k
q2s-edit bitmap add -q made b
pairs bitmaps 2
make -o cluster_size=16k
q2s-edit snapshot create -q made s
q2s-edit write -q made data@64k+8k:3 zero@512k+64k
pairs snapshots 2
make -o cluster_size=16k,data_file=data
pairs "data file" 3
make -o cluster_size=16k,data_file=data,data_file_raw=on
pairs 'raw data file' 3
qemu-img convert -c -O qcow2 -o cluster_size=16k base made
pairs compressed 3
make -o cluster_size=16k -b base -F raw
pairs backing 2
make -o cluster_size=16k,extended_l2=on -b base -F raw
q2s-edit write -q --follow=beside made data@700k+1k:4 zero@710k+2k
pairs "extended, backing" 2
make -o cluster_size=4k,compat=0.10
pairs 'version 2' 2
if q2s-create --version | grep -q gcrypt; then
	printf secret >secret
	key=--key-file=secret
	rm -f made
	q2s-create -q --key-file=secret -o encrypt.format=luks,encrypt.iter-time=10 made 1M
	q2s-edit write -q $key made data@64k+40k:1
	pairs encrypted 6 # its key takes a while
fi
