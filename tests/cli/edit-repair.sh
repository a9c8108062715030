#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit repair: plans, what is struck out of them, undo, and what is refused.

. "$Q2S_SRC/tests/cli/lib.sh"

# make LINE...: the image `image` of a spec, and `before`, the same.
make() {
	printf '%s\n' 'title x' "$@" >image.spec
	rm -f image
	"$Q2S_BUILD/tests/hostile/make_image" image.spec image
	cp image before
	rm -f plan undo
}

damaged=('data 0..2' 'data 6' 'leak 3' 'set refcount[6] = 0' 'set l2[0][0].copied = 0')

# A plan writes nothing but itself; each step says what, where, why and what could be lost.
make "${damaged[@]}"
expect_exit 0 q2s-edit repair -r all --plan plan image
expect_stdout 'The plan has 3 steps'
expect_stdout '^    3 leaked clusters$'
expect_stdout '^    2 corruptions$'
assert_same_bytes before image
assert_equal 3 "$(grep -c '^step ' plan)" "steps"
for line in where why loss sure; do
	assert_equal 3 "$(grep -c "^  $line " plan)" "lines that begin with '$line'"
done
grep -q '^step 1 refcount-zero$' plan || fail "no step for refcount-zero: $(cat plan)"
grep -q '^  bytes l2 at 0x40000 old 0000000000050000 new 8000000000050000$' plan || fail "no step for COPIED"
expect_exit 1 q2s-edit repair -r all --plan plan image
expect_stderr 'plan: .*exists already; --force replaces it'
sed -i 's/^step 2 /# step 2 /' plan
expect_exit 0 q2s-edit repair -q -r all --plan plan --force image
assert_equal 3 "$(grep -c '^step ' plan)" "steps of a plan that was replaced"

# Applied, with an undo; once more is the same; taken back it is what it was.
expect_exit 0 q2s-edit repair --apply plan --undo undo image
expect_stdout '^3 steps were done\.$'
expect_stdout 'No errors were found'
expect_exit 0 q2s-inspect check image
cp image repaired
expect_exit 0 q2s-edit repair --apply plan --undo undo image
assert_same_bytes repaired image
expect_exit 0 q2s-edit repair --revert undo image
assert_same_bytes before image
expect_exit 0 q2s-edit repair --revert undo image
assert_same_bytes before image

# What was written in between: some of it, as after a kill.
cp image half
dd if=repaired of=half bs=1 skip=$((0x40000)) seek=$((0x40000)) count=8 conv=notrunc status=none
expect_exit 0 q2s-edit repair --apply plan --undo undo half
assert_same_bytes repaired half

# Another image, or this one changed since, is refused, and not touched.
make 'data 0..2' 'data 6' 'leak 3' 'set refcount[6] = 0' 'set l2[0][0].copied = 0' 'set l2[0][1].copied = 0'
q2s-edit repair -q -r all --plan plan image
make "${damaged[@]}"
q2s-edit repair -q -r all --plan plan image
q2s-edit repair -q --apply plan --undo undo image
q2s-edit write -q image data@512k+64k:1
cp image written
expect_exit 1 q2s-edit repair --revert undo image
expect_stderr "image.*changed|written there|its length"
assert_same_bytes written image
make 'data 0..3' 'leak 3' 'set refcount[6] = 0' 'set l2[0][0].copied = 0'
cp image other
make "${damaged[@]}"
q2s-edit repair -q -r all --plan plan image
cp other image
expect_exit 1 q2s-edit repair --apply plan image
expect_stderr 'not what the plan was made for|neither what the plan says'
assert_same_bytes other image

# Steps may be struck out, by a # or by deletion: what is left is done, and what they were for stays.
make "${damaged[@]}"
q2s-edit repair -q -r all --plan plan image
sed -i 's/^step 2 /# step 2 /' plan
expect_exit 3 q2s-edit repair --apply plan --undo undo image
expect_stdout '^2 steps were done\.$'
expect_stdout '^1 step is struck out, and was not\.$'
expect_stdout '3 leaked clusters were found'
expect_exit 3 q2s-edit repair --apply plan --undo undo --output=json image
expect_stdout '"steps": 2'
expect_stdout '"steps-struck": 1'
expect_exit 0 q2s-edit repair --revert undo image
assert_same_bytes before image

