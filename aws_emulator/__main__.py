"""Run the emulated organisation: ``python -m aws_emulator CONFIG.json``.

Prints ``{"ready": true, "endpoint": …}`` when it answers. Ends when its standard input closes, on SIGTERM or SIGINT, or
when the process that started it is gone; nothing it started outlives it.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "TZ", "UV_CACHE_DIR")


def clean_environment(config: dict[str, Any]) -> None:
    """Leave nothing in the environment that came from the person's shell: credentials, profiles, proxies, CA bundles.

    MiniStack reads its settings from the environment and hands its whole environment to Lambda functions.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    work_dir = Path(config["work_dir"])
    folders = {name: work_dir / name for name in ("tmp", "home", "state")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    kept.setdefault("UV_CACHE_DIR", str(cache))  # builds install from what is downloaded already
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(
        {
            "AUTH": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "BIND_HOST": "127.0.0.1",
            "DOCKER_HOST": "unix:///nonexistent",
            "GATEWAY_PORT": str(config["port"]),
            "HOME": str(folders["home"]),
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_ACCOUNT_ID": str(config["management_account"]),
            "MINISTACK_REGION": str(config["region"]),
            "NO_PROXY": "127.0.0.1,localhost",
            "PERSIST_STATE": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(folders["state"]),
            "TMPDIR": str(folders["tmp"]),
        }
    )


def check_port(port: int) -> None:
    """Exit with a message when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(
                f"The emulated organisation cannot start: port {port} of 127.0.0.1 is not free ({error}). "
                "Choose another port in the configuration file."
            )


def main() -> None:
    """Start everything and serve until told to end."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m aws_emulator CONFIG.json")
    config_file = Path(sys.argv[1]).resolve()
    config = json.loads(config_file.read_text())
    check_port(int(config["port"]))
    clean_environment(config)
    logging.basicConfig(
        filename=Path(config["work_dir"]) / "cloud.log",
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )

    # Imported only now, because MiniStack reads the environment when it is imported.
    server = importlib.import_module("aws_emulator.server")
    server.run(importlib.import_module("aws_emulator.core").Organization.from_file(config_file))


if __name__ == "__main__":
    main()
