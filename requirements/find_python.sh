#!/usr/bin/env bash
# Prints the newest Python on this machine that Potstill supports, or that which was asked for: find_python.sh [PYTHON].
# Says how to get one where there is none.
set -euo pipefail

# Also tells apart what only looks like a Python: pyenv puts a python3.13 into the path that will not run.
runs() { "$1" -c '' 2>/dev/null; }
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; }
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
makes_venvs() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

fail() {
    cat >&2 <<END
$1

  Debian, Ubuntu    sudo apt install python3 python3-venv
  Fedora            sudo dnf install python3
  anywhere          uv python install 3.13      (https://docs.astral.sh/uv)
                    pyenv install 3.13          (https://github.com/pyenv/pyenv)

Then type the same again, with PYTHON=/path/to/python3.13 at its end if that is in no folder of PATH.
END
    exit 1
}

without_venv=
for name in ${1:-python3.14 python3.13 python3.12 python3.11 python3}; do
    if ! runs "$name"; then
        [ -z "${1:-}" ] || fail "$name does not run. Potstill needs Python 3.11, 3.12, 3.13 or 3.14:"
    elif ! supported "$name"; then
        [ -z "${1:-}" ] || fail "$name is Python $(version "$name"); Potstill needs 3.11, 3.12, 3.13 or 3.14:"
    elif makes_venvs "$name"; then
        command -v "$name"
        exit
    else
        without_venv=${without_venv:-$name}
    fi
done
if [ -n "$without_venv" ]; then
    fail "$without_venv cannot make environments: sudo apt install python$(version "$without_venv")-venv, or another Python:"
fi
fail "No Python 3.11, 3.12, 3.13 or 3.14 was found. To get one:"
