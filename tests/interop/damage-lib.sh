# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kinds of damage, and geometries in which they are tried: for the check and for repair.

# shellcheck disable=SC2034 # used by whoever sources this
geometries=(
	''
	'cluster_size=512 size=64k'
	'cluster_size=4k'
	'cluster_size=2M size=32M'
	'refcount_bits=1'
	'refcount_bits=2'
	'refcount_bits=8'
	'refcount_bits=64'
	'version=2'
	'extended_l2=on'
	'extended_l2=on cluster_size=16k'
	'compression=zstd'
)

# Lines of a spec (doc/corpus), with ; between them. Data lies in clusters 0 to 2 and 6, compressed
# data in 8 and perhaps 9; in host clusters: the header, refcount table and block, L1, L2, then data.
damages=(
	'set l2[0][0].copied = 0'
	'set l1[0].copied = 0'
	'set l1[0].copied = 0;set l2[0][1].copied = 0'
	'set l2[0][1].offset = @data[0]'
	'set l2[0][1].offset = @data[0];set l2[0][1].copied = 0'
	'set l2[0][1].offset = @l2[0]'
	'set l2[0][1].offset = @l1'
	'set l2[0][1].offset = @refblock[0]'
	'set l2[0][1].offset = @reftable'
	'set l2[0][1].offset = 0'
	'set l2[0][1] = 0'
	'set l2[0][0] = old | 2'
	'set l2[0][0] = old | 0x100000000000000'
	'set l2[0][1] = old + 512'
	'set l2[0][1].offset = @end'
	'set l2[0][1].offset = @end + 16M'
	'set l2[0][1].offset = @end;set l2[0][1].copied = 0'
	'set refcount[0] = 0'
	'set refcount[1] = 0'
	'set refcount[3] = 0'
	'set refcount[5] = 0'
	'set refcount[6] = 0'
	'set refcount[6] = 2'
	'set refcount[9] = 3'
	'set refcount[4] = 2'
	'set l1[0] = 0'
	'set l1[0] = old | 1'
	'set l1[0].offset = @end + 1M'
	'set l1[0].offset = @data[0]'
	'set reftable[0] = old | 1'
	'set reftable[0] = 0'
	'set reftable[0] = @end + 1M'
	'set reftable[0] = @data[1]'
	'set reftable[1] = @refblock[0]'
	'set reftable[1] = @refblock[0];set reftable[2] = @refblock[0]'
	'file-size old - cluster'
	'file-size old - 100'
	'file-size old + cluster'
	'set l2[0][8] = old | 0x8000000000000000'
	'set l2[0][8] = 0'
	'set l2[0][8].offset = @end'
	'set l2[0][9] = @data[0]'
	'set l2[0][5] = old | 0x8000000000000000'
	'share 10 0'
	'share 10 0;share 11 0;share 12 0;set l2[0][10].copied = 1'
	'snapshot one;set l2[0][0].copied = 1'
	'snapshot one;set l2[0][0] = old | 2'
	'snapshot one;set l1[0].copied = 1'
	'snapshot one;set l2[0][1].offset = @end'
	'snapshot one;set snapshot_l1[0][0] = 0'
	'snapshot one;set snapshot_l1[0][0] = old | 1'
	'snapshot one;set snapshot[0].l1_table_offset = @end + 1M'
	'snapshot one;set refcount[5] = 1'
	'snapshot one;set refcount[6] = 1'
	'snapshot one;set refcount[6] = 0'
	'leak 3'
	'leak 3;set l2[0][0].copied = 0'
)

# spec GEOMETRY DAMAGE: version 2 has no zeros, one bit counts one owner.
spec() {
	echo 'title damage'
	[ -z "$1" ] || echo "image $1"
	echo 'data 0..2'
	[[ $1 = version=2* ]] || printf '%s\n' 'zero 3' 'zero-alloc 4'
	if [[ $1 = refcount_bits=1 ]]; then echo 'compressed 8'; else echo 'compressed 8 9'; fi
	echo 'data 6'
	tr ';' '\n' <<<"$2"
}
