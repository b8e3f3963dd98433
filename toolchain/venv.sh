#!/usr/bin/env bash
# venv.sh FOLDER VERSION: a virtual environment with the locked requirements and this checkout, installed editable.
# Takes the first Python of that version: on PATH, under pyenv, or with uv; else any newer one, which it says.
set -euo pipefail
folder=$1 version=$2

find_python() {
  local candidate
  for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python "/usr/bin/python$version"; do
    if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      echo "$candidate" && return
    fi
  done
  if [[ -n ${CI:-} ]]; then
    echo "Python $version is not here, and in CI both ends of the supported range are tested" >&2
    exit 1
  fi
  candidate=python3
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python $version is not here: taking $("$candidate" --version)" >&2
    echo "$candidate" && return
  fi
  echo "no Python from 3.11 on was found: install one, such as python$version with its venv module" >&2
  exit 1
}

python=$(find_python)
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --require-hashes -r requirements-dev.txt
"$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
