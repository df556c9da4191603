#!/bin/bash
# make_venv.sh FOLDER: the virtual environment, from the locks in requirements/: a file without its hash there is not installed.
# DeepSpeed comes last: it is built from source, once its hash is checked, and asks the installed torch what it can do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Python 3.11 or newer is needed; '$python' is $("$python" --version 2>&1 || echo absent). Example: make setup PYTHON=python3.12" >&2
  exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "'$python' cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
  exit 2
fi

say() { echo "[$SECONDS s] $*"; }
# uv fetches and unpacks in parallel and keeps what it has fetched: pip takes four times as long. It does not read pip's settings;
# for a mirror, set UV_DEFAULT_INDEX.
install() { "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; }
locked() { install --require-hashes "$@"; }

say "making $venv (one to three minutes, 6 GB)"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement requirements/tools.txt
# compiled now, since pods of the development cluster cannot write into .venv; the rest is compiled when it is first imported
locked --only-binary :all: --compile-bytecode --requirement requirements/operator.txt
locked --only-binary :all: --requirement requirements/dev.txt
say "all but deepspeed is installed"
DS_BUILD_OPS=0 locked --no-build-isolation --no-deps --requirement requirements/deepspeed.txt
say "deepspeed is installed"
install --no-build-isolation --no-deps --editable .
"$venv/bin/uv" pip check --quiet --python "$venv/bin/python"
say "$venv is ready"
