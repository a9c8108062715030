#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit understands each letter, and each long option, that qemu-img (10.1 to 11.1) has for the same
# verb, or says by name why it does not.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io

fresh() {
	rm -rf images
	mkdir images
	cd images
	qemu-img create -q -f qcow2 base 1M
	qemu-img create -q -f qcow2 new 1M
	qemu-img create -q -f qcow2 -b base -F qcow2 over
	qemu-io -c 'write -q -P 1 0 64k' -c 'write -q -z 128k 64k' over
	qemu-img bitmap --add over b
	qemu-img snapshot -c s over
	cd ..
}

# does WORD...: q2s-edit takes it, on fresh images.
does() {
	fresh
	(cd images && exec q2s-edit "$@") >out 2>err || fail "q2s-edit $*: $(cat err)"
}

# refuses PATTERN WORD...: it does not, and nothing changes.
refuses() {
	local what=$1

	shift
	fresh
	sha256sum images/* >before
	(cd images && expect_exit 1 q2s-edit "$@" && expect_stderr "$what") || exit 1
	sha256sum --status -c before || fail "q2s-edit $*: refused, and something changed"
}

beside=--follow=beside
does resize $beside -f qcow2 -q --preallocation=metadata over 2M
does resize $beside --format=qcow2 --quiet --preallocation off --shrink over +1M
does amend -f qcow2 -t writethrough -p -q --force -o lazy_refcounts=on over
does amend --format qcow2 --cache=none --progress --quiet --options lazy_refcounts=on over
does snapshot -f qcow2 -q -c n over
does snapshot --create n over
does snapshot --format=qcow2 --quiet --delete=s over
does snapshot -q -d s over
does snapshot -U -l over
grep -q ' s ' out || fail "snapshot -l does not list"
does snapshot --force-share --list over
grep -q ' s ' out || fail "snapshot does not list"
does snapshot over
grep -q ' s ' out || fail "snapshot does not list"
does bitmap -f qcow2 -q -g 64k --add over n
does bitmap --format=qcow2 --quiet --granularity=64k --add --disable --enable --clear over n
does bitmap -b over -F qcow2 --add --merge b new n
does bitmap --source-file=over --source-format=qcow2 --add --merge=b new n
does bitmap --remove over b
does commit $beside -f qcow2 -t directsync -d -r 1G -p -q over
does commit $beside --format=qcow2 --cache writeback --drop --rate-limit=1G --progress --quiet over
does commit $beside -b base over
does commit $beside --base=base -r 0 over
does rebase $beside -f qcow2 -t unsafe -T none -b new -F qcow2 -p -q over
does rebase $beside --format=qcow2 --cache=unsafe --backing-cache=none --backing=new --backing-format=qcow2 \
	--progress --quiet over
does rebase -u -b new -B qcow2 -U over
does rebase --backing-unsafe --backing new --backing-format qcow2 --force-share over
does compact --punch -f qcow2 -q over
does write $beside -f qcow2 -q over data@0+1k
for verb in amend bitmap commit compact rebase resize snapshot write; do
	does $verb -h
	cp out short
	does $verb --help
	cmp short out || fail "$verb: -h is not --help"
	grep -q 'format=qcow2' out || fail "$verb: --help does not name --format"
done
does -h

# What is refused says why.
for verb in amend bitmap commit compact rebase resize snapshot write; do
	refuses "format 'raw': only qcow2" $verb -f raw over
	refuses "'--image-opts'|--image-opts: FILE is the name of a file" $verb --image-opts driver=qcow2
	refuses '--object: a secret is given by --key-file' $verb --object secret,id=s,data=x over
done
refuses "-t 'nnone': it is one of none, .*did you mean 'none'" commit -t nnone over
refuses "-t 'on': it is one of none" amend -t on -o compat=v2 over
refuses "-T 'sync': it is one of none" rebase -T sync -b new -F qcow2 over
refuses "--rate-limit 'fast'" commit -r fast over
refuses '--compress: .*q2s-stream --compress' rebase -c -b new -F qcow2 over
refuses "bitmap.*'nothing'" bitmap --add --merge=nothing over n
refuses '--force-share belongs to list' snapshot -U -c n over

# -U locks no backing file: that is for one which another program writes to.
fresh
cd images
hold -f qcow2 new
expect_exit 1 q2s-edit rebase --follow=beside -b new -F qcow2 over
expect_stderr 'another program'
expect_exit 0 q2s-edit rebase --follow=beside -U -b new -F qcow2 over
let_go

# A rate limit is one: what is more than the bucket holds has to wait for it.
cd ..
fresh
cd images
qemu-io -c 'write -q -P 7 0 1M' over
SECONDS=0
expect_exit 0 q2s-edit commit --follow=beside -r 512k over
[ "$SECONDS" -ge 1 ] || fail "1 MiB went through at once, at 512 KiB a second"
