"""Who may import whom: packages in layers, no cycles between modules."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "nasgait": {"nasgait"},
    "search_spaces": {"search_spaces", "nasgait"},
    "supernet": {"supernet", "search_spaces", "nasgait"},
    "retrain": {"retrain", "search_spaces", "nasgait"},
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ALLOWED
    for path in (ROOT / package).rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (deeper & MODULES.keys()) or {str(node.module)}
    return {name for name in names if name.split(".")[0] in ALLOWED}


def test_packages_import_only_what_lies_below():
    for module, path in MODULES.items():
        package = module.split(".")[0]
        foreign = {name for name in imported(path) if name.split(".")[0] not in ALLOWED[package]}
        assert not foreign, f"{module} imports {sorted(foreign)}"


def test_no_import_cycles():
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the cycle
