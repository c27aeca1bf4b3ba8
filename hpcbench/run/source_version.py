"""The version of the code that produces results: a hash of its sources.

A commit says too much (documentation and plots change no result) and too little (edited files).
"""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hpcbench", "sims")
SUFFIXES = (".py", ".c", ".h", ".cpp")


def source_version(packages: tuple[str, ...] = PACKAGES, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits over names and contents of the packages' sources."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
