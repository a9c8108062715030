#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Commit, rebase, long headers and dirty images, ended at every write of each disk: nothing is lost, and the
# same command completes the work. That the flushes are needed is proved by doing without them.

set -eu

"$Q2S_BUILD/tests/lab/layers" short
"$Q2S_BUILD/tests/lab/layers" mutation
