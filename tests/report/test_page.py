"""The result page: complete, self-contained, and honest about what is missing."""

import html
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from fake_run import write_run

from nasgait.cli.main import main
from nasgait.core.errors import DataError
from nasgait.core.jsonl import line_of
from nasgait.report.page import write_report
from nasgait.report.rundir import FILES, read_run


class Page(HTMLParser):
    """What the tests look at in a page."""

    def __init__(self, text):
        super().__init__()
        self.text, self.headings, self.images, self.captions = text, [], [], []
        self.table, self.links, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag == "img":
            self.images.append(attrs["src"])
            return
        if tag in ("h2", "figcaption", "td", "small"):
            self._open.append((tag, []))
        if tag == "tr":
            self.table.append([])

    def handle_data(self, data):
        if self._open:
            self._open[-1][1].append(data)

    def handle_endtag(self, tag):
        if self._open and self._open[-1][0] == tag:
            text = " ".join("".join(self._open.pop()[1]).split())
            places = {"h2": self.headings, "figcaption": self.captions}
            if tag == "td":
                self.table[-1].append(text)
            elif tag in places:
                places[tag].append(text)


def page_of(path):
    return Page(write_report(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "study")


@pytest.fixture
def run_dir(study, tmp_path):
    """A copy to break."""
    return shutil.copytree(study, tmp_path / "run")


def test_whole_run(study):
    page = page_of(study)
    assert page.headings == [
        "Results",
        "Study",
        "Accuracy and cost of the final networks",
        "Cumulative match characteristic",
        "Search progress",
        "Search: score and cost",
        "Search: choices of each generation",
        "Does the supernet rank architectures correctly?",
        "Training",
        "The silhouettes",
        "Settings",
    ]
    assert len(page.images) == len(page.captions) == 8
    assert "has not written" not in page.text
    assert "max_macs: 62000000" in page.text


def test_self_contained(study):
    page = page_of(study)
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert not re.search(r"<(script|link|iframe)", page.text)


def test_same_files_same_page(study):
    assert page_of(study).text == page_of(study).text


def test_table_says_what_results_say(study):
    networks = json.loads((study / "results.json").read_text())["networks"]
    rows = {row[0]: row for row in page_of(study).table if len(row) == 8}
    assert len(rows) == len(networks) == 14
    for network in networks:
        _, kind, rank1, mean, macs, params, shape, _ = rows[network["name"]]
        assert kind == network["kind"]
        assert rank1 == f"{network['rank1']:.1f}"
        assert mean == f"{network['map']:.1f}"
        assert float(macs.removesuffix(" M")) == pytest.approx(network["macs"] / 1e6, rel=0.01)
        assert float(params.removesuffix(" K")) == pytest.approx(network["params"] / 1e3, rel=0.01)
        assert shape == "16 × 32 × 22"
    order = [float(row[3]) for row in rows.values()]
    assert order == sorted(order, reverse=True)


def test_over_budget_is_marked(study):
    networks = json.loads((study / "results.json").read_text())["networks"]
    over = sum((n["macs"] > 62_000_000) + (n["params"] > 420_000) for n in networks)
    assert page_of(study).text.count("<small>over budget</small>") == over > 0


def test_search_that_ended_early_says_so(study, run_dir):
    sentence = "ended before 100 architectures were scored"
    assert sentence in page_of(study).text
    config = run_dir / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 4", "max_epochs: 1"))
    assert sentence not in page_of(run_dir).text


def test_search_for_several_objectives_shows_its_hypervolume(run_dir):
    config = run_dir / "config.yaml"
    text = config.read_text()
    assert "  objectives:\n  - map\n" in text
    config.write_text(text.replace("  - map\n", "  - map\n  - macs\n  - latency\n"))
    file = run_dir / "search" / "generations.jsonl"
    lines = [json.loads(line) | {"hypervolume": 0.3} for line in file.read_text().splitlines()]
    file.write_text("".join(map(line_of, lines)))
    ledger = run_dir / "search" / "ledger.jsonl"
    entries = [json.loads(line) | {"latency": 0.02} for line in ledger.read_text().splitlines()]
    ledger.write_text("".join(map(line_of, entries)))
    (run_dir / "search" / "pareto.json").unlink()
    page = page_of(run_dir)
    assert "Search: hypervolume" in page.headings
    assert any(
        "no other architecture beats in mAP, MACs and latency together" in c for c in page.captions
    )


def test_a_search_with_settings_of_its_own_is_described_by_them(run_dir):
    text = (run_dir / "config.yaml").read_text()
    own = text.replace("  - map\n", "  - rank1\n  - params\n")
    (run_dir / "search" / "config.yaml").write_text(own)
    (run_dir / "search" / "pareto.json").unlink()
    page = page_of(run_dir)
    assert any(
        "no other architecture beats in rank-1 and params together" in c for c in page.captions
    )


def test_captions_say_how_it_was_measured(study):
    text = " ".join(page_of(study).captions)
    assert "leave-one-out: each test sequence is a probe against all others" in text
    assert "gallery of 50 identities" in text
    assert "Euclidean distance" in text
    assert "all frames of each sequence" in text
    assert "seeds 0, 1, 2" in text
    assert "16 × 32 × 22 (frames × height × width)" in text
    assert "BatchNorm recalibrated on 128 training sequences" in text
    assert "Spearman +0.82 (95 % interval +0.41 to +0.96)" in text


def test_seed_range_only_for_several_seeds(study, tmp_path):
    assert re.search(r"<small>\d+\.\d to \d+\.\d</small>", page_of(study).text)
    single = page_of(write_run(tmp_path / "single", seeds=1, random=0, uniform=0))
    assert not re.search(r"<small>\d+\.\d to", single.text)
    assert "one seed (0)" in single.text


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named_and_the_rest_shown(run_dir, name):
    for file in run_dir.glob(name):
        file.unlink()
    page = page_of(run_dir)
    assert f"<code>{name}</code>: {FILES[name]}" in html.unescape(page.text)
    assert page.text.count("<li>") == 1
    assert len(page.headings) >= 8


@pytest.mark.parametrize("kept", FILES)
def test_one_file_alone_makes_a_page(study, tmp_path, kept):
    for file in study.glob(kept):
        target = tmp_path / file.relative_to(study)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    assert page_of(tmp_path).text.count("<li>") == len(FILES) - 1


def test_unfinished_run_compares_what_there_is(run_dir):
    (run_dir / "results.json").unlink()
    shutil.rmtree(run_dir / "retrain" / "gaitset-nano")
    page = page_of(run_dir)
    rows = [row for row in page.table if len(row) == 8]
    assert len(rows) == 13
    assert "compares the networks finished so far" in page.text


def test_local_metrics_of_grew_without_labels(run_dir):
    results = json.loads((run_dir / "results.json").read_text())
    for network in results["networks"]:
        network["rank1_local"], network["map_local"] = 12.25, 8.5
        network["rank1"] = network["map"] = None
        network["seeds"] = network["seeds_map"] = [None]
    (run_dir / "results.json").write_text(json.dumps(results))
    rows = [row for row in page_of(run_dir).table if len(row) == 8]
    assert all(row[2:4] == ["12.2", "8.5"] for row in rows)


def test_names_are_escaped(run_dir):
    file = run_dir / "results.json"
    file.write_text(file.read_text().replace("gaitbase-nano", "<script>alert(1)</script>"))
    assert "<script>" not in page_of(run_dir).text


def test_half_written_lines_are_left_out(run_dir):
    whole = read_run(run_dir)
    for name in ("search/ledger.jsonl", "supernet/metrics.jsonl"):
        with (run_dir / name).open("a") as file:
            file.write('{"step": 99')
    torn = read_run(run_dir)
    assert torn.ledger == whole.ledger and torn.supernet == whole.supernet


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.json", "{"),
        ("results.json", "[]"),
        ("results.json", '{"networks": [{"rank1": 1}]}'),
        ("search/ledger.jsonl", "nonsense\n"),
        ("search/pareto.json", "{}"),
        ("search/latency.jsonl", "{}\n"),
        ("retrain/searched/seed-0/result.json", ""),
    ],
)
def test_broken_file_is_named(run_dir, name, text):
    (run_dir / name).write_text(text)
    with pytest.raises(DataError, match=re.escape(name)):
        write_report(run_dir)


def test_no_run_directory(tmp_path):
    with pytest.raises(DataError, match="not a run directory"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="not a run directory"):
        write_report(tmp_path / "nowhere")


def test_command(run_dir, capsys, tmp_path):
    assert main(["report", str(run_dir), "--json"]) == 0
    page = json.loads(capsys.readouterr().out)["report"]
    assert page == str(run_dir / "report" / "index.html")
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
