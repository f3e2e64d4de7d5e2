"""Buildspecs: reading them, and running their phases with bash as CodeBuild does.

Source: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html and
https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details-phases.html (phase transitions).
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from aws_emulator import processes
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PHASES: Final = ("install", "pre_build", "build", "post_build")


_EMULATED: Final = {
    "buildspec": {"version", "env", "phases"},
    "env": {"shell", "git-credential-helper", "variables", "exported-variables"},
    "phase": {"commands", "on-failure", "runtime-versions"},
}
"""Keys of a buildspec that are emulated."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Commands of one phase."""

    commands: tuple[str, ...] = ()
    abort_on_failure: bool = False


@dataclass(frozen=True, kw_only=True)
class Buildspec:
    """What a build does.

    Attributes:
        variables: Environment variables.
        exported: Names of the variables that are reported when the build is done.
        phases: Phases by name.
    """

    variables: Mapping[str, str]
    exported: tuple[str, ...]
    phases: Mapping[str, Phase]

    @classmethod
    def parse(cls, text: str) -> Buildspec:
        """Read a buildspec.

        Raises:
            ValueError: It is not a buildspec of version 0.2 with phases, or has what is not emulated.
        """
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"YAML_FILE_ERROR: {error}") from error
        if not isinstance(raw, dict) or str(raw.get("version")) != "0.2" or not raw.get("phases"):
            raise ValueError("YAML_FILE_ERROR: a buildspec needs 'version: 0.2' and 'phases'")
        unknown = set(raw["phases"]) - set(PHASES)
        if unknown:
            raise ValueError(f"YAML_FILE_ERROR: unknown phases {sorted(unknown)}")
        env, phases = raw.get("env") or {}, {name: value or {} for name, value in raw["phases"].items()}
        for kind, part in (("buildspec", raw), ("env", env), *(("phase", phase) for phase in phases.values())):
            if missing := sorted(set(part) - _EMULATED[kind]):
                raise ValueError(f"YAML_FILE_ERROR: {', '.join(missing)} of a {kind} is not emulated")
        return cls(
            variables={name: _text(value) for name, value in (env.get("variables") or {}).items()},
            exported=tuple(env.get("exported-variables") or ()),
            # A failed build phase goes on to post_build unless told to abort; any other one ends the build anyway.
            phases={
                name: Phase(
                    commands=tuple(str(command) for command in phase.get("commands") or ()),
                    abort_on_failure=str(phase.get("on-failure", "")).upper() == "ABORT",
                )
                for name, phase in phases.items()
            },
        )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True)
class PhaseResult:
    """How a phase ended: ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or ``STOPPED``, and why."""

    name: str
    status: str
    reason: str
    started: float
    ended: float


class Shell:
    """Runs commands one after another in bash; variables that they export and the folder live on from phase to phase.

    Args:
        folder: Where the first command starts.
        scratch: Folder for the shell's own files.
        environment: All variables of the build.
        log: File that receives what the commands print.
        deadline: Time (of the clock that never goes back) at which the build times out.
    """

    def __init__(
        self, *, folder: Path, scratch: Path, environment: Mapping[str, str], log: Path, deadline: float
    ) -> None:
        self._scratch = scratch
        self._environment = dict(environment)
        self._log = log
        self._deadline = deadline
        self._stopped = clock.event()
        self._process: subprocess.Popen[bytes] | None = None
        self._state = scratch / "state"
        self._state.write_text(f"cd {shlex.quote(str(folder))}\n")

    def stop(self) -> None:
        """End what runs now, and let nothing more start."""
        self._stopped.set()
        if self._process:
            processes.kill(self._process)

    def phase(self, name: str, phase: Phase, *, succeeding: bool) -> PhaseResult:
        """Run the commands of a phase until one fails."""
        started = clock.now()
        status, reason = self._run(phase.commands, succeeding=succeeding)
        return PhaseResult(name=name, status=status, reason=reason, started=started, ended=clock.now())

    def variables(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the values that exported variables have now; missing ones are left out."""
        script = f'. "{self._state}"; ' + "".join(
            f'if [ -n "${{{name}+x}}" ]; then printf "%s\\0%s\\0" {name} "${name}"; fi; ' for name in names
        )
        result = subprocess.run(
            ["bash", "-c", script], env=self._environment, capture_output=True, check=True, timeout=30
        )
        parts = result.stdout.decode(errors="replace").split("\0")
        return dict(zip(parts[0:-1:2], parts[1:-1:2], strict=True))

    def _run(self, commands: tuple[str, ...], *, succeeding: bool) -> tuple[str, str]:
        for number, command in enumerate(commands):
            (self._scratch / f"command-{number}").write_text(command + "\n")
        script = "\n".join(
            [
                f'. "{self._state}"',
                f"export CODEBUILD_BUILD_SUCCEEDING={int(succeeding)}",
                f'trap \'export -p > "{self._state}"; printf "cd %q\\n" "$PWD" >> "{self._state}"\' EXIT',
                # No "|| exit" behind the command: bash would ignore a "set -e" inside it.
                *(
                    f'echo {number} > "{self._scratch}/current"\n. "{self._scratch}/command-{number}"\n'
                    "__status=$?; if [ $__status -ne 0 ]; then exit $__status; fi"
                    for number in range(len(commands))
                ),
            ]
        )
        if not commands:
            return "SUCCEEDED", ""
        if self._stopped.is_set():
            return "STOPPED", ""
        with self._log.open("ab") as log:
            self._process = processes.start(
                ["bash", "-c", script], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            exit_status = self._process.wait(max(0.0, self._deadline - clock.monotonic()))
        except subprocess.TimeoutExpired:
            return "TIMED_OUT", "Build timed out."
        finally:
            processes.kill(self._process)  # what a command left running in the background ends with it, as a container
        if self._stopped.is_set():
            return "STOPPED", ""
        if exit_status == 0:
            return "SUCCEEDED", ""
        current = int((self._scratch / "current").read_text())
        first_line = commands[current].strip().splitlines()[0]
        reason = f"Error while executing command: {first_line}. Reason: exit status {exit_status}"
        return "FAILED", f"COMMAND_EXECUTION_ERROR: {reason}"


def run(buildspec: Buildspec, shell: Shell, on_phase: Callable[[PhaseResult], None]) -> str:
    """Run all phases and return the build's status.

    Args:
        buildspec: What to run.
        shell: Where to run it.
        on_phase: Called with the result of every phase that ran.
    """
    status = "SUCCEEDED"
    for name in PHASES:
        phase = buildspec.phases.get(name, Phase())
        result = shell.phase(name, phase, succeeding=status == "SUCCEEDED")
        on_phase(result)
        if result.status != "SUCCEEDED":
            status = result.status if status == "SUCCEEDED" else status
            if name != "build" or phase.abort_on_failure or result.status != "FAILED":
                break
    return status
