"""The README's commands as a newcomer types them, on a smaller dataset and with fewer steps."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from nasgait.config.load import find_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def block(heading: str) -> list[list[str]]:
    """The commands of the first indented block below a heading, continued lines joined."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^    (.*)$", section, flags=re.M)
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in joined if line.startswith("nasgait ")]


def test_every_command_is_known():
    from nasgait.cli.main import COMMANDS

    for word in re.findall(r"`nasgait ([a-z]+)[ `]", README):
        assert word in COMMANDS, word
    listed = set(re.findall(r"^\| `nasgait ([a-z, ]+)", README, flags=re.M))
    told = {word for cell in listed for word in re.findall(r"[a-z]+", cell)}
    assert told >= COMMANDS.keys()


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.slow
def test_one_stage_at_a_time(nasgait, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = find_config("demo").read_text()
    text = re.sub(r"\bsteps: \d+", "steps: 6", text)
    text = re.sub(r"warmup: \d+", "warmup: 0", text)
    text = re.sub(r"population: \d+", "population: 13", text)
    text = text.replace("preset: wild-mini", "preset: wild-mini, ids: 44")
    Path("configs").mkdir()
    Path("configs/demo.yaml").write_text(text)
    for words in block("One stage at a time"):
        words = ["configs/demo.yaml" if word == "demo" else word for word in words]
        words = [re.sub(r"step-\d+\.pt", "step-000006.pt", word) for word in words]
        extra = ["--ids", "44"] if words[1:3] == ["data", "synth"] else []
        code, _, err = nasgait(*words[1:], *extra)
        assert code == 0, (words, err)
    assert Path("runs/mine/retrain/searched/seed-0/result.json").exists()


@pytest.mark.slow
def test_on_your_own_silhouettes(nasgait, shared, tmp_path, monkeypatch):
    """With a piece of walk-grew in the place of GREW, and the plan alone of the long run."""
    monkeypatch.chdir(tmp_path)
    shutil.unpack_archive(shared / "data" / "walk-grew.tar.gz", tmp_path, filter="data")
    for folder in sorted((tmp_path / "grew_raw" / "train").iterdir())[40:]:
        shutil.rmtree(folder)
    for words in block("On your own silhouettes"):
        if "--nproc" in words:
            continue  # weeks on GPUs; the line before checked all that it reads
        words = [word.replace("/path/to/GREW", "grew_raw") for word in words]
        if words[1] == "run":
            words += ["data.search_val=8", "device=cpu"]
        code, _, err = nasgait(*words[1:])
        assert code == 0, (words, err)
    assert Path("sheet.png").stat().st_size > 10_000