# But not so that the rest does harm: a copy needs its refcount.
make 'data 0..2' 'set l2[0][1].offset = @data[0]'
expect_exit 3 q2s-edit repair -r all --plan plan image
grep -q '^  copy fill' plan || fail "no copy: $(cat plan)"
sed -i '/refcount-zero/,/^$/d' plan
expect_exit 1 q2s-edit repair --apply plan image
expect_stderr 'struck out that others need'
assert_same_bytes before image

# A plan that is cut off, or that nobody wrote, is none.
make "${damaged[@]}"
q2s-edit repair -q -r all --plan plan image
head -n -2 plan >half.plan
expect_exit 1 q2s-edit repair --apply half.plan image
expect_stderr 'half.plan: .*does not end'
for edit in 's/old 1 new 0/old 1 new 70000/' 's/^  counts fall/  counts never/' 's/^length.*/length old 0 new 0/' \
	's/^q2s-repair-plan 1/q2s-repair-plan 2/' 's/at 0x40000/at 0x4000000/' 's/^  why/  what/'; do
	sed "$edit" plan >bad
	expect_exit 1 q2s-edit repair --apply bad image
	assert_equal 1 "$(wc -l <stderr)" "lines on stderr for $edit"
	assert_same_bytes before image
done
expect_exit 1 q2s-edit repair --apply before image
expect_exit 1 q2s-edit repair --revert plan image
expect_stderr 'undo file'
q2s-edit repair -q --apply plan --undo undo image
cp image repaired
printf x | dd of=undo bs=1 seek=60 conv=notrunc status=none
expect_exit 1 q2s-edit repair --revert undo image
expect_stderr 'damaged|malformed'
assert_same_bytes repaired image

# -r leaks gives back what nobody uses, and nothing else; not while something cannot be found.
make 'data 0..2' 'leak 3'
expect_exit 0 q2s-edit repair -r leaks --output=json image
expect_stdout '"leaks-fixed": 3'
make 'data 0..2' 'leak 3' 'set refcount[6] = 0'
expect_exit 2 q2s-edit repair -r leaks image
expect_stdout '^2 errors were found'
make 'data 0..2' 'set l2[0][0].copied = 0'
expect_exit 0 q2s-edit repair -r leaks image
make 'data 0..5' 'set l2[0][1].offset = @end + 16M'
expect_exit 2 q2s-edit repair -r leaks image
assert_same_bytes before image

# What a reference led to is found again, and the guest reads all.
make 'data 0..5'
cp image whole
for lines in 'set l2[0][1].offset = @end + 16M' 'set l2[0][1] = old + 512' 'set l1[0] = old + 512' \
	'set l1[0].offset = @end + 1M' 'set l1[0].offset = @data[2]' 'set l2[0][2].offset = @l1' \
	'set header.refcount_table_offset = 0' 'set reftable[0] = @data[3]'; do
	make 'data 0..5' "$lines"
	expect_exit 0 q2s-edit repair -q -r all --undo undo image
	expect_exit 0 q2s-stream --compare -f qcow2 image whole
	expect_exit 0 q2s-edit repair -q --revert undo image
	assert_same_bytes before image
done
# So is an L1 table of more entries than one, which looks like an L2 table itself.
make 'image cluster_size=512 size=64k' 'data 0..5' 'data 100'
cp image whole
make 'image cluster_size=512 size=64k' 'data 0..5' 'data 100' 'set header.l1_table_offset = @end + 1M'
expect_exit 0 q2s-edit repair -q -r all image
expect_exit 0 q2s-stream --compare -f qcow2 image whole
# A step is as sure as the least of its reasons.
make 'data 0' 'data 2' 'leak 2' 'set l2[0][2] = 0x8110000000000000'
expect_exit 3 q2s-edit repair -r all --plan plan image
grep -A 6 '^step 1 l2-reserved' plan >step || fail "no step for the entry: $(cat plan)"
grep -q '^  also  the entry leads to no cluster' step || fail "no second reason: $(cat plan)"
grep -q '^  sure  unknown' step || fail "not unknown: $(cat plan)"
grep -q "^  loss  the guest's data" step || fail "no loss: $(cat plan)"
# Where it is not, that is said, and no leak is given away.
make 'data 0' 'data 2' 'data 4' 'leak 2' 'set l2[0][2].offset = @end + 16M'
expect_exit 3 q2s-edit repair -r all image
expect_stdout '^1 entry of the image led to data that could not be found'
expect_stdout '^3 leaked clusters are kept'
expect_exit 0 q2s-edit repair -r leaks image

