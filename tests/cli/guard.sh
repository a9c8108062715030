#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No tool writes over what the same run reads: not over SOURCE, nor over a layer or a data file
# below it, nor over BASE, a plan, a map or a key, whatever the name and whatever the output.

. "$Q2S_SRC/tests/cli/lib.sh"

mkdir work
cd work
q2s-create -q -w 'data@0+1M:1' lowest 4M
q2s-create -q -b lowest -F qcow2 -w 'data@1M+1M:2' base
q2s-create -q -b base -F qcow2 -w 'data@2M+1M:3' top
q2s-create -q -o data_file=disk.raw -w 'data@0+1M:4' meta 4M
q2s-stream -O raw -f qcow2 top raw
ln base hard
ln -s base soft
q2s-stream -f qcow2 --save-plan plan --measure top >measure
printf '[{"start":0,"length":4194304,"zero":false,"data":true}]' >map
printf abc >key
q2s-create -q --key-file key -o encrypt.format=luks,encrypt.iter-time=10 -w 'data@0+64k:5' secret 1M
q2s-inspect report --out page top
cp -a . ../kept

# refused FILE CMD...: it fails, says that FILE is read, and all files are what they were.
refused() {
	local file=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "^q2s-[a-z]*: .*it is the same file as '[^']*$file', which is read"
	diff -r . ../kept || fail "a file changed: $*"
}

for layer in top base lowest; do
	refused $layer q2s-stream -f qcow2 top $layer
	refused $layer q2s-stream -f qcow2 -O raw top $layer
	refused $layer q2s-stream -f qcow2 -z top $layer
	refused $layer q2s-stream -f qcow2 --dedup top $layer
	refused $layer q2s-stream -f qcow2 -b raw -F raw top $layer
	refused $layer q2s-stream -f raw -b top -F qcow2 raw $layer
	refused $layer q2s-stream -f qcow2 --plan plan top $layer
	refused $layer q2s-stream -f qcow2 --range 0:512 top $layer
	refused $layer q2s-stream -f qcow2 --save-plan $layer top new
	refused $layer sh -c "q2s-stream -f qcow2 top 1<>$layer"
	refused $layer sh -c "q2s-stream -f qcow2 -O raw top >>$layer"
	refused $layer sh -c "q2s-stream -f qcow2 --size-fd 3 top new 3<>$layer"
done
refused base q2s-stream -f qcow2 top hard
refused base q2s-stream -f qcow2 top soft
refused base q2s-stream -f qcow2 top "$PWD/../work/base"
refused disk.raw q2s-stream -f qcow2 meta disk.raw
refused disk.raw q2s-stream -f qcow2 -O raw meta disk.raw
refused map q2s-stream -f raw --extents map raw map
refused plan q2s-stream -f qcow2 --plan plan top plan
refused key q2s-stream -f qcow2 --key-file key secret key
refused 'standard input' sh -c 'q2s-stream -f raw - raw <raw'
refused 'standard input' sh -c 'q2s-stream -f qcow2 --follow any - lowest <lowest'

# What the shell empties before we start is gone, but nothing is made of it.
expect_exit 1 sh -c 'q2s-stream -f qcow2 top >base'
cp ../kept/base base
expect_exit 1 sh -c 'q2s-stream -f raw -b base -F raw raw >base'
expect_stderr 'it is the same file'
cp ../kept/base base

# Two outputs are not one file.
expect_exit 1 q2s-stream -f qcow2 --save-plan page top page
expect_stderr 'page: --save-plan: this is where the image goes'

# The other tools.
refused lowest q2s-create -q --force -b base -F qcow2 lowest
refused disk.raw q2s-create -q --force -b meta -F qcow2 disk.raw
refused key q2s-create -q --force --key-file key -o encrypt.format=luks key 1M
echo 'data@0+64k:1' >spec
cp spec ../kept/spec
refused spec q2s-create -q --force --write-file spec spec 1M
for layer in top base lowest; do
	refused $layer q2s-inspect report --force --out $layer top
	refused $layer q2s-edit repair -r all --force --plan $layer top
	refused $layer q2s-edit salvage --force --plan $layer top
done
refused top sh -c 'q2s-inspect dump top >>top'
refused top sh -c 'q2s-inspect check top 1<>top'


# Standard output may be a layer below the image, too; and what is changed.
for layer in base lowest; do
	refused $layer sh -c "q2s-inspect map --follow any top 1<>$layer"
	refused $layer sh -c "q2s-inspect explain --follow any 0 top >>$layer"
	refused $layer sh -c "q2s-inspect info --follow any --backing-chain top 1<>$layer"
