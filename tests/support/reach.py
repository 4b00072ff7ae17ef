"""What a function can reach, read from the source: the names that it mentions, followed through the tree's modules.

A name that is mentioned counts as called, so the answer may name too much. What is called through a value
(``deps.hashing.verify``) is found by the last two words of its mention alone.
"""

import ast
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
Function = tuple[str, str]  # module and name


class _Module:
    """One module: its functions with what they mention, and what its imports are called."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.imports: dict[str, tuple[str, str]] = {}
        self.functions: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.imports |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                self.imports |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                self._add(node.name, node)
        for node in tree.body:  # a table of functions, or a row of limits
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                for stored in _stored(node):
                    self._add(stored, node.value)

    def _add(self, name: str, node: ast.AST) -> None:
        self.functions.setdefault(name, set()).update(_mentioned(node))


def _stored(node: ast.AST) -> list[str]:
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _mentioned(function: ast.AST) -> set[str]:
    """Names and dotted names, without annotations, and without names that the function itself gives a value to."""
    annotations = {id(inner.annotation) for inner in ast.walk(function) if isinstance(inner, ast.arg | ast.AnnAssign)}
    annotations |= {id(inner.returns) for inner in ast.walk(function) if isinstance(inner, ast.FunctionDef)}
    own, mentions, waiting = set(), set(), [function]
    while waiting:
        node = waiting.pop()
        if id(node) in annotations:
            continue
        if isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name):
            (own if isinstance(node.ctx, ast.Store) else mentions).add(node.id)
        elif isinstance(node, ast.Attribute):
            mentions.add(ast.unparse(node))
        waiting.extend(ast.iter_child_nodes(node))
    return mentions - own


@functools.cache
def _module(name: str) -> _Module | None:
    base = ROOT.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return _Module(name, ast.parse(path.read_text(encoding="utf-8")))
    return None


@functools.cache
def _resolve(module: str, mention: str) -> Function | None:
    """The function of the tree that this mention in this module means, or None."""
    known = _module(module)
    if known is None:
        return None
    first, *rest = mention.split(".")
    if first in known.functions:
        return module, first
    if first not in known.imports:
        return None
    source, name = known.imports[first]
    inner = _module(f"{source}.{name}") if name else _module(source)
    if inner is not None:
        return (inner.name, rest[0]) if rest and rest[0] in inner.functions else None
    return _resolve(source, name)


@dataclass(frozen=True, slots=True)
class Reached:
    """What a function reaches: functions and tables of the tree, and the mentions that were asked for."""

    functions: frozenset[Function]
    words: frozenset[str]


def reached(start: Function, *, words: Collection[str], hops: Mapping[str, Function]) -> Reached:
    """Follow all mentions from here.

    ``words``: the last two words of mentions to look for; they are not followed. ``hops``: where a mention leads that
    calls another service.
    """
    found, seen, waiting = set(), set(), [start]
    while waiting:
        module, name = one = waiting.pop()
        known = _module(module)
        if one in seen or known is None:
            continue
        seen.add(one)
        for mention in known.functions.get(name, ()):
            last = ".".join(mention.split(".")[-2:])
            target = hops.get(last) or _resolve(module, mention)
            if last in words:
                found.add(last)
            elif target is not None:
                waiting.append(target)
    return Reached(frozenset(seen), frozenset(found))
