"""The core knows the standard library and pydantic, and nothing else."""

import ast
import sys
from pathlib import Path

CORE = Path(__file__).parents[2] / "drd" / "core"
ALLOWED = {"drd", "pydantic", "pydantic_core", "annotated_types"} | sys.stdlib_module_names


def test_the_core_imports_only_the_standard_library_and_pydantic() -> None:
    strangers = {
        f"{module.relative_to(CORE)}: {name}"
        for module in CORE.rglob("*.py")
        for name in imported_packages(module)
        if name not in ALLOWED
    }

    assert strangers == set()


def imported_packages(module: Path) -> set[str]:
    packages: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages
