#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect diff`: what QEMU did to an image is named as what it was, no byte that the guest reads
# otherwise is left out, and the changes of entries and refcounts are those between two dumps.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq cmp

# explained WANT [OPTION...]: the operations from before.qcow2 to after.qcow2, as
# "ID OFFSET+LENGTH [FIRST-LAST]", each a line.
explained() {
	local want=$1 got

	shift
	q2s-inspect diff --output=json "$@" before.qcow2 after.qcow2 >diff.json ||
		fail "diff: exit $?"
	got=$(jq -r '.operations[] | .operation + if has("length") then
		" \(."guest-offset")+\(.length)" else "" end +
		if has("first-byte") then " \(."first-byte")-\(."last-byte")"
		elif ."reads-the-same" then " same" else "" end' diff.json)
	assert_equal "$want" "$got" "what explains it"
}

# step CMD...: after.qcow2 becomes before.qcow2, and is changed.
step() {
	cp after.qcow2 before.qcow2
	"$@"
}

# --- each operation of QEMU, on extended L2 entries, without and with a backing file
qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=64k after.qcow2 8M
step io after.qcow2 'write -P 1 5000 100'
explained 'write 4096+2048 5000-5099'
step io after.qcow2 'write -P 2 5050 10' 'write -P 3 8k 2k'
explained 'write 4096+2048 5050-5059
write 8192+2048 8192-10239'
step io after.qcow2 'write -P 4 1M 128k' 'write -P 5 3M 1'
explained 'write 1048576+131072 1048576-1179647
write 3145728+2048 3145728-3145728'
step io after.qcow2 'write -z 1M 8k'
explained 'write-zeroes 1048576+8192 1048576-1056767'
step io after.qcow2 'discard 1088k 64k'
explained 'discard 1114112+65536 1114112-1179647'
step io after.qcow2 'write -c -P 6 2M 64k'
explained 'write-compressed 2097152+65536'
step io after.qcow2 'write -P 7 2101000 5'
explained 'write 2097152+65536'
step qemu-img snapshot -c one after.qcow2
explained 'snapshot create'
step io after.qcow2 'write -P 8 4k 512'
explained 'write 4096+2048 4096-4607' # and not what was copied along
step qemu-img snapshot -a one after.qcow2
explained 'snapshot apply'
step qemu-img snapshot -d one after.qcow2
explained 'snapshot delete'
step qemu-img resize -q after.qcow2 16M
explained 'resize'
step qemu-img bitmap --add after.qcow2 bits
explained 'bitmap add'
step qemu-img bitmap --remove after.qcow2 bits
explained 'bitmap remove'
step true
explained ''
expect_exit 0 q2s-inspect diff before.qcow2 after.qcow2
expect_stdout '^no difference$'

qemu-img create -q -f raw base.raw 1M
qemu-img create -q -f qcow2 -b base.raw -F raw after.qcow2
step io after.qcow2 'write -z 64k 64k'
explained 'write-zeroes 65536+65536'
step io after.qcow2 'write -P 1 64k 1k'
explained 'write 65536+65536 65536-66559'
step qemu-img commit -q after.qcow2
explained 'commit'
step qemu-img rebase -u -b '' after.qcow2
explained 'rebase'

# --- a write in place needs the bytes; without them nothing is read but metadata
q2s-create -q --force -w data@0+64k after.qcow2 1M
step io after.qcow2 'write -P 1 100 1'
explained 'write 0+65536 100-100'
explained '' --no-data
expect_exit 0 q2s-inspect diff --no-data before.qcow2 after.qcow2
expect_stdout '^no difference in the metadata$'

# --- what a crash leaves: the refcount rose, and the entry is not there
q2s-create -q --force after.qcow2 1M
step io after.qcow2 'write 0 64k'
l2=$(q2s-inspect dump --only l2 --output=json after.qcow2 | jq '.l2[0].offset')
poke after.qcow2 "$l2" 0000000000000000
explained 'leak'
expect_exit 0 q2s-inspect diff before.qcow2 after.qcow2
expect_stdout 'the refcounts of 1 cluster rose, the first at 0x50000, and nothing refers'
poke after.qcow2 "$l2" 8000000000000200
explained 'leak
damage 0+65536'

# --- a new place for what was not shared; and counts of another size
q2s-create -q --force -w data@0+64k:1 after.qcow2 1M
step io after.qcow2 'discard 0 64k' 'write -P 2 64k 64k' 'write -P 3 0 64k'
explained 'write 0+65536 0-65535
write 65536+65536 65536-131071'
expect_exit 0 q2s-inspect diff before.qcow2 after.qcow2
expect_stdout 'data at 0x50000, COPIED -> data at 0x60000, COPIED'
expect_stdout 'though the old one was not shared'
for changed in refcount_bits=64 extended_l2=on; do
	q2s-create -q --force -w data@0+64k:1 before.qcow2 1M
	q2s-create -q --force -o $changed -w data@0+64k:1 after.qcow2 1M
	explained amend
	expect_exit 0 q2s-inspect diff before.qcow2 after.qcow2
	expect_stdout 'have another size now, and were not compared$'
done
assert_equal '[false,true]' "$(jq -c '[."l2-compared", ."refcounts-compared"]' diff.json)" 'what was compared'

# --- random operations: no changed byte of the guest's is missing, and the metadata is that of dumps
# guest_bytes IMAGE RAW
guest_bytes() {
	qemu-img convert -f qcow2 -O raw "$1" "$2"
}
dumped() {
	q2s-inspect dump --only "l1,l2,refcounts" --output=json "$1" >dump.json
	jq -c '[.l1[0].entries[]? | ["l1", .index, .raw]], [.l2[] | .entries[]? |
		["l2", .guest, .raw, .bitmap]] | .[]' dump.json | sort
}
RANDOM=7
for options in cluster_size=4k extended_l2=on,cluster_size=16k,refcount_bits=1 compat=0.10,cluster_size=512; do
	rm -f after.qcow2
	qemu-img create -q -f qcow2 -o "$options" after.qcow2 1M
	for ((round = 0; round < 12; round++)); do
		commands=()
		for ((i = 0; i < 6; i++)); do
			at=$((RANDOM * 29 % 1000000 / 512 * 512)) len=$((RANDOM % 40000 / 512 * 512 + 512))
			[ $((at + len)) -le 1048576 ] || len=512
			case $((RANDOM % 4)) in
			0 | 1) commands+=("write -P $((RANDOM % 255 + 1)) $at $len") ;;
			2) commands+=("write -z $at $len") ;;
			3) commands+=("discard $at $len") ;;
			esac
		done
		guest_bytes after.qcow2 a.raw
		step io after.qcow2 "${commands[@]}"
		guest_bytes after.qcow2 b.raw
		q2s-inspect diff --output=json --max 1000000 before.qcow2 after.qcow2 >diff.json
		{ cmp -l a.raw b.raw || :; } | awk '{ print $1 - 1 }' >differ
		jq -r '.operations[] | select(has("first-byte")) | "\(."first-byte") \(."last-byte")"' diff.json |
			sort -n >ranges
		awk 'NR == FNR { first[NR] = $1; last[NR] = $2; n = NR; next }
			{ while (i <= n && (!i || last[i] < $1)) i++; if (i > n || first[i] > $1) { print; exit 1 }
			hit[i, $1] = 1 }
			END { for (i = 1; i <= n; i++) if (!((i, first[i]) in hit) || !((i, last[i]) in hit)) exit 2 }' \
			ranges differ >missing || fail "ranges of guest bytes ($?): $(cat missing) ${commands[*]}"
		# exactly the entries that changed
		dumped before.qcow2 >a.dump
		dumped after.qcow2 >b.dump
		assert_equal "$({ diff a.dump b.dump || :; } | sed -n 's/^[<>] \["l2",\([0-9]*\),.*/\1/p' | sort -nu | xargs)" \
			"$(jq -r --argjson cs "$(q2s-inspect info --output=json after.qcow2 | jq '."cluster-size"')" \
				'.l2[] | range(.entries) as $i | ."guest-offset" + $i * $cs' diff.json | sort -nu | xargs)" \
			'guest clusters whose entries changed'
	done
