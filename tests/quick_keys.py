"""Repositories that open at once: the key of a test's repository, derived with scrypt's least work.

restic spends half a second on each command to make guessing passwords slow. Where a test runs thousands of commands,
the key file is written anew: the same master key, the same password, hardly any work. The format is that of restic's
design document: JSON with scrypt's parameters, and the master key as nonce ‖ AES-256-CTR ‖ Poly1305-AES.
"""

import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

LEAST_WORK = 2
NONCE_BYTES = 16
MAC_BYTES = 16


def make_quick(repository: Path, password: str) -> None:
    """Replace each key that `password` opens by a quick one. The repository must be at rest."""
    for path in sorted((repository / "keys").iterdir()):
        quicken(path, password)


def quicken(path: Path, password: str) -> None:
    """Replace one key file, unless it is quick already."""
    key = json.loads(path.read_bytes())
    if key["N"] > LEAST_WORK:
        content = json.dumps(_quickened(key, password)).encode()
        add_key(path.parent.parent, content)
        path.unlink()


def add_key(repository: Path, content: bytes) -> Path:
    """Put a key file into a repository, under the name that it has to have."""
    path = repository / "keys" / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    path.chmod(0o400)
    return path


def _quickened(key: dict[str, object], password: str) -> dict[str, object]:
    master = _opened(base64.b64decode(str(key["data"])), _derived(key, password))
    quick = {**key, "N": LEAST_WORK, "r": 1, "p": 1}
    return {**quick, "data": base64.b64encode(_sealed(master, _derived(quick, password))).decode()}


def _derived(key: dict[str, object], password: str) -> bytes:
    salt = base64.b64decode(str(key["salt"]))
    n, r, p = (int(str(key[name])) for name in ("N", "r", "p"))
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**30, dklen=64)


def _opened(sealed: bytes, derived: bytes) -> bytes:
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    assert _authenticated(rest[:-MAC_BYTES], nonce, derived) == rest[-MAC_BYTES:], "another password"
    return _encrypted(rest[:-MAC_BYTES], nonce, derived)


def _sealed(plain: bytes, derived: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    encrypted = _encrypted(plain, nonce, derived)
    return nonce + encrypted + _authenticated(encrypted, nonce, derived)


def _encrypted(text: bytes, nonce: bytes, derived: bytes) -> bytes:
    return Cipher(AES(derived[:32]), CTR(nonce)).encryptor().update(text)


def _authenticated(encrypted: bytes, nonce: bytes, derived: bytes) -> bytes:
    """Poly1305-AES: `derived` is the cipher's key (32 bytes), k (16) and r (16)."""
    k, r = derived[32:48], derived[48:64]
    return Poly1305.generate_tag(r + Cipher(AES(k), ECB()).encryptor().update(nonce), encrypted)
