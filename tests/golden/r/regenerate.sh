#!/usr/bin/env bash
# Write tests/golden/json and tests/golden/data again with R, and say what changed.
# Needs Rscript and the packages of sessionInfo.txt (Debian: r-base-core and r-cran-*).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v Rscript >/dev/null || { echo "Rscript is not installed: nothing to regenerate with" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r r/. data "$work"
cd "$work"
for script in make_*.R golden_*.R; do
  [ "$script" = golden_lib.R ] && continue
  echo "$script"
  Rscript "$script" >"$script.log" 2>&1 || { tail -20 "$script.log" >&2; exit 1; }
done
cd - >/dev/null
# only what the tests keep: the scripts write a few analyses and data sets more
for kept in json/*.json data/*.csv; do
  if [ -f "$work/$kept" ] && ! cmp -s "$work/$kept" "$kept"; then
    echo "changed: $kept"
    cp "$work/$kept" "$kept"
  elif [ ! -f "$work/$kept" ]; then
    echo "not written by any script: $kept" >&2
  fi
done
