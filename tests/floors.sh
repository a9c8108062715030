#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Proves the floors of the architecture from the #include lines: a file includes only headers of
# its own folder and of lower floors. First the proof itself is tried on a small tree with faults.

set -u

# What stands where. include/q2s/NAME.h belongs to the folder NAME, but for those below.
# src/ is one floor in the documents. Here src/common is below the tools, and no tool includes another.
declare -A floor=(
	[base]=0 [format]=1 [io]=2 [image]=3 [crypt]=3 [disk]=4 [check]=4 [edit]=5 [plan]=5 [emit]=6
	[common]=7 [create]=8 [stream]=8 [inspect]=8 [corpus]=8 [q2s-edit]=8 [nbdkit]=8
)
declare -A public_folder=([builder]=emit [fields]=format [store]=io [http]=io [repair]=edit [version]=base [chain]=image [walk]=image [q2s]=emit)

# folder_of PATH: the folder of the table that owns PATH (relative to the tree).
folder_of() {
	local name=${1##*/}

	name=${name%.h}
	case $1 in
	include/q2s/*) echo "${public_folder[$name]:-$name}" ;;
	src/edit/*) echo q2s-edit ;; # lib/edit has the same name
	plugins/*/*) name=${1#*/}; echo "${name%%/*}" ;;
	lib/*/* | src/*/*) name=${1#*/}; echo "${name%%/*}" ;;
	*) echo "" ;;
	esac
}

# owner_of HEADER FILE TREE: the folder that HEADER, included by FILE, belongs to; "" for a header
# of the system.
owner_of() {
	case $1 in
	config.h) ;;
	q2s/*) folder_of "include/$1" ;;
	*/*)
		if [ -e "$3/lib/$1" ]; then
			folder_of "lib/$1"
		elif [ -e "$3/src/$1" ]; then
			folder_of "src/$1"
		fi
		;;
	*)
		if [ -e "$3/${2%/*}/$1" ]; then
			folder_of "$2"
		fi
		;;
	esac
}

# check_include FILE LINE HEADER TREE: says what is wrong with one #include.
check_include() {
	local from to

	from=$(folder_of "$1")
	to=$(owner_of "$3" "$1" "$4")
	[ -n "$to" ] || return 0
	if [ -z "${floor[$to]:-}" ]; then
		echo "$1:$2: $3 belongs to no floor"
	elif [ "$from" != "$to" ] && [ "${floor[$to]}" -ge "${floor[$from]}" ]; then
		echo "$1:$2: floor ${floor[$from]} ($from) includes $3 of floor ${floor[$to]} ($to)"
	fi
}

# check_tree TREE: prints each violation; nothing when there is none.
check_tree() {
	local file line header include='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"]'

	cd "$1" || exit 1
	while IFS= read -r file; do
		if [ -z "${floor[$(folder_of "$file")]:-}" ]; then
			echo "$file: its folder is on no floor"
			continue
		fi
		while IFS=: read -r line header; do
			[[ $header =~ $include ]] &&
				check_include "$file" "$line" "${BASH_REMATCH[1]}" "$1"
		done < <(grep -nE "$include" "$file")
	done < <(find include lib src plugins -name '*.[ch]' | LC_ALL=C sort)
}

# put FILE LINE: one file of the small tree.
put() {
	mkdir -p "$small/${1%/*}"
	echo "$2" >"$small/$1"
}

expect() {
	local got

	got=$(check_tree "$small")
	if [ "$got" != "$1" ]; then
		printf 'self-test: expected\n%s\nbut the check said\n%s\n' "$1" "$got"
		exit 1
	fi
}

small=$(mktemp -d) || exit 1
trap 'rm -rf "$small"' EXIT

put include/q2s/base.h '#include <stdint.h>'
put include/q2s/emit.h '#include <q2s/base.h>'
put include/q2s/q2s.h '#include <q2s/emit.h>'
put lib/base/be.h ''
put lib/base/vec.c '#include "be.h"'
put lib/disk/raw.h '#include "base/be.h"'
put lib/check/count.c '#include "base/be.h"'
put src/common/size.h '#include <q2s/q2s.h>'
put src/stream/main.c '#include "common/size.h"'
put src/edit/verbs.h ''
put lib/edit/order.h ''
put src/edit/main.c '#include "edit/verbs.h"'
put plugins/nbdkit/plugin.c '#include "common/size.h"'
expect ''
put lib/base/vec.c '#include "disk/raw.h"'
put lib/check/count.c '# include "disk/raw.h"'
put lib/disk/raw.h '#include <q2s/emit.h>'
put lib/extra/new.c ''
put src/common/size.h '#include "stream/main.c"'
put lib/edit/order.h '#include "edit/verbs.h"'
expect 'lib/base/vec.c:1: floor 0 (base) includes disk/raw.h of floor 4 (disk)
lib/check/count.c:1: floor 4 (check) includes disk/raw.h of floor 4 (disk)
lib/disk/raw.h:1: floor 4 (disk) includes q2s/emit.h of floor 6 (emit)
lib/edit/order.h:1: floor 5 (edit) includes edit/verbs.h of floor 8 (q2s-edit)
lib/extra/new.c: its folder is on no floor
src/common/size.h:1: floor 7 (common) includes stream/main.c of floor 8 (stream)'

found=$(check_tree "$Q2S_SRC")
if [ -n "$found" ]; then
	echo "$found"
	exit 1
fi
count=$(cd "$Q2S_SRC" && find include lib src plugins -name '*.[ch]' | wc -l)
echo "$count files, each includes only its own folder and lower floors"
[ "$count" -gt 0 ]
