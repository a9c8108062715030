# SPDX-License-Identifier: GPL-2.0-or-later
# Prints each line of C as FILE:LINE:CODE, with comments, strings and character constants left out.
FNR == 1 { inside = "" }
{
	out = ""
	for (i = 1; i <= length($0); i++) {
		c = substr($0, i, 1); two = substr($0, i, 2)
		if (inside == "comment") { if (two == "*/") { inside = ""; i++ } continue }
		if (inside != "") { if (c == "\\") i++; else if (c == inside) inside = ""; continue }
		if (two == "/*") { inside = "comment"; i++; continue }
		if (two == "//") break
		if (c == "\"" || c == "\047") { inside = c; continue }
		out = out c
	}
	print FILENAME ":" FNR ":" out
}
