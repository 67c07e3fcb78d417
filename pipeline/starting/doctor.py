"""What this machine has of all that Potstill may want, and what each missing thing is for."""

import ctypes
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "missing", "optional"]
# What a run cannot do without beside what the package itself requires.
NEEDED = {"torch": "scoring and training", "OpenNMT-py": "training students and teachers"}
OPTIONAL = {
    "transformers": 'teachers of kind = "transformers"',
    "s3fs": "s3:// in recipes",
    "gcsfs": "gs:// in recipes",
    "aiohttp": "https:// in recipes",
    "zstandard": ".zst files",
    "bokeh": "Dask's dashboard",
    "unbabel-comet": "COMET in evaluate",
}
_INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "VNNI", "amx_int8": "AMX"}
_NAME = re.compile(r"^[\w.-]+")
_BFLOAT16 = ("avx512_bf16", "amx_bf16")
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line: what was looked for, what is there, and what to do where it is not."""

    area: str
    name: str
    found: str
    state: State = "ok"
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """All of it."""
        return asdict(self)


def examine(store: Path, facts: Path = Path("/proc/cpuinfo")) -> list[Finding]:
    """All findings; `store` is the folder that runs are to be kept in, there or not. Loads torch and CTranslate2."""
    return [*_python(), *_packages(), *_processor(facts), *_gpu(), *_memory_and_disk(store)]


def _python() -> Iterator[Finding]:
    here = f"{platform.python_version()} ({sys.executable})"
    known = (3, 11) <= sys.version_info[:2] <= (3, 14)
    yield Finding(
        "Python", "version", here, "ok" if known else "missing", "" if known else "Potstill needs 3.11 to 3.14"
    )


def _packages() -> Iterator[Finding]:
    own = [line for line in requires("potstill") or () if "extra ==" not in line]
    wanted = {_NAME.findall(line)[0]: "Potstill itself" for line in own}
    for name, purpose in {**wanted, **NEEDED}.items():
        found = _version(name)
        yield Finding(
            "package", name, found or "–", "ok" if found else "missing", "" if found else f"for {purpose}; make setup"
        )
    for name, purpose in OPTIONAL.items():
        found = _version(name)
        advice = "" if found else f"for {purpose}: {sys.executable} -m pip install {name}"
        yield Finding("package", name, found or "–", "ok" if found else "optional", advice)


def _processor(facts: Path) -> Iterator[Finding]:
    from stages.evaluate.machine import describe_machine

    machine = describe_machine("cpu")
    yield Finding("processor", "name", f"{machine['processor']}, {machine['cores']} cores for this process")
    words = set(facts.read_text(encoding="utf-8").split()) if facts.is_file() else set()
    known = list(dict.fromkeys(name for flag, name in _INSTRUCTIONS.items() if flag in words))
    yield Finding("processor", "instructions", ", ".join(known) or "none of AVX2, AVX-512, VNNI")
    has = any(flag in words for flag in _BFLOAT16)
    told = "scoring and training use it" if has else "scoring and training compute in float32, which takes longer"
    yield Finding("processor", "bfloat16", "yes" if has else "no", "ok", told)
    if find_spec("ctranslate2"):
        import ctranslate2

        types = sorted(ctranslate2.get_supported_compute_types("cpu"))
        yield Finding("processor", "CTranslate2 computes in", ", ".join(types))


def _gpu() -> Iterator[Finding]:
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        yield Finding("GPU", "device", "none", "optional", "a teacher of some size wants one; CPUs do for the demo")
        return
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "torch", "sees none", "missing", "make setup GPU=1 takes torch's CUDA build")
    else:
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory / GIB
            yield Finding("GPU", f"device {number}", f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB")
    from stages.loaded_model.cuda_libraries import load_cuda_libraries

    load_cuda_libraries()
    try:
        ctypes.CDLL("libcublas.so.12")
    except OSError as error:
        yield Finding("GPU", "libcublas.so.12", "–", "missing", f"{error}; CTranslate2 loads it: make setup GPU=1")
    else:
        yield Finding("GPU", "libcublas.so.12", "loads")


def _memory_and_disk(store: Path) -> Iterator[Finding]:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines() if Path("/proc/meminfo").is_file() else []
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    if kib:
        total, free = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
        enough = total >= 3.5 * GIB
        advice = "" if enough else "the demo wants 4 GiB"
        yield Finding(
            "memory", "RAM", f"{total / GIB:.0f} GiB, {free / GIB:.0f} free", "ok" if enough else "missing", advice
        )
    there = next(path for path in (store.absolute(), *store.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = free >= 2 * GIB
    advice = "" if enough else "the demo wants 2 GB"
    yield Finding("disk", str(store), f"{free / 1e9:.0f} GB free", "ok" if enough else "missing", advice)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def summary(findings: list[Finding]) -> dict[str, Any]:
    """As JSON: all findings, and whether nothing that is needed is missing."""
    return {
        "ok": not any(each.state == "missing" for each in findings),
        "findings": [each.as_json() for each in findings],
    }
