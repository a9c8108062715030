#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The wrapper of doc/backup does what xapi asks of its qcow2-to-stdout.py: full and differing disks,
# with maps of both through pipes and without.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

sed -n '/^    #!\/bin\/bash/,/^$/s/^    //p' "$Q2S_SRC/doc/backup" >qcow2-to-stdout
chmod +x qcow2-to-stdout
[ "$(wc -l <qcow2-to-stdout)" -gt 10 ] || fail "no wrapper in doc/backup"

# Yesterday's disk; today's, in which some data is new, some became zero, and 100 KiB are more.
truncate -s 20M old.raw
seq 1 200000 | dd of=old.raw bs=64k seek=5 conv=notrunc status=none
cp old.raw new.raw
seq 900000 950000 | dd of=new.raw bs=64k seek=100 conv=notrunc status=none
dd if=/dev/zero of=new.raw bs=64k count=3 seek=7 conv=notrunc status=none
seq 1 20000 | dd of=new.raw bs=1M seek=20 conv=notrunc status=none
truncate -s 20580k new.raw
for day in old new; do
	qemu-img convert -f raw -O qcow2 $day.raw $day.qcow2
	qemu-img map --output=json $day.qcow2 >$day.map
	qemu-img info --output=json $day.qcow2 >$day.info
done

# xapi's own words: descriptors that are pipes.
with_maps() {
	./qcow2-to-stdout "$@" --json-header-map 7 --json-header-info 8 \
		7< <(cat new.map) 8< <(cat new.info)
}
with_both_maps() {
	with_maps "$@" --json-header-diff-map 9 --json-header-diff-info 10 \
		9< <(cat old.map) 10< <(cat old.info)
}

./qcow2-to-stdout new.raw >full
with_maps new.raw >full.mapped
assert_same_bytes full full.mapped
qemu_check_clean full
qemu_same_content new.raw full

./qcow2-to-stdout new.raw --diff old.raw >part
with_both_maps new.raw --diff old.raw >part.mapped
assert_same_bytes part part.mapped
qemu_check_clean part
expect_exit 0 q2s-stream --compare --layers old.raw,part new.raw

# What xapi's reader of differences builds on: no parent is named, each cluster is data or nothing.
q2s-inspect info --output=json part >info.json
if grep -q backing-filename info.json; then fail 'the difference names a parent'; fi
q2s-inspect map --output=json part >map.json
if grep -q '"present": true, "zero": true, "data": false' map.json; then
	fail 'the difference has zero clusters'
fi
grep -q '"start": 458752, "length": 196608.*"data": true' map.json || fail 'new zeros are not stored'

# Of what the maps leave out nothing is read: a change there is not seen.
cp new.raw changed.raw
printf x | dd of=changed.raw bs=1 seek=15M conv=notrunc status=none
mv changed.raw new.raw
with_maps new.raw >again
assert_same_bytes full again
