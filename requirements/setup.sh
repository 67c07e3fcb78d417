#!/usr/bin/env bash
# Makes the environment: setup.sh FOLDER venv [PYTHON], then setup.sh FOLDER runtime, gpu or dev.
# A line a step; what pip says is shown when a step fails.
set -euo pipefail
here=$(dirname "$0")
venv=$1

step() {
    local told=$1 log=$venv/setup.log started=$SECONDS
    shift
    printf '%-60s' "$told"
    if ! "$@" >"$log" 2>&1; then
        printf 'failed; the end of %s:\n' "$log"
        tail -n 40 "$log" >&2
        exit 1
    fi
    printf '%4d s\n' $((SECONDS - started))
}

# Not compiled: most of what is installed is never imported. What is, compile.py compiles.
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
install() { PYTHONWARNINGS=ignore pip install --no-compile "$@"; }
torch() { grep '^torch==' "$here/torch.txt"; }
loads() { "$venv/bin/python" -W ignore -c "import $1" 2>/dev/null; }

# Test suites, headers, compilers and Arrow's server: 280 MB that nothing here runs or imports.
trim() {
    local site
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    find "$site" -depth -type d -name tests -exec rm -rf {} +
    rm -rf "$site"/torch/{test,include} "$site"/torch/bin/{test_*,*Test,protoc*} "$site"/tornado/test
    rm -rf "$site"/pyarrow/{include,src} "$site"/pyarrow/*arrow*flight* "$site"/pyarrow/_flight*
}

case $2 in
venv)
    python=$(bash "$here/find_python.sh" "${3:-}")
    "$python" -m venv "$venv"
    echo "Installing into $venv, with $("$python" --version): about 1.3 GB, once."
    step "pip" install --upgrade pip==26.3
    ;;
runtime)
    step "torch" install --retries 1 --timeout 30 --no-deps --requirement "$here/torch.txt"
    step "what Potstill imports" install --no-deps --requirement "$here/runtime.txt"
    step "what of it nobody calls goes" trim
    if ! loads torch; then
        echo "The index of torch's CPU builds could not be reached: its CUDA build needs libraries, some 4 GB more."
        step "torch's libraries" install "$(torch)"
    fi
    step "OpenNMT-py" install --no-deps --requirement "$here/onmt.txt"
    step "potstill" install --no-deps --no-build-isolation --editable "$here/.."
    step "compiling what is imported" "$venv/bin/python" "$here/compile.py"
    ;;
gpu)
    step "torch's CPU build goes" pip uninstall --yes torch # it would do for pip
    step "torch with CUDA, and CTranslate2's CUDA libraries" install --requirement "$here/gpu.txt"
    ;;
dev)
    step "what the tests need" install --no-deps --requirement "$here/dev.txt"
    step "compiling it" "$venv/bin/python" "$here/compile.py" datasets hypothesis pandas pytest transformers xdist
    ;;
esac
