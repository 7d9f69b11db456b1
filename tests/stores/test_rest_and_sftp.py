import asyncio
import hashlib
import io
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from pydantic import ValidationError

from drd.clients.carrier.content import BLOCK_BYTES, NamedContent, Refused
from drd.clients.carrier.files import FileKind, is_left
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.rest import RestFiles
from drd.clients.carrier.sftp import SftpFiles
from drd.clients.secrets import SystemSecrets
from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference
from drd.stores.rest import RestStore
from drd.stores.sftp import SftpStore
from tests.servers import RcloneRest
from tests.stores.places import StorePlace
from tests.stores.sshd import Sshd


def test_a_password_in_the_url_is_refused() -> None:
    with pytest.raises(ValidationError, match="not in the URL"):
        RestStore(url="https://user:word@backup.example/web-1")


def test_a_user_without_a_password_is_refused() -> None:
    with pytest.raises(ValidationError, match="go together"):
        RestStore(url="https://backup.example/web-1", user="web-1")


async def test_a_password_that_is_no_text_makes_the_store_away_and_is_not_shown(
    rest_place: StorePlace, tmp_path: Path
) -> None:
    assert isinstance(rest_place.store, RestStore)
    secret = tmp_path / "no-text"
    secret.write_bytes(b"caf\xe9")
    secret.chmod(0o600)
    store = rest_place.store.model_copy(update={"password": SecretReference(file=secret)})

    world = replace(rest_place.world, secrets=SystemSecrets(rest_place.world.runner, {}))

    look = await store.look(world)

    assert not look.reachable
    assert f"{secret} does not hold a password in UTF-8" in look.message
    with pytest.raises(PermanentError, match="UTF-8"):
        await store.location(world)


@pytest.mark.parametrize("is_same", [True, False])
async def test_a_name_that_is_taken_by_the_same_file_is_as_good_as_sent(
    rclone_rest_append_only: RcloneRest, is_same: bool
) -> None:
    content = b"a pack" * 1000
    name = hashlib.sha256(content).hexdigest()
    settings = {"url": f"{rclone_rest_append_only.url}/web-1", "user": "", "password": "", "ca": ""}

    def put(files: RestFiles, sent: bytes) -> None:
        given = name if sent == content else None
        files.put(FileKind.DATA, name, NamedContent(io.BytesIO(sent), given, len(sent), Pace(None), lambda _: None))

    def put_twice() -> None:
        files = RestFiles(settings)
        files.prepare()
        put(files, content if is_same else content[:10])
        put(files, content)
        files.close()

    if is_same:
        await asyncio.to_thread(put_twice)
    else:
        with pytest.raises(PermanentError, match="403"):
            await asyncio.to_thread(put_twice)


async def test_a_url_without_a_user_is_no_secret_and_one_with_a_user_is(rest_place: StorePlace) -> None:
    assert isinstance(rest_place.store, RestStore)
    assert (await rest_place.store.location(rest_place.world)).url_is_secret
    open_store = RestStore(url=rest_place.store.url)
    assert not (await open_store.location(rest_place.world)).url_is_secret


def test_a_key_that_is_no_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="ssh reads its key from a file"):
        SftpStore(
            host="backup.example",
            user="drd",
            path=PurePosixPath("/srv/repository"),
            key=SecretReference(env="KEY"),
            known_hosts=Path("/etc/drd/known_hosts"),
        )


async def test_a_host_with_another_key_than_the_known_one_is_not_trusted(sftp_place: StorePlace, sshd: Sshd) -> None:
    stranger = sshd._new_key("another-host").with_suffix(".pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {stranger}")
    look = await sftp_place.store.look(sftp_place.world)
    assert not look.reachable
    assert "Host key verification failed" in look.message
    assert "known_hosts" in look.hint


async def test_what_could_not_be_sent_whole_leaves_nothing_there(sftp_place: StorePlace, sshd: Sshd) -> None:
    files = SftpFiles((await sftp_place.store.backend(sftp_place.world)).settings)
    name, size = "0" * 64, 3 * BLOCK_BYTES
    try:
        files.prepare()
        with pytest.raises(Refused):
            files.put(
                FileKind.DATA, name, NamedContent(io.BytesIO(bytes(size)), name, size, Pace(None), lambda _: None)
            )
        assert not [path for path in (sshd.data / "repository").rglob("*") if path.is_file()]
    finally:
        files.close()


def test_a_file_of_which_nobody_knows_when_it_grew_may_be_anothers() -> None:
    assert is_left(1)
    assert not is_left(0)


async def test_the_look_over_sftp_tells_free_space_and_a_missing_parent(sftp_place: StorePlace) -> None:
    assert isinstance(sftp_place.store, SftpStore)
    assert ((await sftp_place.store.look(sftp_place.world)).free_bytes or 0) > 0
    lost = sftp_place.store.model_copy(update={"path": PurePosixPath("/nowhere/at/all")})
    look = await lost.look(sftp_place.world)
    assert not look.reachable
    assert look.hint == "mkdir -p /nowhere/at there"
