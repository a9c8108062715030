# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# Sourced, by `run` and by each test: put the tools of the build tree $Q2S_BUILD first in PATH.
#
# libtool keeps the real programs in .libs and leaves a shell wrapper in their place. The real
# ones come first here: they start faster, and a debugger or strace sees them.

for q2s_tool in create stream inspect edit corpus; do
	PATH=$Q2S_BUILD/src/$q2s_tool/.libs:$Q2S_BUILD/src/$q2s_tool:$PATH
done
unset q2s_tool
LD_LIBRARY_PATH=$Q2S_BUILD/lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH LD_LIBRARY_PATH Q2S_BUILD Q2S_SRC
