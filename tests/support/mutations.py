"""Guards switched off in a copy of the tree, to see that the attack probes can fail."""

import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import ROOT

_PARTS = ("", "_b", "_c", "_d", "_edge", "_connections", "_services", "_devices", "_heard", "_guesses")
FILES = tuple(f"tests/attack/mutations{part}.toml" for part in _PARTS)
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "var*", "tests", "docs", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """The file's text with the guard off. Raises ValueError unless the old text stands there exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutation:
    probe: str
    group: str
    why: str
    edits: tuple[Edit, ...]
    says: str = ""


def read_mutations() -> Iterator[Mutation]:
    for name in FILES:
        for row in tomllib.loads((ROOT / name).read_text(encoding="utf-8"))["mutation"]:
            edits = tuple(Edit(**edit) for edit in row.pop("edit"))
            yield Mutation(**row, edits=edits)


def groups() -> dict[str, list[Mutation]]:
    """Those that share a copy, by the name of their group."""
    by_name: dict[str, list[Mutation]] = {}
    for mutation in read_mutations():
        by_name.setdefault(mutation.group, []).append(mutation)
    return dict(sorted(by_name.items()))


def edited(mutations: Sequence[Mutation]) -> dict[str, str]:
    """The text of each file that they touch, all of their edits in it."""
    texts: dict[str, str] = {}
    for mutation in mutations:
        for edit in mutation.edits:
            before = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
            texts[edit.file] = edit.applied_to(before)
    return texts


def mutated_tree(folder: Path, mutations: Sequence[Mutation]) -> Path:
    """A copy of what a stack needs, with these guards off."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=_LEFT_OUT)
    for file, text in edited(mutations).items():
        (tree / file).write_text(text, encoding="utf-8")
    return tree
