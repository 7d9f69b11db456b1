"""The real parts are there and are what they claim: two extremes of restic, and rclone as a store's server."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest

from tests.servers import MotoS3, RcloneRest, RcloneS3, RcloneSftp


def test_the_oldest_restic_is_older_than_the_newest(restic_binaries: dict[str, Path]) -> None:
    assert version(restic_binaries["oldest"]) < version(restic_binaries["newest"])


@pytest.mark.slow
def test_restic_finds_its_snapshot_again_on_an_s3_server(
    restic_binary: Path, rclone_s3: RcloneS3, tmp_path: Path
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": rclone_s3.access_key, "AWS_SECRET_ACCESS_KEY": rclone_s3.secret_key}

    assert kept_file(restic_binary, rclone_s3.make_bucket("offsite"), keys, tmp_path) == "kept"


@pytest.mark.slow
def test_restic_finds_its_snapshot_again_on_an_append_only_server(
    restic_binary: Path, rclone_rest_append_only: RcloneRest, tmp_path: Path
) -> None:
    assert kept_file(restic_binary, rclone_rest_append_only.repository("orders"), {}, tmp_path) == "kept"


@pytest.mark.slow
def test_restic_finds_its_snapshot_again_on_an_sftp_server(
    newest_restic: Path, rclone_sftp: RcloneSftp, tmp_path: Path
) -> None:
    ssh = f"ssh -F none -p {rclone_sftp.port} -i {rclone_sftp.key} -o UserKnownHostsFile={rclone_sftp.known_hosts}"
    command = f"{ssh} -o BatchMode=yes {rclone_sftp.user}@127.0.0.1 -s sftp"

    assert kept_file(newest_restic, "sftp:store:orders", {}, tmp_path, f"sftp.command={command}") == "kept"


def test_a_server_that_was_away_comes_back_on_its_port(rclone_rest: RcloneRest) -> None:
    before = rclone_rest.url
    rclone_rest.stop()
    rclone_rest.start()

    assert rclone_rest.url == before


def test_the_s3_server_for_object_lock_keeps_the_lock(moto_s3: MotoS3) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=moto_s3.url,
        region_name="us-east-1",
        aws_access_key_id=moto_s3.access_key,
        aws_secret_access_key=moto_s3.secret_key,
    )
    s3.create_bucket(Bucket="offsite", ObjectLockEnabledForBucket=True)
    lock = s3.get_object_lock_configuration(Bucket="offsite")
    s3.close()

    assert lock["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"


def version(restic: Path) -> tuple[int, ...]:
    words = subprocess.run([restic, "version"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(int(part) for part in words[1].split("."))


def kept_file(restic: Path, repository: str, keys: dict[str, str], folder: Path, *options: str) -> str:
    """Back one file up to a new repository, and read it from there again."""
    (folder / "orders.txt").write_text("kept")
    environment = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": "test-password", "HOME": str(folder), **keys}
    environment["PATH"] = os.environ["PATH"]

    def run(*arguments: str) -> str:
        command = [restic, "--no-cache", *(f"--option={option}" for option in options), *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("init")
    run("backup", "--host", "test", "orders.txt")
    return run("dump", "latest", "/orders.txt")