# A leak that may be the last copy of guest data stays, and the plan says so; it is given back by who
# takes the # away, or asks for it.
keeps() {
	local which

	for which in leaks all; do
		cp before image
		expect_exit 3 q2s-edit repair -r $which image
		expect_stdout "^$1 leaked clusters? (is|are) kept, as (it|they) may be the last copy.*q2s-edit salvage"
		assert_same_bytes before image
	done
	rm -f plan
	expect_exit 3 q2s-edit repair -r all --plan plan image
	expect_stdout "^[0-9]+ more steps? (is|are) struck out"
	grep -q '^# step [0-9]* refcount-leak$' plan || fail "no step is struck out: $(cat plan)"
	grep -Eq "^  kept  may be the last copy of guest data: .*$2" plan || fail "no reason '$2': $(cat plan)"
	! grep -q '^step ' plan || fail "a step that is not struck out: $(cat plan)"
	expect_exit 3 q2s-edit repair --apply plan image
	expect_stdout '^0 steps were done'
	assert_same_bytes before image
	sed -i 's/^# step/step/' plan
	expect_exit 0 q2s-edit repair -q --apply plan image
	mv image freed
	cp before image
	expect_exit 0 q2s-edit repair -q -r leaks --drop=orphans image
	assert_same_bytes freed image
	cp before image
}
# salvaged: what is left brings the disk back.
salvaged() {
	rm -f plan
	expect_exit 0 q2s-edit salvage --plan plan image
	! grep -q '^  sure  certain$' plan || [ "$1" = certain ] || fail "something is certain: $(cat plan)"
	expect_exit 0 q2s-edit repair -q --apply plan image
	expect_exit 0 q2s-stream --compare -f qcow2 image whole
}
make 'data 0..5' 'compressed 8 9'
cp image whole
make 'data 0..5' 'compressed 8 9' 'set l1[0] = 0'
keeps 8 'L2 table'
salvaged likely
cp freed image
expect_exit 0 q2s-edit salvage image
expect_stdout '^likely: .*it was freed$'
expect_stdout '^8 more are free'
salvaged likely
expect_exit 0 q2s-inspect check image
make 'data 0..5'
cp image whole
make 'data 0..5' 'repeat 8192 set l2[0][i] = 0'
keeps 6 'is all zeros'
make 'data 0..5' 'set l2[0][2] = 0' 'set l2[0][3] = 0'
keeps 2 'has a hole where it fits'
salvaged likely
# Behind all others, but in the only place of the disk where it can have been, or in its last one.
for lines in 'data 4..5;data 0..3;set l2[0][3] = 0' 'image size=384k;data 0..5;set l2[0][5] = 0'; do
	readarray -t spec < <(tr ';' '\n' <<<"$lines")
	make "${spec[@]:0:${#spec[@]}-1}"
	cp image whole
	make "${spec[@]}"
	keeps 1 'has a hole where it fits'
done
salvaged likely
# What a crash leaves is given back: behind all others, or zeros.
make 'data 0..5' 'leak 2' 'set l2[0][5] = 0'
expect_exit 0 q2s-edit repair -r leaks image
make 'data 0..2' 'leak 2' 'data 3..5'
expect_exit 0 q2s-edit repair -r leaks image

# New refcounts leave it a leak, if it was known to be one; if not, that is said.
two=('image cluster_size=512 size=1M' 'data 0..400' 'set l2[5][20] = 0' 'set l2[5][21] = 0')
make "${two[@]:0:2}"
cp image whole
make "${two[@]}" 'set reftable[0] = 0'
expect_exit 3 q2s-edit repair -r all --output=json image
expect_stdout '"leaks-kept": 2'
expect_stdout '"leaks-unknown": 1'
expect_exit 3 q2s-inspect check image
salvaged likely
make "${two[@]}" 'set header.refcount_table_offset = 0'
expect_exit 0 q2s-edit repair -r all image
expect_stdout '^The refcounts are made anew.* 5 clusters of the file are referred to by nothing'
expect_stdout 'q2s-edit salvage'
# The old refcount table is not an L2 table with one compressed cluster.
make 'image cluster_size=512 size=64k' 'data 0..5' 'set reftable[0] = old | 0x4000000000000000'
expect_exit 0 q2s-edit repair -q -r all image
expect_exit 0 q2s-edit salvage image
expect_stdout ' 0 L2 tables come back'
make 'data 0..5'
cp image whole

