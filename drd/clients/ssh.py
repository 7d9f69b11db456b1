"""OpenSSH's client: commands for the one process client, with strict host keys and nothing of the user's own files."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drd.core.errors import PermanentError, ProgramMissing
from drd.core.secrets import SecretReference
from drd.ports.machines import Machine, Shell

NOT_REACHED = 255
"""ssh's own exit status when the other side was not reached or did not let it in."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a machine may be silent before it counts as gone."""

    connect_seconds: int = 5
    alive_seconds: int = 5
    """After so long a silence it is asked whether it is there."""
    alive_questions: int = 3
    """So many in a row without an answer end the connection."""


def ssh_argv(machine: Machine, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` on a machine.

    Raises `PermanentError` when drd.yaml does not say how its shell is reached, `ProgramMissing` without ssh.
    """
    shell = machine.shell
    if not isinstance(shell, Shell):
        raise PermanentError(
            f"drd.yaml does not say how the shell of {machine.name} is reached",
            "write `ssh:` or `shell:` at the node",
        )
    if shell.known_hosts is None:
        raise PermanentError(
            f"the host key of {machine.name} is not known",
            f"write `known_hosts:` at the node's `ssh:`, a file that ssh-keyscan {machine.host} fills",
        )
    reached = reaching(shell.key, shell.known_hosts, shell.port)
    return (*reached, f"{shell.user}@{machine.host}", "--", shlex.join(argv))


def reaching(key: SecretReference, known_hosts: Path, port: int, patience: Patience = Patience()) -> tuple[str, ...]:
    """The command up to the name of the machine.

    Raises `PermanentError` for a key that is no file, `ProgramMissing` without ssh.
    """
    program = shutil.which("ssh")
    if program is None:
        raise ProgramMissing("ssh is not installed", "apt-get install openssh-client")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(patience.connect_seconds),
        "ServerAliveInterval": str(patience.alive_seconds),
        "ServerAliveCountMax": str(patience.alive_questions),
        "LogLevel": "ERROR",
    }
    return (
        *(program, "-F", "/dev/null", "-i", str(_key_file(key)), "-p", str(port)),
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
    )


def _key_file(key: SecretReference) -> Path:
    """Where a private key lies. ssh closes the descriptors that it is handed, so it must be a file."""
    if key.file is not None:
        return key.file
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if key.credential is None or folder is None:
        raise PermanentError(
            f"{key.summary()} is no file, and ssh reads its key from one",
            "write `key: {file: /path}`, or {credential: name} where drd runs under systemd",
        )
    return Path(folder) / key.credential
