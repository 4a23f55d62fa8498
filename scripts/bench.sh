#!/bin/sh
# npm run bench: sets up the npm packages, the kernel and the player, then measures. Arguments go to scripts/bench/main.ts.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh check
# as bin/mosaik does
GLIBC_TUNABLES=glibc.malloc.hugetlb=1
export GLIBC_TUNABLES
exec node_modules/.bin/node --max-semi-space-size=2 --disable-warning=ExperimentalWarning scripts/bench/main.ts "$@"
