#!/usr/bin/env bash
# Resolves the *.in files into exact versions that have wheels for every Python: `make lock`.
set -euo pipefail
cd "$(dirname "$0")"
pythons=(3.11 3.12 3.13 3.14)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$PYTHON" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip --disable-pip-version-check -qq install uv==0.13.9

# One lock for all Pythons, one version of a package for all of them where there is one; what is locked already stays.
compile() {
    "$scratch/venv/bin/uv" pip compile --quiet --universal --python-version "${pythons[0]}" --fork-strategy fewest \
        --only-binary :all: --no-header --no-annotate --excludes excluded.txt "$@"
}
compile runtime.in --output-file runtime.txt "${@}" >/dev/null
cp dev.txt "$scratch/dev.txt"
compile dev.in --constraints runtime.txt --output-file "$scratch/dev.txt" "${@}" >/dev/null
grep -vxFf runtime.txt "$scratch/dev.txt" >dev.txt

# pip takes a wheel's markers from the Python that it runs on, so each Python is given the lines that are its own.
for python in "${pythons[@]}"; do
    "$scratch/venv/bin/python" - "$python" runtime.txt dev.txt onmt.txt >"$scratch/lines" <<'END'
import sys
from pathlib import Path
from pip._vendor.packaging.requirements import Requirement

for name in sys.argv[2:]:
    for line in Path(name).read_text().splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            version = {"python_version": sys.argv[1], "python_full_version": f"{sys.argv[1]}.0"}
            if not wanted.marker or wanted.marker.evaluate(version):
                print(f"{wanted.name}{wanted.specifier}")
END
    platforms=()
    for glibc in {5..28}; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
    "$scratch/venv/bin/python" -m pip --disable-pip-version-check -qq download --no-deps --only-binary :all: \
        --python-version "$python" --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
        --dest "$scratch/wheels-$python" --requirement "$scratch/lines"
    echo "Python $python: $(wc -l <"$scratch/lines") packages, all as wheels"
done
