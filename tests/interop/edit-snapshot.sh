#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit snapshot beside qemu-img snapshot: what one does on a copy, the other does on another copy, and
# QEMU finds both clean, with the same disk, the same snapshots and the same bytes in each.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

# facts IMAGE: what qemu-img info says, but for times and where things lie.
facts() {
	qemu-img info -U --output=json "$1" | jq -S 'del(.filename, ."actual-size", .children) |
		if .snapshots then .snapshots |= map(del(."date-sec", ."date-nsec")) else . end'
}

# same: ours and theirs are the same, in the disk and in each snapshot.
same() {
	local id

	qemu_check_clean ours
	q2s-inspect check -q ours >check.out || fail "$what: $(cat check.out)"
	facts theirs >theirs.facts
	facts ours >ours.facts
	assert_same_bytes theirs.facts ours.facts
	qemu_same_content theirs ours qcow2
	for id in $(qemu-img info -U --output=json ours | jq -r '(.snapshots // [])[].id'); do
		qemu-img convert -l "snapshot.id=$id" -O raw ours ours.raw
		qemu-img convert -l "snapshot.id=$id" -O raw theirs theirs.raw
		assert_same_bytes theirs.raw ours.raw
	done
}

# both VERB NAME: on both copies.
both() {
	local letter=-c

	case $1 in apply) letter=-a ;; delete) letter=-d ;; esac
	expect_exit 0 q2s-edit snapshot "$1" ours "$2"
	qemu-img snapshot $letter "$2" theirs
	same
}

# guest SPEC...: the guest writes.
guest() {
	q2s-edit write -q --follow=beside ours "$@"
	q2s-edit write -q --follow=beside theirs "$@"
}

q2s-create -q --force -w data@0+3M:77 base.qcow2 3M

rounds() {
	both create one
	guest data@100k+200k:3 data@2M+1000:4
	both create two
	guest zero@0+64k discard@1M+256k data@3M+8k:9
	both apply one
	guest data@1M+5000:6
	both create three
	both apply 2
	both delete three
	both delete one
	guest data@0+512k:8
	both delete two
	guest data@300k+300k:10
	same
}

for options in cluster_size=64k cluster_size=512,refcount_bits=64 cluster_size=4k,refcount_bits=4 \
	cluster_size=2M cluster_size=4k,compat=v2 cluster_size=16k,extended_l2=on \
	cluster_size=128k,extended_l2=on,refcount_bits=8 cluster_size=64k,lazy_refcounts=on; do
	what=$options
	q2s-create -q --force -o "$options" ours 4100000
	q2s-edit write -q ours data@0+256k:1 data@2M+1M:2
	cp ours theirs
	rounds
	q2s-create -q --force -o "$options" -b base.qcow2 -F qcow2 ours 4M
	q2s-edit write -q --follow=beside ours data@512k+512k:1
	cp ours theirs
	rounds
done

# Compressed clusters, of which many share a host cluster.
for options in cluster_size=64k cluster_size=16k,extended_l2=on,compression_type=zstd; do
	what="compressed, $options"
	q2s-create -q --force -o "$options" -w compressed@0+1M:1,data@2M+64k ours 4M
	cp ours theirs
	rounds
done

# Another size: the disk is again as long as it was.
for options in cluster_size=64k cluster_size=512; do
	what="sizes, $options"
	q2s-create -q --force -o "$options" -w data@0+1M:1 ours 1M
	cp ours theirs
	both create short
	for file in ours theirs; do
		qemu-img resize -q "$file" 70M
	done
	guest data@69M+64k:5
	both create long
	both apply short
	both apply long
	both delete short
	both apply long
done

# A width that has no room for one more reference is refused before anything is written; an image
# without clusters needs none.
for bits in 1 2; do
	q2s-create -q --force -o "cluster_size=4k,refcount_bits=$bits" -w data@0+64k ours 1M
	for ((i = 1; i <= (1 << bits) - 2; i++)); do
		expect_exit 0 q2s-edit snapshot create ours "s$i"
	done
	cp ours before
	expect_exit 1 q2s-edit snapshot create ours more
	expect_stderr "^q2s-edit: ours: .*refcount_bits=$bits"
	assert_same_bytes before ours
	qemu_check_clean ours
done

# Names and ids, as qemu-img takes them: two of one name; apply looks for the id first, delete for the
# name; but delete takes an id too.
q2s-create -q --force -w data@0+64k:1 ours 1M
for name in same same 1 'a b' ''; do
	expect_exit 0 q2s-edit snapshot create ours "$name"
done
assert_equal '1:same 2:same 3:1 4:a b 5:' \
	"$(q2s-edit snapshot list --output=json ours | jq -r '[.[] | .id + ":" + .name] | join(" ")')"
