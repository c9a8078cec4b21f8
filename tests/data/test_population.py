"""Who walks in the embedded dataset: presets, balanced covariates, twins, subsets."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_walks import plan

from nasgait.core.rng import generator
from nasgait.data.synthetic import population
from nasgait.data.synthetic.body import draw_body
from nasgait.data.synthetic.population import (
    PRESETS,
    SUBSETS,
    Identity,
    identities,
    identity_of,
    yaw_bin,
)


@pytest.mark.parametrize(
    ("preset", "ids", "sequences"),
    [("wild", (240, 240, 400), 5280), ("wild-mini", (60, 60, 100), 1320),
     ("lab", (50, 24, 50), 13640)],
)  # fmt: skip
def test_presets_have_their_sizes(preset, ids, sequences):
    recorded = plan(preset)
    counts = Counter(i.subset for i in identities(PRESETS[preset], None))
    assert tuple(counts[s] for s in SUBSETS) == ids
    assert sum(len(r.views) for r in recorded) == sequences
    keys = {(r.identity.label, r.type, v) for r in recorded for v, _ in r.views}
    assert len(keys) == sequences


def test_lab_has_the_walks_of_casia_b():
    types = {r.type for r in plan("lab", ids=1)}
    assert types == {*(f"nm-0{k}" for k in range(1, 7)), "bg-01", "bg-02", "cl-01", "cl-02"}


@given(ids=st.integers(1, 900), name=st.sampled_from(sorted(PRESETS)))
@settings(max_examples=40, deadline=None)
def test_another_number_of_identities_is_shared_out(ids, name):
    people = identities(PRESETS[name], ids)
    assert len(people) == len({p.label for p in people}) == ids
    share = np.array(PRESETS[name].ids) / sum(PRESETS[name].ids)
    counts = Counter(p.subset for p in people)
    assert all(abs(counts[s] - ids * q) <= 1 for s, q in zip(SUBSETS, share, strict=True))


def test_more_walks_than_the_preset_has_go_on_with_its_kinds():
    types = [r.type for r in plan("wild", ids=1, seqs=9)]
    assert types == [
        "nm-01",
        "nm-02",
        "bg-01",
        "cl-01",
        "sp-01",
        "oc-01",
        "nm-03",
        "nm-04",
        "bg-02",
    ]


def test_every_kind_of_walk_meets_every_yaw_bin_equally_often():
    table = Counter(
        (r.type, r.views[0][0]) for r in plan("wild-mini") if r.identity.subset == "test"
    )
    # 100 identities are sixteen whole blocks of six and a rest of four.
    assert set(table.values()) <= {16, 17}
    assert len(table) == 36
    for number in range(12):
        person = Identity("test", number)
        assert {yaw_bin(person, walk, 0) for walk in range(6)} == set(range(6))


def people(preset: str = "wild") -> list[Identity]:
    return identities(PRESETS[preset], None)


def same(a, b) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@pytest.mark.parametrize("preset", ["wild", "wild-mini"])
def test_a_quarter_are_twins_in_body_and_a_quarter_in_dynamics(preset):
    for subset, size in zip(SUBSETS, PRESETS[preset].ids, strict=True):
        kin = Counter(p.kin for p in people(preset) if p.subset == subset)
        for twins in (kin["body-twin"], kin["dynamics-twin"]):
            assert twins % 2 == 0
            assert abs(twins - size / 4) <= 2


def test_twins_share_exactly_what_they_should():
    elder, younger = Identity("test", 8), Identity("test", 9)
    assert elder.body(0) == younger.body(0)
    assert not same(elder.dynamics(0), younger.dynamics(0))
    elder, younger = Identity("test", 10), Identity("test", 11)
    assert same(elder.dynamics(0), younger.dynamics(0))
    assert elder.body(0) != younger.body(0)


def test_only_twins_share_anything_and_only_within_a_subset():
    everyone = people("wild-mini")
    bodies = Counter(p.body(0) for p in everyone)
    walks = Counter(p.dynamics(0).curves.tobytes() for p in everyone)
    assert max(bodies.values()) == max(walks.values()) == 2
    for person in everyone:
        assert (bodies[person.body(0)] == 2) == (person.kin == "body-twin")
        assert (walks[person.dynamics(0).curves.tobytes()] == 2) == (person.kin == "dynamics-twin")


def test_subsets_are_disjoint_and_labels_say_who_it_is():
    everyone = people()
    assert len({p.label for p in everyone}) == len(everyone)
    assert all(identity_of(p.label) == p for p in everyone)
    assert {p.label[:2] for p in everyone if p.subset == "search-val"} == {"va"}
    same_number = [Identity(subset, 5) for subset in SUBSETS]
    assert len({p.body(0) for p in same_number}) == 3


def test_population_is_spread_as_documented():
    """Lengths of body segments vary by several percent, girths by more, as among people."""
    drawn = [draw_body(generator(0, "spread", k)) for k in range(400)]
    ratio = np.array([b.thigh / b.trunk for b in drawn])
    assert 0.05 < ratio.std() / ratio.mean() < 0.15
    waist = np.array([b.waist_half for b in drawn])
    assert 0.08 < waist.std() / waist.mean() < 0.20
    assert population.PRESETS["wild"].ids == (240, 240, 400)
