#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One kind of damage after the other, repaired here and by qemu-img: what qemu-img can repair is sound
# here too, with no fewer of the guest's bytes, but for leaks that may be the last copy of some; much is
# repaired that it leaves; and each repair can be taken back, byte by byte.
#
# Every eleventh pair of damage and geometry; Q2S_CORPUS=all has them all.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq
. "$Q2S_SRC/tests/interop/damage-lib.sh"

geometries+=(
	'backing_file=base backing_format=raw'
	'version=2 backing_file=base backing_format=raw'
	'extended_l2=on backing_file=base backing_format=raw'
	'data_file=data'
)
damages+=(
	'repeat 8 set l2[0][i] = 0'
	'repeat 64 set l2[0][i] = 0x5a5a5a5a5a5a5a5a'
	'set l2[0][0] = 0;set l2[0][2] = 0'
	'set l2[0][2] = old + 0x8000'
	'set l2[0][1].offset = @data[2];set l2[0][2].offset = @data[1]'
	'set header.l1_table_offset = @end + 1M'
	'set header.l1_size = 40000'
	'set header.refcount_table_offset = 0'
	'set header.refcount_table_offset = @l2[0]'
	'set header.incompatible_features = old | 3'
	'snapshot one;snapshot two;set snapshot_l1[0][0] = 0;set l2[0][1] = 0'
)

# good_sectors IMAGE: how many sectors a guest reads as they were before the damage; 0 if QEMU cannot
# read the disk.
good_sectors() {
	rm -f got.raw
	if ! qemu-img convert -f qcow2 -O raw "$1" got.raw 2>/dev/null; then
		echo 0
		return
	fi
	echo $(($(stat -c %s want.raw) / 512 -
		$({ cmp -l want.raw got.raw || :; } | awk '{ print int(($1 - 1) / 512) }' | uniq | wc -l)))
}

# pristine DAMAGE: the lines of it that are no damage.
pristine() {
	tr ';' '\n' <<<"$1" | grep -Ev '^(set|file-size)' | paste -sd ';'
}

# fixed FILE: corruptions that are gone, and leaks, those too that are kept.
fixed() {
	jq -c '[."corruptions-fixed" // 0, (."leaks-fixed" // 0) + (."leaks-kept" // 0)]' "$1"
}

# keeps_all: are leaks all that is left, and kept?
keeps_all() {
	jq -e '."leaks-kept" == .leaks and .leaks > 0' ours.json >jq.out
}

# one GEOMETRY DAMAGE: false where such an image cannot be made.
one() {
	local ours=0 theirs=0 sound=0 mine others

	spec "$1" "$2" >damage.spec
	"$Q2S_BUILD/tests/hostile/make_image" damage.spec image 2>make.err || return 1
	spec "$1" "$(pristine "$2")" >damage.spec
	"$Q2S_BUILD/tests/hostile/make_image" damage.spec whole
	rm -f want.raw undo
	qemu-img convert -f qcow2 -O raw whole want.raw
	cp image ours
	cp image theirs
	qemu-img check -f qcow2 -r all --output=json theirs >theirs.json 2>theirs.err || theirs=$?
	q2s-edit repair -r all --undo undo --output=json ours >ours.json 2>ours.err || ours=$?
	qemu-img check -f qcow2 ours >qemu-check 2>&1 || sound=$?
	case $ours in 0 | 2 | 3) ;; *) fail "exit $ours for '$2' in '$1': $(cat ours.err)" ;; esac
	assert_equal "$sound" "$ours" "exit code beside qemu-img's for '$2' in '$1'"
	if [ "$ours" = 3 ] && keeps_all; then
		kept=$((kept + 1))
		cp ours given
		q2s-edit repair -q -r leaks --drop=orphans given
	elif [ "$theirs" = 0 ]; then
		assert_equal 0 "$ours" "exit code for '$2' in '$1', which qemu-img repairs"
	fi
	if [ "$theirs" != 0 ]; then
		left=$((left + 1))
		[ "$ours" != 0 ] || more=$((more + 1))
	fi
	if [ "$theirs" = 0 ] && [[ $2 != *'end + 1M' && $2 != *refcount_table_offset* ]]; then
		assert_equal "$(fixed theirs.json)" "$(fixed ours.json)" "what is fixed for '$2' in '$1'"
	fi
	mine=$(good_sectors ours)
	others=$(good_sectors theirs)
	[ "$mine" -ge "$others" ] || fail "$mine good sectors, $others by qemu-img for '$2' in '$1'"
	[ ! -e undo ] || q2s-edit repair -q --revert undo ours
	assert_same_bytes image ours
}

step=11
[ "${Q2S_CORPUS:-}" != all ] || step=1
pair=0 repaired=0 left=0 more=0 kept=0
for geometry in "${geometries[@]}"; do
	for damage in "${damages[@]}"; do
		if [ $((pair++ % step)) = 0 ] && one "$geometry" "$damage"; then
			repaired=$((repaired + 1))
		fi
	done
done
echo "$repaired images; $left of them qemu-img leaves damaged, $more of these are sound here; $kept keep leaks"
[ "$repaired" -ge $((pair * 3 / 4 / step)) ] || fail "most of the images could not be made"
[ $((2 * more)) -ge "$left" ] || fail "less than half of what qemu-img leaves is repaired"
[ $((4 * kept)) -le "$repaired" ] || fail "leaks are kept in more than a quarter of the images"