done

# --- two images, and other states that do not fit
q2s-create -q -o cluster_size=4k small.qcow2 1M
expect_exit 1 q2s-inspect diff before.qcow2 small.qcow2
expect_stderr 'cluster_bits: 9 before and 12 after: these are not two states of one image'
expect_exit 1 q2s-inspect diff before.qcow2 base.raw
expect_stderr '^q2s-inspect: base.raw: '
expect_exit 1 q2s-inspect diff nowhere small.qcow2
expect_stderr '^q2s-inspect: nowhere: '

# --- no more than asked for, the rest counted
q2s-create -q --force after.qcow2 64M
step io after.qcow2 'write 0 64k' 'write 1M 64k' 'write 2M 64k' 'write 3M 64k'
q2s-inspect diff --max 3 --output=json before.qcow2 after.qcow2 >diff.json
assert_equal '[3,1,3,1]' "$(jq -c '[(.l2 | length), ."l2-omitted", (.operations | length), ."operations-omitted"]' \
	diff.json)" 'items and omitted ones'
expect_exit 0 q2s-inspect diff --max 3 before.qcow2 after.qcow2
expect_stdout '^   and 1 more$'

# --- 1 TiB, all of it mapped
q2s-create -q --force -o preallocation=metadata after.qcow2 1T
step true
rm before.qcow2
cp --sparse=always after.qcow2 before.qcow2
io after.qcow2 'write -P 5 100G 3k' 'write -P 6 500G 1M'
explained "write $((100 << 30))+65536 $((100 << 30))-$(((100 << 30) + 3071))
write $((500 << 30))+1048576 $((500 << 30))-$(((500 << 30) + 1048575))"
