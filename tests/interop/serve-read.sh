#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit-q2s-plugin, read-only: QEMU and libnbd see the same disk in it as in the image.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_NBDKIT nbdkit qemu-img nbdinfo nbdcopy jq od

plugin=$Q2S_BUILD/plugins/nbdkit/.libs/nbdkit-q2s-plugin.so
random_image=$Q2S_BUILD/tests/interop/random_image

# serve ARG... --run COMMAND
serve() {
	nbdkit -U - "$plugin" "$@"
}

# map FILE, from JSON of qemu-img map or nbdinfo: which ranges read as zero, merged.
zeros() {
	jq -c '[.[] | [(.start // .offset), .length, (.zero // (.type >= 2))]]
		| reduce .[] as $e ([]; if length > 0 and .[-1][2] == $e[2]
			then .[-1][1] += $e[1] else . + [$e] end)' "$1"
}

# same IMAGE [PARAMETER...]: content and map are those that QEMU sees.
same() {
	local image=$1

	shift
	qemu-img convert -f qcow2 -O raw "$image" want.raw
	# shellcheck disable=SC2016 # nbdkit's shell knows $uri
	serve -r "$image" "$@" --run 'nbdcopy "$uri" got.raw' || fail "$image cannot be copied by its map"
	qemu_same_content want.raw got.raw raw raw
	# shellcheck disable=SC2016
	serve -r "$image" "$@" --run 'qemu-img compare -f raw -F raw want.raw "$uri"' >/dev/null ||
		fail "qemu-img sees a difference in $image"
}

for ((seed = 1; seed <= ${Q2S_SEEDS:-3}; seed++)); do
	"$random_image" "$seed" base
	head -c 3000000 base >raw
	"$random_image" "$((seed + 100000))" middle raw raw
	"$random_image" "$((seed + 200000))" lower base qcow2
	"$random_image" "$((seed + 300000))" top lower qcow2
	same base
	same middle follow=beside
	same top follow=any
done

# The map: subclusters of their own.
q2s-create -q -o extended_l2=on,cluster_size=128k -w data@4k+4k,data@256k+64k,zero@512k+8k map.qcow2 1M
# shellcheck disable=SC2016
serve -r map.qcow2 --run 'nbdinfo --map --json "$uri"' >map.json
assert_equal '[[0,4096,true],[4096,4096,false],[8192,253952,true],[262144,65536,false],[327680,720896,true]]' \
	"$(zeros map.json)" map
qemu-img map --output=json map.qcow2 >qemu.json
assert_equal "$(zeros qemu.json)" "$(zeros map.json)" "map, compared with QEMU's"

# Compressed, encrypted, with a snapshot.
q2s-stream -z -f raw want.raw compressed.qcow2
same compressed.qcow2
qemu-img create -q -f qcow2 snap.qcow2 2M
qemu-io -c 'write -P 1 0 1M' snap.qcow2 >/dev/null
qemu-img convert -O raw snap.qcow2 before.raw
qemu-img snapshot -c first snap.qcow2
qemu-io -c 'write -P 2 64k 1M' snap.qcow2 >/dev/null
# shellcheck disable=SC2016
serve -r snap.qcow2 snapshot=first --run 'nbdcopy "$uri" got.raw'
assert_same_bytes before.raw got.raw
same snap.qcow2
if grep -q '^#define HAVE_LIBGCRYPT 1$' "$Q2S_BUILD/config.h"; then
	printf abc >key
	qemu_create_luks luks.qcow2 2M
	qemu-io --object secret,id=s,data=abc --image-opts \
		-c 'write -P 3 100k 300k' driver=qcow2,file.filename=luks.qcow2,encrypt.key-secret=s >/dev/null
	truncate -s 2M want.raw
	head -c 2M /dev/zero >want.raw
	head -c 300k /dev/zero | tr '\0' '\3' | dd of=want.raw bs=1k seek=100 conv=notrunc status=none
	# shellcheck disable=SC2016
	serve -r luks.qcow2 key-file=key --run 'nbdcopy "$uri" got.raw'
	assert_same_bytes want.raw got.raw
	expect_exit 1 serve -r luks.qcow2 --run true
	expect_stderr 'encrypted by LUKS'
fi

# What cannot be served is an error of the command.
expect_exit 1 serve -r --run true
expect_stderr 'file=IMAGE is missing'
expect_exit 1 serve -r nothing.qcow2 --run true
expect_stderr 'nothing.qcow2: .*No such file'
expect_exit 1 serve -r want.raw --run true
expect_stderr 'want.raw: .*magic'
expect_exit 1 serve -r top --run true
expect_stderr 'top: '
expect_exit 1 serve -r top follow=some --run true
expect_stderr 'follow=some: use none, beside or any'
expect_exit 1 serve -r base speed=fast --run true
expect_stderr "unknown parameter 'speed'"
expect_exit 1 serve -r snap.qcow2 snapshot=second --run true
expect_stderr 'second'

# What is wrong in the image is an error of the one request, with the place in the log.
q2s-create -q -w data@0+64k,data@1M+64k broken.qcow2 2M
# be64 OFFSET: what broken.qcow2 has there
be64() {
	od -An -tu8 --endian=big -j "$1" -N 8 broken.qcow2 | tr -d ' '
}
l2=$(($(be64 "$(be64 40)") & 0xfffffffffffe00))
printf '\x80\0\0\0\0\1\2\3' | dd of=broken.qcow2 bs=1 seek="$((l2 + 128))" conv=notrunc status=none
# shellcheck disable=SC2016
expect_exit 0 serve -r broken.qcow2 --run 'qemu-io -r -f raw -c "read 0 64k" "$uri" && ! nbdcopy "$uri" got.raw'
expect_stderr 'broken.qcow2: L2 entry at host offset 0x[0-9a-f]+: '
