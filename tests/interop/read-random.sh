#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images at random, and chains of them: QEMU and we must read the same.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

to_raw=$Q2S_BUILD/tests/interop/disk_to_raw
random_image=$Q2S_BUILD/tests/interop/random_image

same() {
	"$to_raw" "$1" out.raw || fail "$1 of $2 cannot be read"
	qemu_same_content out.raw "$1"
}

for ((seed = 1; seed <= ${Q2S_SEEDS:-20}; seed++)); do
	"$random_image" "$seed" base
	same base "seed $seed"
	head -c 3000000 base >raw
	"$random_image" "$((seed + 100000))" middle raw raw
	"$random_image" "$((seed + 200000))" lower base qcow2
	"$random_image" "$((seed + 300000))" top lower qcow2
	same middle "seed $seed, over raw"
	same top "seed $seed, over two"
done
