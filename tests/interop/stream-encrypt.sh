#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# -o encrypt.format=luks: the image that is streamed is encrypted on its way out, QEMU opens it with the
# key and reads what the source shows, and its length is known before its first byte.

# shellcheck disable=SC2002 # a pipe is what is meant
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io jq HAVE_LIBGCRYPT

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk $((20 << 20)) data@0+100000 zero@$((1 << 20))+200000 data@$((5 << 20))+3000000 \
	"data@$((15 << 20))+1" "data@$(((20 << 20) - 5000))+5000"
cp disk odd
truncate -s $(((20 << 20) + 700)) odd
printf x | dd of=odd bs=1 seek=$(((20 << 20) + 699)) conv=notrunc status=none
printf 'pass wörd' >key
printf 'another' >key2
secret=(--object 'secret,id=s,file=key')
luks=encrypt.format=luks,encrypt.iter-time=0

opened() {
	echo "driver=qcow2,file.filename=$1,encrypt.key-secret=s"
}

# good IMAGE SOURCE WHAT [FORMAT]: QEMU reads the same from both, and both checkers are content.
good() {
	qemu-img compare "${secret[@]}" --image-opts "$(opened "$1")" \
		"driver=${4:-raw},file.filename=$2" >compare.log 2>&1 || fail "$3: $(cat compare.log)"
	qemu-img check -q "${secret[@]}" --image-opts "$(opened "$1")" >check.log 2>&1 ||
		fail "$3: $(cat check.log)"
	expect_exit 0 q2s-inspect check "$1"
}

# Nothing of what the disk holds is in the file in plain.
printf '%.0sa secret of the guest. ' {1..5000} | dd of=disk conv=notrunc bs=1M seek=6 status=none
q2s-stream -o $luks --key-file key disk >out
! grep -aq 'a secret of the guest' out || fail 'it is not encrypted'
q2s-stream disk >out
grep -aq 'a secret of the guest' out || fail 'the test proves nothing'

for options in cluster_size=64k compat=v2 cluster_size=512 cluster_size=2M extended_l2=on refcount_bits=1 \
	preallocation=metadata preallocation=falloc,cluster_size=4k preallocation=full,extended_l2=on \
	size=30M encrypt.cipher-alg=serpent-192 encrypt.cipher-alg=twofish-128,encrypt.ivgen-alg=essiv \
	encrypt.cipher-mode=cbc,encrypt.hash-alg=sha512; do
	for source in disk odd; do
		rm -f out
		cp $source want
		[ "$options" != size=30M ] || truncate -s 30M want
		q2s-stream -o "$luks,$options" --encrypt-key-file key $source out
		good out want "$options"
		assert_equal "exact length: $(stat -c %s out)" \
			"$(q2s-stream --measure -o "$luks,$options" $source | tail -n 1)" "length with $options"
		truncate -s %512 want
		q2s-stream -O raw --key-file key out | cmp - want ||
			fail "$options: not what q2s-stream reads itself"
	done
	qemu-io "${secret[@]}" --image-opts "$(opened out)" -c 'write -P 9 3000k 100k' \
		-c 'read -P 9 3000k 100k' -c 'write -P 8 1100k 1k' -c 'read -P 8 1100k 1k' \
		-c 'read -P 0 1110k 10k' -c 'write -z 100k 9k' >io.log
	! grep -iE 'error|failed' io.log || fail "$options: QEMU cannot write to it: $(cat io.log)"
	qemu-img check -q "${secret[@]}" --image-opts "$(opened out)"
done

# Into a pipe, from a pipe, with the length before; nobody can make the same bytes again.
q2s-stream -o $luks --key-file key --size-fd 3 disk 3>length >out
assert_equal "$(stat -c %s out)" "$(cat length)" 'promised length'
good out disk 'into a pipe'
cat disk | q2s-stream -o $luks --key-file key - out2
good out2 disk 'from a pipe'
assert_equal "$(stat -c %s out)" "$(stat -c %s out2)" 'length of the same disk'
! cmp -s out out2 || fail 'two runs have the same keys'
q2s-stream -o $luks --key-file key -j 1 --digest md5 --limit-rate 100M disk out 2>/dev/null
good out disk 'one thread'

# What was zero behind the end of the disk is zero when the disk becomes larger.
qemu-img resize -q "${secret[@]}" --image-opts "$(opened out)" 21M
cp odd want
rm -f out
truncate -s 20481k want
q2s-stream -o "$luks,cluster_size=2M" --key-file key want out
qemu-img resize -q "${secret[@]}" --image-opts "$(opened out)" 22M
truncate -s 22M want
good out want 'a larger disk'

