#!/bin/sh
# npm start: sets up what is missing, then starts the vault. Arguments go to `mosaik start`.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh run
exec bin/mosaik start "$@"
