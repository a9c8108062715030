#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A short run of the laboratory of the write path: that it finds planted faults, and none in the engine.

set -u

exec "$Q2S_BUILD/tests/lab/lab" short
