"""Do the tests notice a fault?  Random mutants of a few modules, each against its own fast tests.

    python tools/mutation_sample.py --count 100 --seed 1

Mutants are made by cosmic-ray in a copy of the working tree, so that a kill leaves nothing mutated
here.  Of a module's tests those run that reached the mutated statement when nothing was mutated.
Survivors are printed as diffs: each is a test to write, or a change that means nothing.
"""

import argparse
import ast
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome
from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[1]

SCORING = ("activation_cache", "memory_plan", "exact_scores", "supernet_reads", "scoring")
REPORT = "differences", "formatting", "page_numbers", "points_of_figures", "what_is_said"
SAID = ("description", "differences", "formatting", "results", "rundir", "standing")
TESTS = {
    "nasgait/evaluation/**/*.py": "tests/evaluation",
    "nasgait/search/*.py": "tests/search",
    "nasgait/training/*.py": "tests/training tests/retrain/test_while_training.py",
    **{
        f"nasgait/report/{name}.py": " ".join(f"tests/report/test_{test}.py" for test in REPORT)
        for name in SAID
    },
    "supernet/scoring/*.py": " ".join(f"tests/supernet/test_{test}.py" for test in SCORING),
    "retrain/compare.py": "tests/retrain/test_compare.py tests/retrain/test_study_numbers.py",
}
"""Modules, and the tests that must notice their mutants: of the report what it says, not its look.

The first failure ends a run, so a module's own test file comes first.
"""

PYTEST = f"{sys.executable} -m pytest -x -q -p no:cacheprovider "

NOISE = ("BinaryOperator_BitOr",)
"""Operators that mostly hit type annotations."""


def main() -> int:
    """Mutate, test, print survivors; status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="mutants to try")
    parser.add_argument("--seed", type=int, default=0, help="draws them")
    parser.add_argument("--only", default="", metavar="TEXT", help="modules whose path has this")
    parser.add_argument("--timeout", type=float, default=600, help="seconds; longer is noticed")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy goes, too
    with tempfile.TemporaryDirectory() as folder:
        copy_tree(Path(folder))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = folder
        return 1 if survivors(args) else 0


def survivors(args: argparse.Namespace) -> int:
    """Try a sample; returns how many were not noticed."""
    found = ((path, tests) for glob, tests in TESTS.items() for path in Path().glob(glob))
    owners = {path: tests for path, tests in sorted(found) if args.only in str(path)}
    mutants = list(mutations(owners))
    chosen = random.Random(args.seed).sample(mutants, min(args.count, len(mutants)))
    print(f"{len(chosen)} of {len(mutants)} mutants of {len(owners)} modules", flush=True)
    reached = trace({owners[mutant.module_path] for mutant in chosen}, args.timeout)
    missed = 0
    for number, mutant in enumerate(chosen, start=1):
        tests = owners[mutant.module_path]
        tests = tests_reaching(mutant, reached, tests.split()) or tests
        result = mutate_and_test([mutant], PYTEST + tests, args.timeout)
        survived = result.test_outcome == TestOutcome.SURVIVED
        missed += survived
        words = "survived" if survived else "timeout" if result.output == "timeout" else "noticed"
        place = f"{mutant.module_path}:{mutant.start_pos[0]}"
        print(f"{number:4} {words:9} {place} {mutant.operator_name}", flush=True)
        if survived:
            print(result.diff, flush=True)
    print(f"{missed} of {len(chosen)} survived")
    return missed


def trace(suites: Iterable[str], timeout: float) -> CoverageData:
    """Run the unmutated tests once; returns which of them reached which line."""
    for tests in sorted(suites):
        options = "--cov=nasgait --cov=supernet --cov=retrain --cov-append --cov-context=test "
        outcome, output = run_tests(f"{PYTEST} --cov-report= {options} {tests}", timeout)
        if outcome != TestOutcome.SURVIVED:
            sys.exit(f"{tests}: fails without a mutant\n{output[-2000:]}")
    data = CoverageData()
    data.read()
    return data


def tests_reaching(mutant: MutationSpec, reached: CoverageData, suite: Sequence[str]) -> str:
    """Those of the module's tests that reached the mutated statement.

    None if it ran at import, or in no test.

    What a fixture reached may serve every test of its file.
    """
    lines = reached.contexts_by_lineno(str(mutant.module_path.resolve()))
    contexts = {name for line in statement(mutant) for name in lines.get(line, [])}
    if "" in contexts:
        return ""
    phases = (name.rpartition("|") for name in contexts if name.startswith(tuple(suite)))
    tests = {test if phase == "run" else test.partition("::")[0] for test, _, phase in phases}
    own = mutant.module_path.stem
    return shlex.join(sorted(tests, key=lambda test: (f"test_{own}.py" not in test, test)))


def statement(mutant: MutationSpec) -> range:
    """The lines of the innermost statement around the mutant; of a compound one its head."""
    tree, place = ast.parse(mutant.module_path.read_text()), mutant.start_pos[0]
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    around = [node for node in statements if node.lineno <= place <= (node.end_lineno or 0)]
    if not around:
        return range(place, place + 1)  # a decorator
    inner = max(around, key=lambda node: node.lineno)
    body = getattr(inner, "body", None)
    return range(inner.lineno, body[0].lineno if body else (inner.end_lineno or 0) + 1)


def copy_tree(folder: Path) -> None:
    """Copy what git knows or would add into ``folder``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def mutations(owners: dict[Path, str]) -> Iterator[MutationSpec]:
    """All mutants of the modules."""
    with use_db("mutants.sqlite", WorkDB.Mode.create) as database:
        init(owners, database, {})
        for item in sorted(database.work_items, key=lambda item: str(item.mutations)):
            if not any(word in item.mutations[0].operator_name for word in NOISE):
                yield item.mutations[0]


if __name__ == "__main__":
    sys.exit(main())