expect_exit 0 q2s-edit snapshot delete ours 1
expect_exit 0 q2s-edit snapshot delete ours 2
assert_equal '1:same 4:a b 5:' \
	"$(qemu-img info --output=json ours | jq -r '[.snapshots[] | .id + ":" + .name] | join(" ")')"
expect_exit 1 q2s-edit snapshot apply ours nobody
expect_stderr "^q2s-edit: ours: .*'nobody'"
expect_exit 1 q2s-edit snapshot delete ours nobody
expect_stderr "^q2s-edit: ours: .*'nobody'"

# The list, and qemu-img's own letters.
qemu-img snapshot -l ours | sed 's/ *[0-9-]* [0-9:]* *[0-9:.]* *[0-9]*$//' >want
q2s-edit snapshot -l ours | sed 's/ *[0-9-]* [0-9:]* *[0-9:.]* *[0-9]*$//' >got
sed -i 1,2d want got
assert_same_bytes want got
assert_equal "$(qemu-img info --output=json ours | jq -S .snapshots)" \
	"$(q2s-edit snapshot list --output=json ours | jq -S .)" "the list in JSON"
expect_exit 0 q2s-edit snapshot -c letters ours
expect_exit 0 q2s-edit snapshot -a letters ours
expect_exit 0 q2s-edit snapshot -d letters ours
qemu_check_clean ours

# With bitmaps: create and delete change no guest data, so they stay; QEMU too refuses to apply.
q2s-create -q --force -w data@0+64k:1 ours 1M
qemu-img bitmap --add ours b
expect_exit 0 q2s-edit snapshot create ours s
cp ours before
expect_exit 1 q2s-edit snapshot apply ours s
expect_stderr '^q2s-edit: ours: .*bitmaps'
assert_same_bytes before ours
expect_exit 0 q2s-edit snapshot delete ours s
qemu-img info ours | grep -q 'name: b' || fail "the bitmap is gone"
qemu_check_clean ours

# An entry that names the refcount table: what would free it is refused, as is what would count it twice.
word() { # IMAGE OFFSET: 64 bits
	printf '%u' "0x$(od -An -tx8 --endian=big -j "$2" -N 8 "$1" | tr -d ' ')"
}
q2s-create -q --force -w data@0+128k:1 ours 1M
q2s-edit snapshot create -q ours s
l2=$(($(word ours "$(word ours 40)") & 0xfffffffffffe00))
printf '\0\0\0\0%b\0\0' "\\x00\\x01" | dd of=ours bs=1 seek="$l2" conv=notrunc status=none
assert_equal 65536 "$(word ours "$l2")"
cp ours before
for verb in create apply delete; do
	expect_exit 1 q2s-edit snapshot $verb ours s
	expect_stderr '^q2s-edit: ours: .*repaired first'
	assert_same_bytes before ours
done
expect_exit 1 q2s-edit resize --shrink ours 64k
expect_stderr '^q2s-edit: ours: .*repaired first'
assert_same_bytes before ours

# Encrypted: no key is needed, and the snapshot shows what it held.
if grep -q '^#define HAVE_LIBGCRYPT 1' "$Q2S_BUILD/config.h"; then
	printf abc >key
	qemu_create_luks ours 2M
	q2s-edit write -q --key-file key ours data@0+1M:1
	q2s-stream -f qcow2 -O raw --key-file key ours first.raw
	expect_exit 0 q2s-edit snapshot create ours s
	q2s-edit write -q --key-file key ours data@0+300k:2
	expect_exit 0 q2s-edit snapshot apply ours s
	q2s-stream -f qcow2 -O raw --key-file key ours second.raw
	assert_same_bytes first.raw second.raw
	expect_exit 0 q2s-edit resize --key-file key --preallocation=metadata ours 4M
	truncate -s 4M first.raw
	q2s-stream -f qcow2 -O raw --key-file key ours third.raw
	assert_same_bytes first.raw third.raw
	expect_exit 0 q2s-edit snapshot delete ours s
	expect_exit 0 q2s-edit amend -o extended_l2=on,refcount_bits=8 ours
	expect_exit 0 q2s-edit amend --key-file key -o extended_l2=off ours
	rm third.raw
	q2s-stream -f qcow2 -O raw --key-file key ours third.raw
	assert_same_bytes first.raw third.raw
	expect_exit 0 q2s-inspect check ours
fi

# What cannot have any; what QEMU has open; --dry-run.
q2s-create -q --force -o data_file=data.raw ours 1M
expect_exit 1 q2s-edit snapshot create ours s
expect_stderr '^q2s-edit: ours: .*data file'
q2s-create -q --force -w data@0+64k:1 ours 1M
cp ours before
expect_exit 0 q2s-edit snapshot --dry-run create ours s
expect_stdout '^write [0-9]+ at 0x'
assert_same_bytes before ours
hold -f qcow2 ours
expect_exit 1 q2s-edit snapshot create ours s
expect_stderr '^q2s-edit: ours: .*lock'
let_go
assert_same_bytes before ours
