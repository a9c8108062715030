#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --salvage: what can be read of a damaged image or a failing server is copied, the rest is zero, and the
# map tells which is which. Without it the same source is an error.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io jq

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk $((8 << 20)) data@0+$((6 << 20)) data@$((7 << 20))+1000

# map: of the last run, as words on one line.
map() {
	jq -r '.[] | "\(.start / 1024)k+\(.length / 1024)k:\(.state)"' map.json | xargs
}

# zeroed OFFSET LENGTH...: the disk with zeros at these places.
zeroed() {
	cp disk want
	while [ $# -gt 0 ]; do
		dd if=/dev/zero of=want bs=512 seek=$(($1 / 512)) count=$(($2 / 512)) conv=notrunc status=none
		shift 2
	done
}

options=cluster_size=64k # of the new image
# salvages IMAGE MAP [OPTION...]: as `want` in all formats, and the map is MAP; a loss is told by the exit.
salvages() {
	local image=$1 words=$2 status=2

	shift 2
	[[ $words == *lost* || $words == *zero-filled* ]] || status=0
	rm -f out map.json
	expect_exit $status q2s-stream --salvage=map.json -o "$options" "$@" "$image" out
	assert_equal "$words" "$(map)" "the map of $image"
	assert_equal "$(stat -c %s disk)" "$(jq 'map(.length) | add' map.json)" 'bytes in the map'
	qemu_check_clean out
	qemu_same_content want out
	expect_exit $status q2s-stream --salvage "$@" -O raw "$image" out.raw
	cmp out.raw want
	assert_equal "$(jq -r '.[] | select(.state != "sure") | "\(.length) bytes at guest offset \(.start) are \(.state)"' map.json)" \
		"$(sed -n 's/.*: \([0-9]* bytes at guest offset .*\)/\1/p' stderr)" 'what stderr tells'
	[ $status = 2 ] || expect_silence
	expect_exit $status q2s-stream --salvage "$@" -z -j 1 "$image" - >/dev/null
	cp stdout out
	qemu_same_content want out
	[ $status = 0 ] || expect_exit 1 q2s-stream "$@" -O raw "$image" out2
	[ ! -e out2 ] || rm out2
}

# put FILE OFFSET BYTES: of printf.
put() {
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# be64 FILE OFFSET: the number there.
be64() {
	od -An -tu8 --endian=big -j "$2" -N 8 "$1" | tr -d ' '
}

# l2_of IMAGE: where its first L2 table is.
l2_of() {
	echo $(($(be64 "$1" "$(be64 "$1" 40)") & 0xfffffffffffe00))
}

q2s-stream disk good
qemu-img convert -f raw -O qcow2 -c disk packed
cp disk want
salvages good '0k+8192k:sure'
salvages disk '0k+8192k:sure'
salvages packed '0k+8192k:sure'

l2=$(l2_of good)

# An entry that points off a cluster's start: nobody knows where the data is.
cp good bad
put bad $((l2 + 3 * 8 + 6)) '\x12'
zeroed $((3 << 16)) 65536
salvages bad '0k+192k:sure 192k+64k:lost 256k+7936k:sure'
put bad $((l2 + 4 * 8 + 6)) '\x12'
put bad $((l2 + 9 * 8 + 6)) '\x12'
zeroed $((3 << 16)) 131072 $((9 << 16)) 65536
salvages bad '0k+192k:sure 192k+128k:lost 320k+256k:sure 576k+64k:lost 640k+7552k:sure'
for options in cluster_size=512 cluster_size=2M,extended_l2=on; do
	salvages bad '0k+192k:sure 192k+128k:lost 320k+256k:sure 576k+64k:lost 640k+7552k:sure' --trust-holes
done
options=cluster_size=64k

# The end of the file is missing: the entries are good.
cp good cut
truncate -s $(($(stat -c %s good) - (2 << 20))) cut
first=$(((6 << 20) + 65536 - (2 << 20)))
zeroed $first $(((6 << 20) - first)) $((7 << 20)) 65536
salvages cut "0k+$((first >> 10))k:sure $((first >> 10))k+$(((6144 - (first >> 10))))k:zero-filled 6144k+1024k:sure 7168k+64k:zero-filled 7232k+960k:sure"

# The L1 entry points nowhere: the whole table is lost.
cp good bad
put bad "$(be64 good 40)" '\x80\x00\x7f\x00\x00\x00\x00\x00'
zeroed 0 $((8 << 20))
salvages bad '0k+8192k:lost'

# Compressed data that does not decode; what is around it does.
for _ in {1..20}; do printf '%060d\n' {1..1000}; done >text
truncate -s 1M text
qemu-img convert -f raw -O qcow2 -c text packed2
host=$(be64 packed2 $(($(l2_of packed2) + 5 * 8)))
cp packed2 bad
put bad $((host & 0xffffffffffff)) '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'
cp disk kept
cp text disk
zeroed $((5 << 16)) 65536
salvages bad '0k+320k:sure 320k+64k:zero-filled 384k+640k:sure'
cp kept disk

# A chain: the damage below shows where nothing lies above.
cp good base
qemu-img create -q -f qcow2 -b base -F qcow2 top
qemu-io -f qcow2 -c 'write -P 7 256k 64k' top >/dev/null
l2=$(l2_of base)
put base $((l2 + 3 * 8 + 6)) '\x12'
put base $((l2 + 4 * 8 + 6)) '\x12'
zeroed $((3 << 16)) 65536
head -c 65536 /dev/zero | tr '\0' '\7' | dd of=want bs=64k seek=4 conv=notrunc status=none
salvages top '0k+192k:sure 192k+64k:lost 256k+7936k:sure' -f qcow2

# A medium with bad sectors, as a server shows it: each sector for itself.
if command -v nbdkit >/dev/null && nbdkit eval --version >/dev/null 2>&1; then
	cat >pread.sh <<-'END'
		# COUNT OFFSET: fails where it touches sector 1000 to 1002, or 4096
		for bad in 1000 1001 1002 4096; do
			if [ $(($2 / 512)) -le $bad ] && [ $((($2 + $1 - 1) / 512)) -ge $bad ]; then
				echo 'EIO bad sector' >&2
				exit 1
			fi
		done
		dd if=disk skip="$2" count="$1" iflag=count_bytes,skip_bytes status=none
	END
	truncate -s 4M disk
	zeroed $((1000 * 512)) 1536 $((4096 * 512)) 512
	# shellcheck disable=SC2016 # nbdkit's variables, and its shell's
	nbdkit -U - eval get_size='echo 4194304' thread_model='echo parallel' \
		pread="cd $tmp; bash pread.sh \$3 \$4" \
		--run 'q2s-stream --salvage=map.json -O raw "$uri" out.raw; echo $? >status' >nbdkit.log 2>&1 ||
		cat nbdkit.log
	assert_equal 2 "$(cat status)" 'exit status'
	cmp out.raw want
	assert_equal '0k+500k:sure 500k+1.5k:zero-filled 501.5k+1546.5k:sure 2048k+0.5k:zero-filled 2048.5k+2047.5k:sure' \
		"$(map)" 'the map of a server'
	cp kept disk
fi

# Command lines of qemu-img convert; what does not go together; nothing of the user's is destroyed.
rm -f out
expect_exit 0 q2s-stream --salvage -f qcow2 -O raw good out
expect_silence
cmp out disk
for more in '--part 1/2' '--resume 1' '--range 0:1' '--save-plan no' -d --measure; do
	# shellcheck disable=SC2086 # words
	expect_exit 1 q2s-stream --salvage=no $more -f raw disk
	expect_stderr '--salvage'
	[ ! -e no ] || fail 'a refusal left something behind'
done
expect_exit 1 q2s-stream --compare --salvage disk disk
expect_exit 1 q2s-stream --salvage= disk no
expect_exit 1 q2s-stream --salvage=good good no
expect_stderr 'same file'
expect_exit 1 q2s-stream --salvage=no good ./no
expect_stderr 'no: --salvage: this is where the image goes'
expect_exit 1 q2s-stream --salvage good no/no
expect_exit 1 q2s-stream --salvage missing no
[ ! -e no ] || fail 'a failure left something behind'

# A cluster that is wholly behind the end of the file is an error; one of which the tail is missing is as QEMU
# has it, the rest zero, but that is said; a map tells where.
q2s-stream disk good
length=$(($(stat -c %s good) - 65536)) # the last cluster has 1000 bytes
cp good cut
truncate -s $((length - 60000)) cut
expect_exit 1 q2s-stream cut out
expect_stderr 'cut: data cluster at host offset 0x[0-9a-f]*: the file ends at'
cp good cut
truncate -s $((length + 500)) cut
qemu-img convert -f qcow2 -O raw cut qemu.raw
for how in '-O raw' '-O qcow2' '-O qcow2 -z' '-O raw -j 1'; do
	rm -f out
	# shellcheck disable=SC2086 # words
	expect_exit 0 q2s-stream $how cut out
	expect_stderr "^q2s-stream: warning: cut: its end is missing: it has $((length + 500)) bytes and ends within a cluster"
	assert_equal 1 "$(wc -l <stderr)" 'lines of the warning'
	q2s-stream --compare -F raw out qemu.raw >/dev/null || fail "not as QEMU reads it: $how"
done
expect_exit 0 q2s-stream --compare -F raw cut qemu.raw
expect_stderr 'cut: its end is missing'
expect_exit 2 q2s-stream --salvage=map.json -O raw cut out
cmp out qemu.raw
jq -e '.[1] == { start: 7340532, length: 65036, state: "zero-filled" } and length == 3' map.json >/dev/null ||
	fail "the map of a cut file: $(jq -c . map.json)"

# Not so where only what was never written is missing.
qemu-img create -q -f qcow2 -o extended_l2=on sparse 10M
qemu-io -f qcow2 -c 'write 0 4k' -c 'write 200k 1k' sparse >/dev/null
expect_exit 0 q2s-stream -O raw sparse out
expect_silence
