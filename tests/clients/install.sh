#!/bin/sh
# install.sh python|node FOLDER
# Makes FOLDER hold the client libraries of the tests, in the releases that are pinned beside this
# script, unless it holds them already. It writes nowhere else, apart from the package managers' caches.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 2 ] || {
  echo "usage: install.sh python|node FOLDER" >&2
  exit 1
}
folder=$2
case $1 in
  python) pins=$here/python/requirements.txt ;;
  node) pins=$here/node/package-lock.json ;;
  *)
    echo "install.sh knows python and node, not $1" >&2
    exit 1
    ;;
esac

# Tests run at the same time; the others wait here and find the work done.
exec 9<"$here/install.sh"
flock 9
installed=$folder/installed-pins
if cmp -s "$pins" "$installed"; then exit 0; fi

install_python() {
  # The first `python3` of the path may be one without `venv`; Debian's own gets it by a package.
  python=python3
  "$python" -c 'import venv, ensurepip' 2>/dev/null || python=/usr/bin/python3
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --no-deps \
    --requirement "$pins"
}

# Optional packages hold machine code; without them and without scripts only JavaScript is installed.
# `npm ci` would want even these in the lock file, for every kind of machine.
install_node() {
  mkdir -p "$folder"
  cp "$here/node/package.json" "$pins" "$folder/"
  cd "$folder"
  npm install --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error --prefer-offline \
    --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
}

"install_$1"
cp "$pins" "$installed"
