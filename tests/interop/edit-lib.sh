# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images for tests of q2s-edit, which works on a copy of them while qemu-img works on another.

# make_images OPTIONS BASE-FORMAT BASE-SIZE OVERLAY-SIZE [BASE-OPTIONS]: made/base and made/over, which
# has data, zeros, and parts that it leaves to the base, in whole clusters and in pieces of them.
make_images() {
	local options=$1 format=$2 size=$3 over=$4 base_options=${5:-$1}
	local end=$((over < size ? over : size))

	rm -rf made
	mkdir made
	head -c $((size / 2)) /dev/urandom >part
	head -c $((size / 4)) /dev/zero >>part
	head -c $((size / 8)) /dev/urandom >>part
	truncate -s "$size" part
	if [ "$format" = raw ]; then
		cp --sparse=always part made/base
	else
		qemu-img convert -f raw -O qcow2 -o "$base_options" part made/base
	fi
	(cd made && qemu-img create -q -f qcow2 -o "$options" -b base -F "$format" over "$over")
	# What is written is in part what the base has.
	qemu-io -f qcow2 -c 'write -q -P 1 0 8k' -c 'write -q -P 2 70k 1k' -c 'write -q -P 3 200k 400k' \
		-c 'write -q -z 80k 64k' -c 'write -q -z 650k 200k' -c 'write -q -z -u 800k 100k' \
		-c "write -q -P 4 $((end / 8 * 7 / 512 * 512)) 4k" -c 'discard -q 512k 64k' \
		-c "write -q -P 5 $((over - 512)) 512" made/over
}

copy_made() {
	rm -rf ours theirs
	cp -r made ours
	cp -r made theirs
}

# shown NAME FORMAT OUT: the disk.
shown() {
	qemu-img convert -f "$2" -O raw "$1" "$3"
}

# same_disks OVER BASE BASE-FORMAT: both of ours are clean, and show what theirs show.
same_disks() {
	local name format

	for name in "$1" "$2"; do
		format=qcow2
		[ "$name" = "$1" ] || format=$3
		[ $format = raw ] || qemu_check_clean "ours/$name"
		[ $format = raw ] || q2s-inspect check -q "ours/$name" ||
			fail "q2s-inspect check ours/$name"
		shown "theirs/$name" $format want
		shown "ours/$name" $format got
		cmp want got || fail "$name shows something else than qemu-img's"
	done
}

# allocated_bytes IMAGE: of the guest disk, held by the image itself.
allocated_bytes() {
	qemu-img map --output=json -f qcow2 "$1" | jq '[.[] | select(.depth == 0) | .length] | add // 0'
}

# same_info NAME: as far as it does not depend on where things lie.
same_info() {
	local filter='del(."actual-size", .filename, ."full-backing-filename", .children, ."dirty-flag",
		.snapshots)'

	diff <(qemu-img info --output=json "theirs/$1" | jq -S "$filter") \
		<(qemu-img info --output=json "ours/$1" | jq -S "$filter") >info.diff ||
		fail "qemu-img info: $(cat info.diff)"
}

# killed_often CMD...: run it again and again, and kill it after a while, each time a little later; `after`
# judges each time. How many are in the middle of it depends on the machine: one at least. The last run
# has to succeed.
killed_often() {
	local delay status killed=0

	for delay in 0.001 0.002 0.003 0.004 0.006 0.009 0.012 0.02 0.03 0.04 0.06 0.08 0.12 0.2; do
		"$@" >killed.out 2>&1 &
		sleep $delay
		kill -KILL $! 2>/dev/null || :
		status=0
		wait $! 2>/dev/null || status=$?
		[ $status != 137 ] || killed=$((killed + 1))
		after
	done
	[ $killed -ge ${KILLS:-1} ] || fail "only $killed were killed: it is done too soon"
	expect_exit 0 "$@"
	after
}
