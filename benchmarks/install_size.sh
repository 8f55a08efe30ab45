#!/bin/sh
# The size of the base install, `pip install .` without any extra: everything pip adds to a fresh
# environment, bytecode included, pip itself not.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
before=$(du -sk "$folder" | cut -f1)
"$folder/bin/python" -m pip install --quiet --constraint "$here/constraints.txt" "$here" 2>"$folder/log" ||
    { cat "$folder/log" >&2; exit 1; }
rm "$folder/log"
after=$(du -sk "$folder" | cut -f1)
"$folder/bin/python" -c 'import importlib.util as u, surefoot.cli; assert u.find_spec("torch") is None'
echo "base install: $(((after - before) * 1024 / 1000000)) MB"
du -sk "$folder"/lib/python*/site-packages/* | sort -rn | head -n 12 | awk '{ sub(".*/", "", $2); printf "%5d MB  %s\n", $1 * 1024 / 1e6, $2 }'
