"""What the worker's sources must not do, found in their syntax trees: names in comments and strings are none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Modules that turn bytes into objects by running what the bytes say, or that run text.
_MODULES = {
    "pickle": {"pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "joblib", "jsonpickle", "shelve"},
    "marshal": {"marshal"},
    # Its queues and pipes pickle.
    "multiprocessing": {"multiprocessing", "torch.multiprocessing"},
    "eval": {"runpy", "code", "codeop"},
    "shell": {"pty", "commands"},
    "torch.load": {"torch.serialization", "torch.package", "torch.hub"},
}
_CALLS = {
    "torch.load": r"torch\.(load|save|jit\.load|export\.load)|torch\.(serialization|package|hub)\..+",
    "pickle": r"(.+\.)?(\w+_pyobj|read_pickle|to_pickle)|multiprocessing\..+",
    "yaml.load": r"(ruamel\.)?yaml\.(load|load_all|full_load|full_load_all|unsafe_load|unsafe_load_all)",
    "eval": r"(builtins\.)?(eval|exec|compile)",
    "shell": r"os\.(system|popen|exec\w+|spawn\w+)|subprocess\.(getoutput|getstatusoutput)|"
    r"(.+\.)?create_subprocess_shell|(.+\.)?subprocess_shell",
    "source": r"importlib\.reload|(.+\.)?(exec_module|load_module|source_to_code|spec_from_file_location|"
    r"spec_from_loader|SourceFileLoader)|types\.(CodeType|FunctionType)",
    "archive": r"(.+\.)?(extractall|unpack_archive)",
}
_SWITCHES = {
    "shell": ("shell", False),
    "allow_pickle": ("allow_pickle", False),
    "weights_only": ("weights_only", True),
    "trust_remote_code": ("trust_remote_code", False),
}


@dataclass(frozen=True)
class Hit:
    """rule: as in the tables above. line: from 1."""

    rule: str
    line: int
    text: str


def find_unsafe(source: str) -> list[Hit]:
    """Every use of what the tables forbid, in one Python source."""
    tree = ast.parse(source)
    aliases = dict(_aliases(tree))
    hits: list[Hit] = []
    for node in ast.walk(tree):
        for rule, text in _look_at(node, aliases):
            hits.append(Hit(rule, getattr(node, "lineno", 0), text))
    return hits


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name -> what was imported under it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                first = item.name.split(".")[0]
                yield (item.asname, item.name) if item.asname else (first, first)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for item in node.names:
                yield item.asname or item.name, f"{node.module}.{item.name}"


def _look_at(node: ast.AST, aliases: dict[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imports(node)
    elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield from _forbidden(_dotted(node, aliases))
    elif isinstance(node, ast.Call):
        yield from _called(node, aliases)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        yield from _defaults(node.args)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield from _switched(node.target.id, node.value)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            name = (
                target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
            )
            yield from _switched(name, node.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield from _switched(key.value, value)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        names = [item.name for item in node.names]
    else:
        names = [f"{node.module}.{item.name}" for item in node.names] if node.module and node.level == 0 else []
    for name in names:
        yield from _module(name)
        if isinstance(node, ast.ImportFrom):
            yield from _forbidden(name)


def _module(name: str) -> Iterator[tuple[str, str]]:
    for rule, modules in _MODULES.items():
        if any(name == module or name.startswith(f"{module}.") for module in modules):
            yield rule, name


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    """`t.load` -> torch.load where t is torch. What is no chain of names begins with `?`."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases) or '?'}.{node.attr}"
    return None


def _forbidden(name: str | None) -> Iterator[tuple[str, str]]:
    for rule, pattern in _CALLS.items():
        if name is not None and re.fullmatch(pattern, name):
            yield rule, name


def _called(node: ast.Call, aliases: dict[str, str]) -> Iterator[tuple[str, str]]:
    name = _dotted(node.func, aliases) or ""
    first = node.args[0] if node.args else None
    if name == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        yield from _forbidden(f"{_dotted(node.args[0], aliases) or '?'}.{node.args[1].value}")
    if name in ("__import__", "importlib.import_module"):
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield from _module(first.value)
        else:
            yield "source", name
    is_safe = any(
        keyword.arg == "use_safetensors" and ast.unparse(keyword.value) == "True" for keyword in node.keywords
    )
    # A scheduler has no weights. Of a model diffusers takes a pickle where it finds nothing else.
    if name.endswith(".from_pretrained") and "scheduler" not in name.lower() and not is_safe:
        yield "pickle", f"{name} without use_safetensors=True"
    if name.startswith("subprocess.") and isinstance(first, ast.JoinedStr | ast.Constant | ast.BinOp):
        yield "shell", f"{name} of a string"
    for keyword in node.keywords:
        if keyword.arg:
            yield from _switched(keyword.arg, keyword.value)


def _switched(name: str, value: ast.expr) -> Iterator[tuple[str, str]]:
    """A switch that is not what is safe. trust_remote_code and weights_only may be handed on, which is no choice."""
    for rule, (switch, safe) in _SWITCHES.items():
        if name != switch:
            continue
        is_constant = isinstance(value, ast.Constant)
        if (is_constant and value.value is not safe) or (not is_constant and rule in ("shell", "allow_pickle")):
            yield rule, f"{name}={ast.unparse(value)}"


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, str]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    given = [*zip(positional[::-1], arguments.defaults[::-1], strict=False)]
    given += [
        (argument, value) for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
    ]
    for argument, value in given:
        yield from _switched(argument.arg, value)
