"""Output that is compressed is known by the words of the program that writes it."""

import pytest

from drd.core.dumps import compressing


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("pg_dump -Fc shop", "-Fc"),
        ("/usr/bin/pg_dump --no-password -F c shop", "-Fc"),
        ("pg_dump --format=custom shop", "--format=custom"),
        ("pg_dump --format custom shop", "--format=custom"),
        ("pg_dump -Z 5 shop", "compression 5"),
        ("pg_dump --compress=zstd:3 shop", "compression zstd:3"),
        ("pg_basebackup -Ft -z -X fetch -D -", "-z"),
        ("pg_basebackup -Ft --compress gzip -D -", "compression gzip"),
        ("gzip -c /srv/dump", "gzip"),
        ("tar czf - /srv", "czf"),
        ("tar -cJ /srv", "-cJ"),
        ("tar -c --zstd /srv", "--zstd"),
        ("mongodump --archive --gzip", "--gzip"),
        ("mariadb-backup --backup --stream=mbstream --compress", "--compress"),
    ],
)
def test_what_compresses_is_named(said: str, what: str) -> None:
    assert compressing(said.split()) == what


@pytest.mark.parametrize("said", ["pg_dump shop | gzip", "pg_dump shop|/usr/bin/zstd -3", "exec xz < /srv/dump"])
def test_a_compressor_inside_a_shells_words_is_found(said: str) -> None:
    assert compressing(["sh", "-c", said]) is not None


@pytest.mark.parametrize(
    "said",
    [
        "pg_dump shop",
        "pg_dump -Fp shop",
        "pg_dump -Fc -Z0 shop",
        "pg_dump -Fc --compress=none shop",
        "pg_basebackup -Ft -X fetch -D -",
        "tar cf - /srv/zoo",
        "tar -c --exclude=*.gz /srv",
        "cat /srv/dump.gz",
        "mysqldump --single-transaction shop",
        "sh /usr/local/bin/dump-shop",
    ],
)
def test_what_does_not_compress_is_left_alone(said: str) -> None:
    assert compressing(said.split()) is None