# From one key to another, and as a difference; clusters that are the same.
rm -f out
q2s-stream -o $luks --key-file key disk first
q2s-stream -o $luks --key-file key --encrypt-key-file key2 first second
q2s-stream -O raw --key-file key2 second | cmp - disk
expect_exit 1 q2s-stream -O raw --key-file key second
expect_stderr 'the key is wrong'
q2s-stream disk base.qcow2
cp disk changed
"$make_disk" piece 300000 data@0+300000
dd if=piece of=changed conv=notrunc bs=1M seek=9 status=none
for options in cluster_size=64k extended_l2=on; do
	rm -f out
	q2s-stream -b base.qcow2 -F qcow2 -o "$luks,$options" --key-file key changed out
	good out changed "a difference, $options"
	[ "$(stat -c %s out)" -lt 4000000 ] || fail 'the difference holds all of the disk'
done
cat piece piece piece piece >twice
truncate -s 1M twice
cat twice twice twice twice >many
for options in cluster_size=64k cluster_size=512; do
	q2s-stream --dedup -o "$luks,$options" --key-file key many out
	q2s-stream -o "$luks,$options" --key-file key many out2
	[ "$(stat -c %s out)" -lt "$(($(stat -c %s out2) - 2000000))" ] || fail 'nothing is shared'
	good out many "shared clusters, $options"
done
q2s-stream --bitmap b -o $luks --key-file key disk out
good out disk 'with a bitmap'

# --- what qemu-img measures and says

numbers() {
	sed -n 's/.*"\(required\|fully-allocated\)": \([0-9]*\).*/\1 \2/p' | sort
}
truncate -s 20M empty
for options in cluster_size=64k cluster_size=4k,extended_l2=off cluster_size=2M; do
	assert_equal "$(qemu_again qemu-img measure "${secret[@]}" -f raw -O qcow2 --output=json \
		-o "encrypt.format=luks,encrypt.key-secret=s,$options" empty | numbers)" \
		"$(q2s-stream -f raw --measure --output=json -o "$luks,$options" empty | numbers)" \
		"measure with $options"
done
described() {
	qemu-img info --output=json "$1" | jq -S '[.encrypted, (."format-specific".data |
		.encrypt |= (del(.uuid, ."master-key-iters") | .slots |= map(del(.iters))))]'
}
rm -f theirs
qemu_again qemu-img convert -q "${secret[@]}" -f raw -O qcow2 \
	-o "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10" disk theirs
q2s-stream -o $luks --key-file key disk out
assert_equal "$(described theirs)" "$(described out)" 'what QEMU says'
good theirs disk 'of qemu-img'

# --- what is refused

refused() {
	local why=$1

	shift
	expect_exit 1 q2s-stream "$@"
	expect_stderr "$why"
	[ ! -e no ] || fail "a refusal left something behind: $*"
}

refused 'encrypt.format needs a passphrase: --encrypt-key-file' -o $luks disk no
refused '--encrypt-key-file needs -o encrypt.format=luks' --encrypt-key-file key disk no
refused 'encrypt.format: is missing' -o encrypt.iter-time=10 --key-file key disk no
refused 'encrypt.key-secret: there are no secret objects here' -o $luks,encrypt.key-secret=s disk no
refused '-z and encryption exclude each other' -z -o $luks --key-file key disk no
refused '-d uses SOURCE as it is' -d -o $luks --key-file key disk no
refused 'data_file_raw: an encrypted data file' -R -o $luks --key-file key disk no
refused 'needs compat=v3' -o $luks,compat=v2,preallocation=metadata --key-file key disk no
refused 'profile: portable does not go with encryption' -o $luks,profile=portable --key-file key disk no
refused '-O raw takes no options of a qcow2 image, such as encrypt.format' -O raw -o $luks --key-file key disk no
for option in --range=0:512 --resume=512 --part=1/2; do
	refused 'each run makes new keys' $option -o $luks --key-file key disk no
done
refused 'is not kept' --save-plan no -o $luks --key-file key disk no
refused '^q2s-stream: missing: key file: cannot be opened' -o $luks --encrypt-key-file missing disk no
printf '\377' >bad
refused 'bad: key file: is no text in UTF-8' -o $luks --encrypt-key-file bad disk no
refused 'key: output: .*same file|same file' -o $luks --encrypt-key-file key disk key
assert_equal 'pass wörd' "$(cat key)" key
