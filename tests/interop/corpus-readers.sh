#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The legal images of the corpus, as programs that share no code with QEMU read them: 7-Zip and
# libqcow. Both know less than all of the format. What they are known not to read is listed with the
# reason; everything else they must read as the manifest says.
#
# 7-Zip sees a sample, as in corpus.sh; Q2S_CORPUS=all shows it all.

. "$Q2S_SRC/tests/cli/lib.sh"
requires q2s-create jq sha256sum HAVE_LIBGCRYPT

seven_zip=$(command -v 7zz || command -v 7z || :)
python=
for candidate in python3 /usr/bin/python3; do
	if "$candidate" -c 'import pyqcow' 2>/dev/null; then
		python=$candidate
	fi
done
[ -n "$seven_zip$python" ] || skip "needs 7-Zip or libqcow for Python; neither is installed"

# READER PATTERN... : REASON
limits='
7zip *backed* chain sound-backing* subcluster-data* subcluster-zero* header-string-nul : opens no backing file
7zip header-backing-empty : takes an offset without a name for a backing file
7zip *extended* kept* subcluster-both* : knows no extended L2 entries
7zip compressed-zstd* : knows no compression but zlib
7zip data-file* sound-data-file* : opens no data file, and shows something else instead
7zip sound-tail-missing compressed-tail-missing : wants the last cluster of a file whole
7zip header-size-unaligned : shows the odd bytes at the end of the disk
libqcow *backed* chain sound-backing* header-string-nul : has to be given the backing file
libqcow *extended* kept* subcluster* : knows no extended L2 entries
libqcow compressed-zstd* : knows no compression but zlib
libqcow data-file* sound-data-file* : knows no data files
libqcow states* tables-many sound-standard sound-tables-last : does not know the zero flag
libqcow sound-tail-missing : shows something else where the file ends within a cluster
libqcow size-0 sound-empty : wants an L1 table with an entry
libqcow sound-header-long header-fields-unknown : knows headers of 104 and 112 bytes only
libqcow header-compatible-unknown sound-feature-names : refuses unknown compatible features
libqcow header-corrupt : refuses images with the corrupt bit
libqcow header-size-unaligned : shows the odd bytes at the end of the disk
'

# reason READER IMAGE: in $why, why it is known not to read it; empty: it must.
reason() {
	local reader words pattern

	while IFS=: read -r words why; do
		read -ra words <<<"$words"
		reader=${words[0]:-}
		[ "$reader" = "$1" ] || continue
		for pattern in "${words[@]:1}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $2 != $pattern ]] || return 0
		done
	done <<<"$limits"
	why=
}

# judge READER: from "DIGEST FILE" lines of what it read, against the manifest.
judge() {
	local got file why good=0 known=0

	while read -r got file; do
		reason "$1" "${file%.qcow2}"
		if [ "$got" = "${want[$file]}" ]; then
			good=$((good + 1))
		elif [ -n "$why" ]; then
			known=$((known + 1))
		else
			fail "$1 reads something else in $file"
		fi
	done
	echo "$1: $good images read, $known not, for known reasons"
	[ "$good" -gt 90 ] || fail "$1 reads next to nothing"
}

q2s-corpus -q corpus
cd corpus

declare -A want
while read -r file digest; do
	want[$file]=$digest
done < <(jq -r 'select(.sha256) | "\(.file) \(.sha256)"' manifest.jsonl)

# Larger disks tell nothing new, and take their time.
small='select(.legal and .sha256 and ."virtual-size" <= 64 * 1048576)'
case ${Q2S_CORPUS:-some} in
all) sample=true ;;
*) sample='$i % 5 == (.value.kind | length) % 5 or $i == 0' ;;
esac

if [ -n "$seven_zip" ]; then
	jq -rs "map($small) | group_by(.kind)[] | to_entries[] | select(.key as \$i | $sample) |
		.value.file" manifest.jsonl >../files
	# shellcheck disable=SC2016 # the shells that xargs starts expand it
	xargs -P "$(nproc)" -n 8 bash -c 'seven_zip=$0
		for file; do
			digest=$("$seven_zip" x -so -tqcow "$file" 2>/dev/null | sha256sum)
			echo "${digest%% *} $file"
		done' "$seven_zip" <../files >../7zip
	judge 7zip <../7zip
fi

if [ -n "$python" ]; then
	jq -r "$small | .file" manifest.jsonl | "$python" -c '
import hashlib, sys
import pyqcow

def digest(name):
    image = pyqcow.file()
    image.open(name)
    left = image.get_media_size()
    sha = hashlib.sha256()
    while left:
        data = image.read_buffer(min(left, 1 << 20))
        if not data:
            raise IOError
        sha.update(data)
        left -= len(data)
    image.close()
    return sha.hexdigest()

for name in sys.stdin.read().split():
    try:
        print(digest(name), name)
    except IOError:
        print("none", name)' >../libqcow
	judge libqcow <../libqcow
fi
