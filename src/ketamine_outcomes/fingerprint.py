"""What a step's code is: a hash that changes when its result could, and only then.

Snakemake does not see edits inside the package. A rule therefore carries, as a parameter, the
hash of the abstract syntax (no comments, no docstrings) of the step's module and of every module
of the package that it imports, directly or not, of the data files beside them, and of the
versions of the third-party packages. Imports are read from the source, so a lazy import counts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "ketamine_outcomes"
ROOT = Path(__file__).parent
#: Third-party packages whose version can change a number or a byte of the results.
DEPENDENCIES = (
    "duckdb",
    "formulaic",
    "jinja2",
    "lifelines",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "python-docx",
    "scipy",
    "seaborn",
    "snakemake",
    "statsmodels",
)


@cache
def versions() -> dict[str, str]:
    """Return the installed versions of the packages that results depend on."""
    return {name: importlib.metadata.version(name) for name in DEPENDENCIES}


@cache
def fingerprint(module: str) -> str:
    """Return the hash of a module, e.g. `steps.cohort`, and of all it imports from the package.

    Raises
    ------
    FileNotFoundError
        There is no such module.
    """
    seen: dict[str, str] = {}
    waiting = [f"{PACKAGE}.{module}"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        digest, imported = _module(name)
        seen[name] = digest
        waiting += sorted(imported)
    lines = [f"{name} {digest}" for name, digest in sorted(seen.items())]
    lines += [f"{name} {version}" for name, version in versions().items() if name != "snakemake"]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _path(name: str) -> Path | None:
    parts = name.split(".")[1:]
    folder = ROOT.joinpath(*parts)
    if (folder / "__init__.py").exists():
        return folder / "__init__.py"
    file = folder.with_suffix(".py")
    return file if parts and file.exists() else None


@cache
def _module(name: str) -> tuple[str, frozenset[str]]:
    """Return the digest of one module with its data files, and the modules it imports."""
    path = _path(name)
    if path is None:
        raise FileNotFoundError(f"no module {name}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = _imports(tree, name, is_package=path.name == "__init__.py")
    _strip_docstrings(tree)
    digest = hashlib.sha256(ast.dump(tree, include_attributes=False).encode())
    if path.name != "__init__.py" or path.parent != ROOT:
        for data in _data_files(path.parent):
            digest.update(data.name.encode() + data.read_bytes())
    return digest.hexdigest(), imported


@cache
def _data_files(folder: Path) -> tuple[Path, ...]:
    if folder == ROOT:
        return ()
    return tuple(
        sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "py.typed"
        )
    )


def _imports(tree: ast.Module, name: str, is_package: bool) -> frozenset[str]:
    found: set[str] = set()
    package = name if is_package else name.rpartition(".")[0]
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, *([base] if base else [])])
            candidates = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for candidate in candidates:
            while candidate.startswith(PACKAGE + "."):
                if _path(candidate) is not None:
                    found.add(candidate)
                candidate = candidate.rpartition(".")[0]
    return frozenset(found - {name})


def _strip_docstrings(tree: ast.Module) -> None:
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Statements at any depth: a tenth of what `ast.walk` goes through."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, block, ()):
            yield inner
            yield from _statements(inner)
