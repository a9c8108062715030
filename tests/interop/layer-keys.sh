#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A chain in which each layer has a passphrase of its own, wherever a tool takes a key.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io HAVE_LIBGCRYPT

printf one >key1
printf two >key2
printf three >key3
secret=(--object 'secret,id=s1,file=key1' --object 'secret,id=s2,file=key2' --object 'secret,id=s3,file=key3')
luks=encrypt.format=luks,encrypt.iter-time=0
mkdir dir
q2s-create -q -o $luks --key-file key1 -w 'data@0+1M:1,data@2M+64k:1' dir/base 3M
q2s-create -q -w 'data@1M+64k:2' -b base -F qcow2 -u dir/plain 3M
q2s-create -q -o $luks --key-file key2 -w 'data@64k+128k:3' -b plain -F qcow2 -u dir/middle 3M
q2s-create -q -o $luks --key-file key3 -w 'data@128k+128k:4,data@1088k+64k:4' -b middle -F qcow2 -u dir/top 3M
nodes=driver=qcow2,file.filename=dir/top,encrypt.key-secret=s3
nodes+=,backing.driver=qcow2,backing.file.filename=dir/middle,backing.encrypt.key-secret=s2
nodes+=,backing.backing.driver=qcow2,backing.backing.file.filename=dir/plain
nodes+=,backing.backing.backing.driver=qcow2,backing.backing.backing.file.filename=dir/base
nodes+=,backing.backing.backing.encrypt.key-secret=s1
qemu-img convert "${secret[@]}" --image-opts "$nodes" -O raw want

# reads ARG...: with these keys all of the chain is read.
reads() {
	expect_exit 0 q2s-stream -f qcow2 -O raw "$@" dir/top out
	expect_silence
	cmp out want
}

reads --key-file key3 --key-file dir/middle=key2 --key-file dir/base=key1
reads --key-file=dir/top=key3 --key-file ./dir/../dir/middle=key2 --key-file key1
ln dir/base other-name
reads --key-file key3 --key-file other-name=key1 --key-file dir/middle=<(cat key2)
rm other-name
cp key3 a=b
reads --key-file a=b --key-file dir/middle=key2 --key-file dir/base=key1
ln -s dir/base l=m
reads --key-file a=b --key-file dir/middle=key2 --key-file l=m=key1

# Named layers, a difference, a comparison, and a new image with a key of its own.
q2s-stream --layers dir/base,dir/plain,dir/middle,dir/top -O raw --key-file key3 --key-file dir/middle=key2 \
	--key-file dir/base=key1 out
cmp out want
keys=(--key-file key3 --key-file dir/middle=key2 --key-file dir/base=key1)
expect_exit 0 q2s-stream --compare "${keys[@]}" -f qcow2 -F raw dir/top want
expect_silence
expect_exit 0 q2s-stream --compare "${keys[@]}" -f raw -F qcow2 want dir/top
q2s-stream "${keys[@]}" -f qcow2 -b dir/middle -F qcow2 dir/top delta
expect_exit 0 q2s-stream --compare "${keys[@]}" -f qcow2 -F raw delta want
printf four >key4
q2s-stream "${keys[@]}" --encrypt-key-file key4 -o $luks -f qcow2 dir/top new
q2s-stream -O raw --key-file key4 new | cmp - want

# q2s-edit changes the top, where a part of a cluster has to come from below.
cp dir/top saved
q2s-edit write -q --follow=beside "${keys[@]}" dir/top data@1056768+512:0x77 data@70000+10:0x78
qemu-img convert "${secret[@]}" --image-opts "$nodes" -O raw changed
q2s-stream -f qcow2 -O raw "${keys[@]}" dir/top out
cmp out changed
cp want expected
printf 'w%.0s' {1..512} | dd of=expected bs=1 seek=1056768 conv=notrunc status=none
printf 'x%.0s' {1..10} | dd of=expected bs=1 seek=70000 conv=notrunc status=none
assert_same_bytes expected changed
q2s-edit write --dry-run --follow=any "${keys[@]}" dir/top data@0+10:1 >/dev/null
cp saved dir/top

