"""Runs the containers of a job on this machine, without containers: ``/opt/ml`` is a folder of the job.

On Linux each job gets a mount namespace of its own, in which ``/opt/ml`` is the job's folder, so that scripts written
for SageMaker, the SDK's own included, run unchanged. Where namespaces are not to be had (macOS, hardened kernels), the
text ``/opt/ml`` is replaced in the job's commands and scripts instead.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = "/opt/ml"
# Its own mounts, and its own process tree, which ends when its first process ends, which ends when this process ends.
_NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "-Urmp", "--kill-child"]
_MOUNT = 'mount -t tmpfs none /opt && mkdir /opt/ml && mount --bind "$0" /opt/ml && exec "$@"'
_TEXT_FILES = frozenset({".sh", ".py", ".json", ".env"})
_AWS_VARIABLES = ("AWS_", "BOTO")  # credentials and endpoint: a container on SageMaker gets those of the job's role


@functools.cache
def has_namespaces() -> bool:
    """Return whether this machine lets an ordinary user mount over /opt, and nothing the jobs need is there."""
    needed = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve())}
    if not sys.platform.startswith("linux") or any(path.startswith("/opt/") for path in needed):
        return False
    try:
        command = [*_NAMESPACES, "bash", "-c", "mount -t tmpfs none /opt"]
        probe = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


class Sandbox:
    """Starts processes that see a folder of this machine as ``/opt/ml``.

    Args:
        tools: Folder (made if missing) for the few commands that a container has and an environment may not.
        namespaces: Use mount namespaces. Default: when this machine has them.
        aws: Hand the AWS variables of this process to the jobs. Default: jobs have no credentials.
    """

    def __init__(self, tools: Path, *, namespaces: bool | None = None, aws: bool = False) -> None:
        self._namespaces = has_namespaces() if namespaces is None else namespaces
        self._path = f"{_make_tools(tools)}:/usr/local/bin:/usr/bin:/bin"
        self._aws = aws

    def run(
        self,
        ml: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        timeout_s: float | None = None,
    ) -> int:
        """Run a command in which ``/opt/ml`` is the folder `ml`, and return its exit code.

        Args:
            ml: Absolute path of the folder.
            command: Program and arguments, with the paths of a container.
            environment: Variables of the job; little of this process' own environment gets in.
            log: File that receives standard output and standard error.
            timeout_s: Longest run time, in seconds. Default: no limit.

        Raises:
            TimeoutError: The job took longer; it was stopped.
        """
        variables = self._environment(environment)
        if self._namespaces:
            arguments = [*_NAMESPACES, "bash", "-c", _MOUNT, str(ml), *command]
        else:
            _replace_root(ml)
            arguments = [part.replace(ROOT, str(ml)) for part in command]
            variables = {name: value.replace(ROOT, str(ml)) for name, value in variables.items()}
            variables |= {"SM_PROCESSING_BASE": str(ml / "processing"), "SAGEMAKER_BASE_DIR": str(ml)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                arguments, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired as err:
                raise TimeoutError(f"the job ran longer than {timeout_s:g} s and was stopped") from err
            finally:
                if process.poll() is None:  # stopped from outside, or too slow: its children go with it
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        if self._aws:
            aws = {name: value for name, value in os.environ.items() if name.startswith(_AWS_VARIABLES)}
        else:
            aws = {"AWS_EC2_METADATA_DISABLED": "true"}  # do not look for credentials that are not there
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        # Threads of XGBoost that wait for others sleep: on a machine with other work they would slow each other down.
        fixed = {"LANG": "C.UTF-8", "MPLBACKEND": "agg", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
        # Jobs look like root to themselves, so tar would give files to the owners in an archive, who do not exist here.
        fixed["TAR_OPTIONS"] = "--no-same-owner"
        return {**kept, **fixed, **aws, **environment, "PATH": self._path}


def _make_tools(folder: Path) -> Path:
    """Write the commands that scripts for containers take for granted: python3 of this environment, and pip."""
    folder.mkdir(parents=True, exist_ok=True)
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    pip = "#!/bin/sh\necho 'pip is not run here: the environment has what pyproject.toml lists' >&2\nexit 1\n"
    for name, script in {"python": python, "python3": python, "pip": pip, "pip3": pip}.items():
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def _replace_root(ml: Path) -> None:
    for path in ml.rglob("*"):
        if path.name == "sourcedir.tar.gz":  # unpacked by the job, when it is too late to replace anything
            _replace_in_archive(path, ml)
        elif path.suffix in _TEXT_FILES and path.is_file():
            _replace_in_file(path, ml)


def _replace_in_archive(archive: Path, ml: Path) -> None:
    unpacked = archive.with_name("unpacked")
    with tarfile.open(archive) as tar:
        # Python has the filter since 3.11.4; Debian 12 brings 3.11.2.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(unpacked)
    for path in unpacked.rglob("*"):
        if path.suffix in _TEXT_FILES and path.is_file():
            _replace_in_file(path, ml)
    shutil.make_archive(str(archive).removesuffix(".tar.gz"), "gztar", unpacked)
    shutil.rmtree(unpacked)


def _replace_in_file(path: Path, ml: Path) -> None:
    content = path.read_bytes()
    if ROOT.encode() in content:
        path.write_bytes(content.replace(ROOT.encode(), str(ml).encode()))
