"""OpenSSH's client: commands for the one process client, with strict host keys and nothing of the user's own files."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from drd.core.errors import PermanentError, ProgramMissing
from drd.core.secrets import SecretReference
from drd.ports.machines import Machine

CONNECT_SECONDS = 5
ALIVE_SECONDS = 5
ALIVE_QUESTIONS = 3
NOT_REACHED = 255
"""ssh's own exit status when the other side was not reached or did not let it in."""


def ssh_argv(machine: Machine, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` on a machine.

    Raises `PermanentError` when drd.yaml does not say how its shell is reached, `ProgramMissing` without ssh.
    """
    shell = machine.shell
    if shell is None:
        raise PermanentError(
            f"drd.yaml does not say how the shell of {machine.name} is reached", "write `ssh:` at the node"
        )
    if shell.known_hosts is None:
        raise PermanentError(
            f"the host key of {machine.name} is not known",
            f"write `known_hosts:` at the node's `ssh:`, a file that ssh-keyscan {machine.host} fills",
        )
    program = shutil.which("ssh")
    if program is None:
        raise ProgramMissing("ssh is not installed", "apt-get install openssh-client")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(shell.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": str(ALIVE_SECONDS),
        "ServerAliveCountMax": str(ALIVE_QUESTIONS),
        "LogLevel": "ERROR",
    }
    return (
        *(program, "-F", "/dev/null", "-i", str(key_file(shell.key)), "-p", str(shell.port)),
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        *(f"{shell.user}@{machine.host}", "--", shlex.join(argv)),
    )


def key_file(key: SecretReference) -> Path:
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