# Each mistake is told of the layer that it is about.
expect_exit 1 q2s-stream -f qcow2 -O raw --key-file key3 --key-file dir/base=key1 dir/top no
expect_stderr 'dir/middle: LUKS header at host offset .*: the key is wrong'
expect_exit 1 q2s-stream -f qcow2 -O raw --key-file dir/top=key3 --key-file dir/base=key1 dir/top no
expect_stderr 'dir/middle: crypt_method at host offset .*: encrypted by LUKS, and there is no key .*; give --key-file'
echo two >line
expect_exit 1 q2s-stream -f qcow2 -O raw --key-file key3 --key-file dir/middle=line --key-file dir/base=key1 dir/top no
expect_stderr 'dir/middle: .*the key is wrong.*; line ends with a line end, which belongs to the key: printf %s'
expect_exit 1 q2s-stream -f qcow2 -O raw --key-file line --key-file dir/middle=key3 dir/top no
expect_stderr 'dir/top: .*the key is wrong.*; line ends with a line end'
expect_exit 1 q2s-stream -f qcow2 -O raw --key-file key3 --key-file dir/middle=key3 --key-file dir/base=line dir/top no
! grep -q 'line end' stderr || fail 'the wrong key is blamed'
expect_exit 1 q2s-stream --compare -f raw -F qcow2 --key-file line want dir/top
expect_stderr 'line ends with a line end'
expect_exit 1 q2s-edit write --follow=beside --key-file line dir/top data@0+64k:1
expect_stderr 'line ends with a line end.* writes none$'
expect_exit 1 q2s-edit write --follow=beside --key-file key3 --key-file dir/middle=line --key-file dir/base=key1 \
	dir/top data@0+64k:1
expect_stderr 'dir/middle: .*line ends with a line end'
expect_exit 1 q2s-stream --key-file key1 --key-file key2 dir/top no
expect_stderr 'key-file: is given twice'
expect_exit 1 q2s-stream --key-file dir/top=key1 --key-file dir/../dir/top=key2 dir/top no
expect_stderr 'key-file: is given twice for dir/../dir/top'
expect_exit 1 q2s-stream --key-file nothing=key1 dir/top no
expect_stderr "'nothing=key1' is no file, nor LAYER=FILE"
expect_exit 1 q2s-stream --key-file dir/top=missing dir/top no
expect_stderr 'missing: key file: cannot be opened'
expect_exit 1 q2s-stream -f qcow2 --key-file dir/base=key1 dir/base key1
expect_stderr 'same file'
cp key1 image
expect_exit 0 q2s-stream -f qcow2 "${keys[@]}" --key-file image=key1 dir/top yes
expect_stderr 'warning: --key-file: image is no layer of what is read'
[ ! -e no ] || fail 'a failure left an output behind'

# A server, where nbdkit is; it can load no plugin that needs a sanitizer's runtime before it.
plugin=$Q2S_BUILD/plugins/nbdkit/.libs/nbdkit-q2s-plugin.so
if [ -e "$plugin" ] && command -v nbdkit >/dev/null &&
	! grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h"; then
	# shellcheck disable=SC2016 # $uri is nbdkit's
	nbdkit -U - "$plugin" dir/top follow=beside key-file=key3 key-file=dir/middle=key2 key-file=dir/base=key1 \
		--run 'qemu-io -f raw -c "write -P 0x77 1056768 512" -c "write -P 0x78 70000 10" "$uri"' >io.log
	q2s-stream -f qcow2 -O raw "${keys[@]}" dir/top out
	cmp out changed
	# shellcheck disable=SC2016
	nbdkit -r -U - "$plugin" dir/top follow=beside key-file=key3 key-file=dir/middle=key2 key-file=dir/base=key1 \
		--run 'qemu-img convert -f raw -O raw "$uri" served'
	cmp served changed
	expect_exit 1 nbdkit -r -U - "$plugin" dir/top follow=beside key-file=key3 key-file=dir/middle=line \
		key-file=dir/base=key1 --run true
	expect_stderr 'line ends with a line end'
fi