# Of two places that show one cluster each has its own then, and what may be the right one stays.
for which in 1:0 1:2 4:1; do
	make 'data 0..5' "set l2[0][${which%:*}].offset = @data[${which#*:}]"
	expect_exit 3 q2s-edit repair -r all --plan plan image
	grep -Fq "$(printf 'leaked cluster at host offset 0x%x is the data of guest offset 0x%x' \
		$((0x50000 + ${which%:*} * 0x10000)) $((${which%:*} * 0x10000)))" plan ||
		fail "no candidate for $which: $(cat plan)"
	grep -B 6 '^  copy' plan | grep -q '^  sure  unknown' || fail "a copy is certain: $(cat plan)"
	expect_exit 3 q2s-edit repair -r all image
	expect_stdout 'leaked cluster at host offset .* is kept'
	expect_exit 3 q2s-inspect check image
	cp before image
	expect_exit 2 q2s-edit repair -q -r leaks image
	assert_same_bytes before image
	expect_exit 0 q2s-edit repair -q -r all --drop=orphans image
done

# Snapshots and bitmaps are given up only when that was asked for; all else is repaired without.
make 'data 0..2' 'leak 3' 'bitmap good 64k' 'bitmap bad 64k' 'set bitmap_table[1][0] = old + 512' \
	'set refcount[6] = 0' 'set l2[0][0].copied = 0'
expect_exit 2 q2s-edit repair -r all image
expect_stdout '^Malformed persistent bitmaps stay as they are; --drop=bitmaps gives them up'
expect_stdout '^1 error was found'
make 'data 0..2' 'snapshot one' 'set snapshot[0].l1_table_offset = @end + 1M' 'set refcount[6] = 0' \
	'set l2[0][0] = old | 2'
expect_exit 2 q2s-edit repair -r all image
expect_stdout '^Malformed snapshots stay as they are; --drop=snapshots gives them up'
make 'data 0..2' 'snapshot one' 'set snapshot[0].l1_table_offset = @end + 1M'
expect_exit 2 q2s-edit repair -q -r all image
cp before image
expect_exit 0 q2s-edit repair -q -r all --drop=snapshots image
make 'data 0..2' 'snapshot one' 'set header.nb_snapshots = 0x400001'
expect_exit 0 q2s-edit repair -q -r all image
q2s-inspect info image | grep -q one || fail "the snapshot is gone"
make 'data 0..2' 'set header.nb_snapshots = 0x8000000'
expect_exit 0 q2s-edit repair -q -r all image
# A refcount table or an L1 table that is too long is not taken for what it covers.
make 'data 0..5' 'set header.refcount_table_clusters = 9'
expect_exit 0 q2s-edit repair -q -r all image
expect_exit 0 q2s-stream --compare -f qcow2 image whole
make 'data 0..2' 'bitmap good 64k' 'bitmap bad 64k' 'set bitmap_table[1][0] = old + 512'
expect_exit 2 q2s-edit repair -q -r all image
expect_exit 0 q2s-edit repair -q -r all --drop=bitmaps image
q2s-inspect info image >info
grep -q good info || fail "the good bitmap is gone"
! grep -q 'bad$' info || fail "the bad bitmap is there"

# Marks of damage go when there is none.
make 'data 0..2' 'set header.incompatible_features = 3'
expect_exit 0 q2s-edit repair -q -r leaks image
q2s-edit write -q image zero@0+64k

# --dry-run prints the plan.
make "${damaged[@]}"
expect_exit 0 q2s-edit repair -r all --dry-run image
expect_stdout '^step 3 '
assert_same_bytes before image

refused() {
	local what=$1

	shift
	expect_exit 1 q2s-edit repair "$@"
	expect_stderr "^q2s-edit: .*$what"
	assert_equal 1 "$(wc -l <stderr)" "lines on stderr"
	assert_same_bytes before image
}
q2s-edit repair -q -r all --plan plan image
refused 'replaces it' -r leaks --plan plan image
refused 'exactly one of' image
refused 'exactly one of' -r all --apply plan image
refused "must be leaks or all" -r some image
refused 'FILE is missing' -r all
refused 'one FILE at a time' -r all image image
refused '--plan needs -r' --apply plan --plan other image
refused 'exclude each other' -r all --plan other --undo undo image
refused 'must be some of bitmaps' -r all --drop=tables image
refused 'need -r all' -r leaks --drop=bitmaps image
refused '--drop needs -r' --apply plan --drop=orphans image
refused '--force needs' -r all --force image
refused 'No such file' --apply nothing image
refused 'same file' --apply image image
refused 'same file' -r all --undo image image
: >empty
refused 'exists' -r all --undo empty image
expect_exit 0 q2s-edit repair --help
