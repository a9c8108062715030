#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No name of ours begins as the names of a library do: its next release may declare the same one, and
# then nothing compiles (nbd_extent became a type of libnbd in 1.18). Each such name in the sources
# must be one that the library's own header has.

. "$Q2S_SRC/tests/cli/lib.sh"

read -ra cc <<<"${CC:-cc}"

# HEADER[,HEADER...] PATTERN: the names that are the library's.
namespaces='
libnbd.h     (nbd|LIBNBD)_\w+
curl/curl.h  (curl_|CURL|libcurl_)\w+
gcrypt.h     (gcry|GCRY|gpg|GPG)_\w+
jansson.h    (json|JSON|jansson|JANSSON)_\w+
zstd.h,zstd_errors.h     (ZSTD|ZDICT|ZBUFF)_?\w+
isa-l.h      (isal|ISAL|igzip|IGZIP|ec|gf|xor|raid)_\w+
libdeflate.h (libdeflate|LIBDEFLATE)_\w+
zlib.h       (compress|uncompress|deflate|inflate|adler32|crc32)([0-9A-Z]\w*|_z)?|(gz|z|Z)_\w+|gz[a-z]+
check.h      (ck|CK|tcase|suite|srunner)_\w+
'

# names FILE PATTERN: those of the names in code that match, with the places of the first.
names() {
	grep -oP "^[^:]*:[0-9]+:|\\b($2)\\b" "$1" |
		awk '/:$/ { place = $0; next } !seen[$0]++ { print $0, place }' | LC_ALL=C sort
}

# declared HEADER[,HEADER...]: each name in what the preprocessor makes of it, macros too; nothing without it.
declared() {
	sed 's/,/\n/g; s/^/#include </gm; s/$/>/gm' <<<"$1" >only.c
	"${cc[@]}" -E -P only.c >declared 2>"$tmp/stderr" || return 1
	"${cc[@]}" -E -dM only.c >>declared
	grep -oE '[A-Za-z_][A-Za-z0-9_]*' declared | LC_ALL=C sort -u
}

# ours CODE: names that no library declares though they look as if one did.
ours() {
	local header pattern

	while read -r header pattern; do
		if [ -z "$header" ] || [ ! -s "known-${header//\//-}" ]; then
			continue
		fi
		names "$1" "$pattern" | LC_ALL=C join -v 1 - "known-${header//\//-}"
	done <<<"$namespaces"
}

# Proved on a file with faults.
printf '%s\n' crc32 inflate z_never >known-zlib.h
echo z_other >known-libnbd.h
cat >bad.c <<'END'
/* nbd_comment */ static const char *nbd_ok = "nbd_string"; struct q2s_nbd_x { int nbd_; };
static void inflate_all(void) { inflate(&crc32); } /* no name of zlib's kind */
static void inflateAll(void) { crc32_of(compressed); z_never(q2si_z_ever); }
END
awk -f "$Q2S_SRC/tests/code.awk" bad.c >code
assert_equal 'nbd_ok bad.c:1: inflateAll bad.c:3:' "$(ours code | xargs)" 'what the check finds in bad.c'
while read -r header _; do
	[ -z "$header" ] || declared "$header" >"known-${header//\//-}" || echo "not looked at: $header is not here"
done <<<"$namespaces"

(cd "$Q2S_SRC" && find include lib src tests -name '*.[ch]' -print0 | xargs -0 awk -f tests/code.awk) >code
[ "$(wc -l <code)" -gt 1000 ] || fail 'where are the sources?'
grep -q . known-jansson.h || fail 'jansson.h, which every build needs, has no names'
ours code >found
if [ -s found ]; then
	cat found
	fail 'these names belong to a library, or look as if they did'
fi
