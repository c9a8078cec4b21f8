"""Who may import whom: the floors of the house, each standing only on those below."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    ("nasgait.core",),
    ("nasgait.kernels", "nasgait.config"),
    ("nasgait.search", "nasgait.nn"),
    ("nasgait.data", "nasgait.baselines"),
    ("nasgait.evaluation", "nasgait.training", "nasgait.profiling", "nasgait.report"),
    ("search_spaces",),
    ("nasgait.compat", "supernet", "retrain"),
    ("nasgait.cli",),
)
"""From the ground up; packages of one floor do not import each other."""
OPEN_TO_ALL = ("nasgait", "nasgait.errors")
"""What users import: it holds nothing, or hands on."""
ENTRY_POINTS = ("nasgait.__main__",)
"""Programs, which may call the command; so may what stands under ``if __name__ == "__main__"``."""
TOP = ("nasgait", "search_spaces", "supernet", "retrain")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in TOP
    for path in (ROOT / package).rglob("*.py")
}
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}


def package_of(module: str) -> str:
    """``nasgait.nn`` for ``nasgait.nn.heads``, ``supernet`` for what lies in it."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "nasgait" else parts[0]


def main_block(tree: ast.Module) -> set[ast.AST]:
    """What stands under ``if __name__ == "__main__"``."""
    blocks = [
        node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.dump(node.test)
    ]
    return {inner for block in blocks for inner in ast.walk(block)}


def loaded(path: Path) -> Iterator[str]:
    """The modules of ours that a file loads: by import, by a string, or as a program (-m)."""
    tree = ast.parse(path.read_text())
    program = main_block(tree)
    documentation = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # strings that stand alone
    for node in ast.walk(tree):
        if node in program or node in documentation:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (deeper & MODULES.keys()) or {str(node.module)}
        elif isinstance(node, ast.Constant) and node.value in MODULES and "." in node.value:
            yield node.value


GRAPH = {
    module: {name for name in loaded(path) if name.split(".")[0] in TOP} - {module}
    for module, path in MODULES.items()
    if module not in ENTRY_POINTS
}


def test_every_package_has_a_floor():
    packages = {package_of(module) for module in GRAPH} - set(OPEN_TO_ALL)
    assert packages == FLOOR.keys()


def test_the_drawing_shows_these_floors():
    drawing = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    drawn = {}
    for line in drawing.strip().splitlines():
        number, *words = line.split()
        drawn[int(number)] = {word for word in words if word in FLOOR}
    assert drawn == {number: set(floor) for number, floor in enumerate(FLOORS)}


def test_a_package_imports_only_what_lies_below():
    for module, names in GRAPH.items():
        here = package_of(module)
        for name in names - set(OPEN_TO_ALL):
            there = package_of(name)
            if module == "nasgait.errors" or there == here:
                continue
            assert FLOOR[there] < FLOOR[here], f"{module} loads {name}, which does not lie below"


def test_launched_programs_are_stages():
    """A string that names a module is one that torchrun starts, and names the stage's own."""
    for module, path in MODULES.items():
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and node.value in MODULES
        }
        named = {name for name in strings if "." in name} - {package_of(module)}
        assert not named or package_of(module) == "nasgait.cli", f"{module} names {named}"


def test_no_cycles_between_modules():
    TopologicalSorter(GRAPH).prepare()  # raises CycleError with the cycle


def test_no_cycles_between_packages():
    packages: dict[str, set[str]] = {}
    for module, names in GRAPH.items():
        found = {package_of(name) for name in names} - {package_of(module)} - set(OPEN_TO_ALL)
        packages.setdefault(package_of(module), set()).update(found)
    packages.pop("nasgait.errors")
    TopologicalSorter(packages).prepare()


def test_the_errors_that_users_import_are_all_of_them():
    from nasgait import errors
    from nasgait.core import errors as own

    kinds = [name for name, value in vars(own).items() if isinstance(value, type)]
    assert sorted(kinds) == sorted(errors.__all__)