done
refused disk.raw sh -c 'q2s-inspect map --follow any meta >>disk.raw'
refused lowest sh -c 'q2s-edit snapshot list lowest >>lowest'
refused lowest sh -c 'q2s-edit repair -r all --dry-run lowest >>lowest'
refused lowest sh -c 'q2s-edit salvage lowest 1<>lowest'
refused base sh -c 'q2s-edit rebase --follow any --dry-run -b "" -F "" top 1<>base'
for verb in 'repair -r all' 'resize --dry-run' 'commit --dry-run --follow any'; do
	[[ $verb = resize* ]] && size=8M || size=
	expect_exit 1 sh -c "q2s-edit $verb top $size 1<>top"
	expect_stderr "standard output: it is the same file as 'top', which is written too"
	diff -r . ../kept || fail "a file changed: $verb"
done

# None of this hinders what harms nothing.
expect_exit 0 q2s-stream -f qcow2 --measure top base
expect_exit 0 q2s-stream -f qcow2 top new
expect_exit 0 q2s-create -q --force -b base -F qcow2 new

# What -u does not open is spared, as far as the name says which file it is.
q2s-create -q below.qcow2 1M
q2s-create -q -b below.qcow2 -F qcow2 above.qcow2
sum=$(sha256sum below.qcow2)
for name in file:below.qcow2 above.qcow2 \
	'json:{"driver":"qcow2","file":{"driver":"file","filename":"below.qcow2"}}' \
	'json:{"file.filename":"below.qcow2"}'; do
	expect_exit 1 q2s-create --force -u -b "$name" -F qcow2 below.qcow2 1M
	assert_equal "$sum" "$(sha256sum below.qcow2)" "below.qcow2 with -b $name"
done
expect_exit 0 q2s-create -q --force -u -b gone.qcow2 -F qcow2 other.qcow2 1M

# A name of a descriptor is no name to be replaced, however it is spelled.
ln -s /dev/fd/3 descriptor
ln -s ./descriptor further
echo before >log
for name in /dev/fd/3 /proc/self/fd/3 /proc/thread-self/fd/3 "/proc/\$\$/fd/3" descriptor further; do
	expect_exit 1 sh -c "q2s-stream -q below.qcow2 $name 3<>log"
	expect_stderr 'open under this name'
	assert_equal before "$(cat log)" "what was in the file of $name"
done

# A file that is read-only stays, though another one could take its name; root may write to all.
touch -d yesterday kept
chmod 444 kept below.qcow2
chmod 777 . ..
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups env "PATH=$PATH")
if [ "$(id -u)" != 0 ] || { chown 65534 kept && "${as[@]}" q2s-create --version; } >log 2>&1; then
	for cmd in 'stream -q below.qcow2 kept' 'create -q --force kept 1M'; do
		# shellcheck disable=SC2086 # words
		expect_exit 1 "${as[@]}" q2s-${cmd%% *} ${cmd#* }
		expect_stderr 'kept: output: may not be written to: Permission denied'
		[ ! -s kept ] || fail "it was replaced: q2s-$cmd"
	done
fi

# A loop device and its file are one, also when the file has got another name since.
if [ "$(id -u)" = 0 ] && head -c 1M /dev/urandom >disk && ln disk other &&
	loop=$(losetup -f --show disk 2>/dev/null); then
	cleanup_fn losetup -d "$loop"
	rm disk
	sum=$(sha256sum other)
	for dest in "$loop other" "other $loop"; do
		# shellcheck disable=SC2086 # two words
		expect_exit 1 q2s-stream -q -f raw -O raw $dest
		expect_stderr 'it is the same file'
		assert_equal "$sum" "$(sha256sum other)" "the file behind $loop"
	done
fi

# A map that cannot be written is told before the work.
(echo before; q2s-stream -q --salvage=/dev/stdout below.qcow2 new.qcow2 2>said || :; echo after) >log
assert_equal 'before after' "$(tr '\n' ' ' <log | sed 's/ $//')" 'what was in the file of standard output'
grep -q 'open under this name' said
[ ! -e new.qcow2 ] || fail 'there is an output'
expect_exit 1 q2s-stream --salvage=nowhere/map below.qcow2 new.qcow2
expect_stderr 'nowhere/map: .*cannot be created'
[ ! -e new.qcow2 ] || fail 'there is an output'
