#!/bin/sh
# npm run check: format, lint, types, room rules, unit tests. Runs all of them, also after one failed, two at a time
# where that is quicker, and says at the end which did.
set -u
cd "$(dirname "$0")/.." || exit
sh scripts/setup.sh check || exit 1
PATH=$PWD/node_modules/.bin:$PATH
export PATH

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND… : keeps its output, notes whether it failed and how long it took.
step() {
  name=$1 began=$(date +%s)
  shift
  if "$@" >"$out/$name.log" 2>&1; then result=ok; else result=FAILED; fi
  echo "$name $result $(($(date +%s) - began))" >>"$out/results"
  printf '%-8s %-6s %3d s\n' "$name" "$result" "$(($(date +%s) - began))"
  [ $result = ok ] || sed "s/^/  /" "$out/$name.log"
}

(
  step types node node_modules/@typescript/native/bin/tsc
  step unit vitest run --project unit
) &
(
  step lint oxlint --deny-warnings
  step homes eslint src workers
  step rooms depcruise --config .dependency-cruiser.cjs --output-type err src workers scripts test
  step format prettier --check --log-level warn .
) &
wait

failed=$(awk '$2 != "ok" { printf "%s ", $1 }' "$out/results")
if [ -n "$failed" ]; then
  echo "check failed: $failed"
  exit 1
fi
echo "check passed"
