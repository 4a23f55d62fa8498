#!/bin/sh
# npm run bench: sets up the npm packages, the kernel and the player, then measures. Arguments go to scripts/bench/main.ts.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh check
exec node_modules/.bin/node --max-semi-space-size=2 --disable-warning=ExperimentalWarning scripts/bench/main.ts "$@"
