"""Code of the user's own: a file of known content or an importable module, whose mistakes are told as theirs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ConfigError, WorkerError
from .files import write_durably

if TYPE_CHECKING:
    import torch

_COMPONENT = "network"


class _Source(importlib.abc.InspectLoader):
    """Runs the bytes that were hashed, not what the file holds by the time that Python would read it again."""

    def __init__(self, source: bytes, path: Path) -> None:
        self.source = source
        self.path = path

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.source)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, str(self.path))


@contextmanager
def users_code(section: str, module: str, what: str) -> Generator[None]:
    """Tells an error in the user's code as one of the config field `<section>.module`, with its cause for the log.

    What is no mistake of that code, such as a GPU without memory, passes.
    """
    import torch  # here, since a Python without it must be able to say so: see bridge.py

    try:
        yield
    except (WorkerError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (Exception, SystemExit) as error:
        refuse(section, module, f"{what}: {type(error).__name__}: {error}", error)


def refuse(section: str, module: str, message: str, cause: BaseException | None = None) -> NoReturn:
    """Raises ConfigError, whose code is the section's name."""
    raise ConfigError(section.upper(), f"{section}.module: {module}: {message}") from cause


def build(section: str, module: str, sha256: str | None, context: object) -> Any:
    """What `build(context)` of a module answers. section: of the config, which named it. Raises ConfigError."""
    with users_code(section, module, "cannot be imported"):
        loaded = load(section, module, sha256)
    function = getattr(loaded, "build", None)
    if not callable(function):
        refuse(section, module, f"expected a function build(context), got {_name_of(function)}")
    with users_code(section, module, "build() failed"):
        return function(context)


def load(section: str, module: str, sha256: str | None = None) -> ModuleType:
    """A file's module, new at each call, or an importable one.

    Raises what the module raises; ConfigError of `<section>.module` where a file cannot be read or is not that content.
    """
    return _load_file(section, module, sha256) if is_file(module) else importlib.import_module(module)


def is_file(module: str) -> bool:
    """As protocol/file.ts has it: no dotted name of a module has a slash or this ending."""
    return "/" in module or "\\" in module or module.endswith(".py")


def _load_file(section: str, module: str, sha256: str | None) -> ModuleType:
    path = Path(module)
    try:
        source = path.read_bytes()
    except OSError as error:
        refuse(section, module, f"cannot be read: {error.strerror}", error)
    actual = hashlib.sha256(source).hexdigest()
    if sha256 is not None and actual != sha256:
        refuse(section, module, f"has changed since the run was made: expected SHA-256 {sha256}, got {actual}")
    # A name that no package has, and its own for another content.
    name = f"immiscible_{section}_{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}_{actual[:8]}"
    spec = importlib.util.spec_from_loader(name, _Source(source, path), origin=str(path))
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    made.__file__ = str(path)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[name]
        raise
    return made


def guard(section: str, module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of the user's, whose errors are told as theirs."""

    def guarded(*arguments: Any) -> Any:
        with users_code(section, module, f"{name}() failed"):
            return function(*arguments)

    return guarded


def check_that(holds: bool, section: str, module: str, what: str, wanted: str, got: object) -> None:
    """Refuses what a user's build() answered, or a part of it."""
    if not holds:
        refuse(section, module, f"{what}: expected {wanted}, got {got if isinstance(got, str) else _name_of(got)}")


def _name_of(value: object) -> str:
    return "none" if value is None else f"a {type(value).__name__}"


def save_network_source(network: torch.nn.Module, folder: Path, component: str = "unet") -> bool:
    """Puts the class of a user's network into a pipeline folder that diffusers has written, so that it loads anywhere.

    By the convention of diffusers: `<component>/network.py` is the source of the file that defines the class, and
    model_index.json names [network, class] as the component; `from_pretrained(..., trust_remote_code=True)` imports it.
    What that file imports must be installed where it is loaded. Answers False, and writes nothing, for a class of
    diffusers' own. Raises OSError.
    """
    kind = type(network)
    if kind.__module__.split(".")[0] == "diffusers":
        return False
    write_durably(folder / component / f"{_COMPONENT}.py", _source_of(sys.modules[kind.__module__]))
    index = folder / "model_index.json"
    entries = json.loads(index.read_text())
    entries[component] = [_COMPONENT, kind.__name__]
    write_durably(index, (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode())
    return True


def has_network_source(folder: Path, component: str = "unet") -> bool:
    """Whether a pipeline folder's network is a class in the folder itself. Raises OSError."""
    return json.loads((folder / "model_index.json").read_text())[component][0] == _COMPONENT


def load_network_class(folder: Path, component: str = "unet") -> type[Any]:
    """The class that `save_network_source` put into a pipeline folder. Runs that source.

    Raises OSError; ConfigError where it fails.
    """
    name = json.loads((folder / "model_index.json").read_text())[component][1]
    path = str(folder / component / f"{_COMPONENT}.py")
    with users_code("network", path, "cannot be imported"):
        return getattr(_load_file("network", path, None), name)


def _source_of(module: ModuleType) -> bytes:
    loader = module.__spec__.loader if module.__spec__ else None
    return loader.source if isinstance(loader, _Source) else Path(str(module.__file__)).read_bytes()
