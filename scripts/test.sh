#!/bin/sh
# npm test: sets up what is missing, then runs every test. Arguments go to vitest: `npm test -- --project unit`,
# `npm test -- test/unit/rooms.test.ts`. The last line printed is `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh test

# A run of everything must contain every suite of test/must-run.json; a run of a choice need not.
if [ $# -eq 0 ]; then MOSAIK_TEST_ALL=1; else MOSAIK_TEST_ALL=0; fi
export MOSAIK_TEST_ALL
# Node 24 for vitest, and for every program that a test starts
PATH=$PWD/node_modules/.bin:$PATH
export PATH
# ... which start in half the time with what is compiled already.
NODE_COMPILE_CACHE=$PWD/build/compile-cache
export NODE_COMPILE_CACHE
# ... and to start one costs less (bin/mosaik).
GLIBC_TUNABLES=glibc.malloc.hugetlb=1
export GLIBC_TUNABLES
exec vitest run "$@" </dev/null
