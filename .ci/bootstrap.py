"""Put the pinned `uv` into .tools/, and a Python that fits on the machine, with nothing but the standard library.

``bootstrap.py uv TARGET``: a fresh Debian machine has neither pip nor venv, so the wheel is taken from the package
index directly, checked against the digest below, and its one binary is unpacked. The index is `UV_INDEX_URL`,
`PIP_INDEX_URL` or https://pypi.org/simple.

``bootstrap.py python TARGET UV``: writes to `TARGET` which Python the environments get. One that is installed is taken;
only where none fits does uv fetch one, which it keeps for all projects.

Runs on every Python from 3.9 (Apple's), also where the environments cannot.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.8"
WHEELS = {
    ("Linux", "x86_64"): (
        f"uv-{VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    ("Linux", "aarch64"): (
        f"uv-{VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
    ("Darwin", "arm64"): (
        f"uv-{VERSION}-py3-none-macosx_11_0_arm64.whl",
        "62b6943c7fd64fac6854f780bea6e0359e5a5bc3241f83ee357bb38276afac49",
    ),
}
PYTHONS = ("3.13", "3.12", "3.11")
"""Versions that the environments resolve for (requires-python in pyproject.toml); the first is fetched if need be."""


def fetch(url: str) -> bytes:
    """Return what the URL answers, or stop with the cause and the remedy."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (an index chosen by the user)
            return bytes(response.read())
    except (urllib.error.URLError, OSError) as err:
        raise SystemExit(
            f"Cannot fetch {url}: {err}. uv, which installs everything else, is missing. Check the network, or set "
            f"UV_INDEX_URL to a package index that this machine reaches, or put uv {VERSION} on PATH: make UV=uv ..."
        ) from err


def install_uv(target: Path) -> None:
    """Write the executable `target` unless the pinned version is there."""
    if target.exists():
        version = subprocess.run([target, "--version"], capture_output=True, text=True, check=False).stdout
        if VERSION in version.split():
            return
    machine = (platform.system(), platform.machine())
    if machine not in WHEELS:
        known = ", ".join(" ".join(each) for each in WHEELS)
        raise SystemExit(
            f"This machine is {' '.join(machine)}; the pinned packages are built for {known}. Nothing was installed. "
            f'If you have all compilers that they need, put uv {VERSION} on PATH and run make UV="$(command -v uv)" ...'
        )
    wheel, digest = WHEELS[machine]
    index = (os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple").rstrip("/")
    page = f"{index}/uv/"
    link = re.search(rf'href="([^"#]*{re.escape(wheel)})', fetch(page).decode())
    if not link:
        raise SystemExit(f"{page} does not offer {wheel}. Use an index that does (UV_INDEX_URL).")
    print(f"installing uv {VERSION} into {target.parent}", file=sys.stderr)
    content = fetch(urllib.parse.urljoin(page, link.group(1)))
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise SystemExit(f"{wheel}: SHA-256 is {found}, expected {digest}. The file was not installed; report this.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        write(target, archive.read(f"uv-{VERSION}.data/scripts/uv"), mode=0o755)


def write(target: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file that is renamed when whole: an interrupted run leaves no half one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")
    part.write_bytes(content)
    part.chmod(mode)
    part.replace(target)


def find_python(target: Path, uv: str) -> None:
    """Write the path of a Python that fits to `target`, and have uv fetch one first where there is none.

    `UV_PYTHON` in the environment chooses among those that fit.
    """
    find = [uv, "python", "find", "--system"]  # what pyproject.toml in the working directory requires
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    if found.returncode:
        wanted = os.environ.get("UV_PYTHON", PYTHONS[0])
        print(f"no Python {wanted} on this machine: fetching it with uv", file=sys.stderr)
        install = [uv, "python", "install", "--no-bin", wanted]
        fetched = subprocess.run(install, capture_output=True, text=True, check=False)
        found = subprocess.run(find, capture_output=True, text=True, check=False)
        if found.returncode:
            raise SystemExit(
                f"The environments need Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}. This machine has none "
                f"(python3 is {platform.python_version()}) and none could be fetched, so nothing was installed. "
                f"Install one and run make again: sudo apt install python{wanted} (Debian, Ubuntu; or the one that "
                f"your release has), brew install python@{wanted} (macOS). Where downloads go through a mirror, set "
                f"UV_PYTHON_INSTALL_MIRROR to it. uv said:\n{(fetched.stderr or found.stderr).strip()}"
            )
    write(target, found.stdout.encode())


if __name__ == "__main__":
    if sys.argv[1] == "uv":
        install_uv(Path(sys.argv[2]))
    else:
        find_python(Path(sys.argv[2]), sys.argv[3])
