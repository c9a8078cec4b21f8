"""Checksums of objects and zip files: every damaged bit is noticed, older files are read."""

import json
import zipfile

import pytest

from nasgait.core.checked_zip import add_checksum, check_zip
from nasgait.core.checksum import (
    Damaged,
    checked,
    parse_checked,
    read_result,
    with_checksum,
    write_checked,
)
from nasgait.core.errors import DataError
from nasgait.core.files import write_atomically
from nasgait.core.jsonl import append_line, complete_lines, parse_lines

VALUES = {"name": "gaitset", "map": 61.25, "seeds": [1, 2], "none": None, "ü": True}


def flips(content):
    """The content with each single bit flipped."""
    for place, byte in enumerate(content):
        for bit in range(8):
            yield content[:place] + bytes([byte ^ 1 << bit]) + content[place + 1 :]


def test_what_is_written_is_read_without_its_checksum(tmp_path):
    path = tmp_path / "result.json"
    written = write_checked(path, VALUES)
    assert json.loads(path.read_text()) == written and list(written)[-1] == "checksum"
    assert read_result(path) == VALUES == checked(written, required=True)
    assert with_checksum(written) == written


@pytest.mark.parametrize("indent", [None, 1])
def test_every_flipped_bit_of_an_object_is_noticed(indent):
    text = json.dumps(with_checksum(VALUES), indent=indent).encode()
    for damaged in flips(text):
        try:
            values, _ = parse_checked(damaged)
        except Damaged:
            continue
        assert values == VALUES, "only what means the same passes: spaces"


def test_layout_is_free():
    text = json.dumps(with_checksum(VALUES), indent=4, separators=(" , ", " : "))
    assert parse_checked(text) == (VALUES, True)


@pytest.mark.parametrize("text", [b"", b"[1]", b"3", b"\xff", b"[" * 100_000, b'{"a": 1'])
def test_no_object_is_damage(tmp_path, text):
    (tmp_path / "result.json").write_bytes(text)
    with pytest.raises(DataError, match=r"result.json: damaged \(it .*\); run its stage again$"):
        read_result(tmp_path / "result.json")


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.json: cannot be read \(No such file"):
        read_result(tmp_path / "none.json")


def test_objects_of_before_are_read():
    assert parse_checked(json.dumps(VALUES)) == (VALUES, False)
    with pytest.raises(Damaged, match="missing"):
        checked(VALUES, required=True)


def test_behind_a_line_with_a_checksum_all_need_one(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(VALUES) + "\n")
    append_line(path, VALUES)
    with path.open("a") as file:
        file.write(json.dumps(VALUES) + "\n")
    append_line(path, VALUES)
    lines = parse_lines(complete_lines(path))
    assert [line.fault is None for line in lines] == [True, True, False, True]
    assert lines[2].number == 3 and "missing" in str(lines[2].fault)


# Zip files ---------------------------------------------------------------------------------------


def plain_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", b"first" * 9)
        archive.writestr("two", b"", zipfile.ZIP_DEFLATED)
    return path.read_bytes()


def test_a_zip_file_is_written_in_any_pieces(tmp_path):
    content = plain_zip(tmp_path / "plain.zip")
    for size in (1, 7, 22, 23, len(content)):
        pieces = [content[i : i + size] for i in range(0, len(content), size)]
        path = tmp_path / f"{size}.zip"

        def write(file, pieces=pieces):
            add_checksum(file, lambda part: [part.write(piece) for piece in pieces])

        write_atomically(path, write)
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None and archive.read("one") == b"first" * 9
            assert archive.comment.startswith(b"nasgait sha256 ")
    assert path.read_bytes()[: len(content) - 2] == content[:-2]


def test_flipped_bits_and_cuts_are_noticed(tmp_path):
    content = plain_zip(tmp_path / "plain.zip")
    path = tmp_path / "whole.zip"
    write_atomically(path, lambda file: add_checksum(file, lambda part: part.write(content)))
    whole = path.read_bytes()
    one_of_each_byte = list(flips(whole))[::9]
    for damaged in [*one_of_each_byte, whole[:-1], whole[:-79], whole[:30], b"", whole + b"x"]:
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            check_zip(path)


def test_without_our_checksum_the_members_are_checked(tmp_path):
    path = tmp_path / "plain.zip"
    content = plain_zip(path)
    check_zip(path)
    place = content.index(b"first")
    for damaged in list(flips(content[place : place + 45]))[::9]:
        path.write_bytes(content[:place] + damaged + content[place + 45 :])
        with pytest.raises(Damaged, match="Bad CRC-32 for file 'one'"):
            check_zip(path)
