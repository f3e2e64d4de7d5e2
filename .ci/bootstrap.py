"""Put the pinned `uv` into .tools/ with nothing but Python's standard library.

A fresh Debian machine has neither pip nor venv, so the wheel is taken from the package index directly, checked against
the digest below, and its one binary is unpacked. The index is `UV_INDEX_URL`, `PIP_INDEX_URL` or https://pypi.org/simple.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
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
    ("Darwin", "x86_64"): (
        f"uv-{VERSION}-py3-none-macosx_10_12_x86_64.whl",
        "b7124ca1956ec2e476a1003ea5715a15f0266afaec37f4dc9c6972ba8183e6d1",
    ),
}


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


def main(target: Path) -> None:
    """Write the executable `target` unless a finished one is there."""
    if target.exists():
        return
    machine = (platform.system(), platform.machine())
    if machine not in WHEELS:
        raise SystemExit(f"No pinned uv for {machine}. Put uv {VERSION} on PATH and run make UV=uv ...")
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
        binary = archive.read(f"uv-{VERSION}.data/scripts/uv")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")  # renamed when whole: an interrupted run leaves no half binary
    part.write_bytes(binary)
    part.chmod(0o755)
    part.replace(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
