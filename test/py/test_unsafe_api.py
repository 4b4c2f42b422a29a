"""Nothing that is shipped unpickles, runs text or opens a shell; a canary for each way to do it is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unsafe_api import find_unsafe

ROOT = Path(__file__).parents[2]

# (file, rule): why it may.
EXCEPTIONS = {
    ("py/immiscible_worker/user_module.py", "source"): (
        "the user's own objective or network, which the config names: by its file's SHA-256, or as an installed module"
    ),
    ("py/immiscible_worker/quality/inception.py", "torch.load"): (
        "the user's Inception file, checked by its SHA-256: TorchScript, or tensors alone (weights_only)"
    ),
}

CANARIES = [
    ("pickle", "import pickle"),
    ("pickle", "from pickle import loads as json_loads"),
    ("pickle", "def later():\n    import _pickle"),
    ("pickle", "import dill, cloudpickle"),
    ("pickle", "from joblib import load"),
    ("pickle", "import shelve"),
    ("pickle", "__import__('pickle').loads(data)"),
    ("pickle", "import importlib\nimportlib.import_module('cloudpickle')"),
    ("pickle", "socket.recv_pyobj()"),
    ("pickle", "socket.send_pyobj(batch)"),
    ("pickle", "frame.to_pickle(path)"),
    ("pickle", "network_class.from_pretrained(folder)"),
    ("pickle", "UNet2DModel.from_pretrained(folder, use_safetensors=None)"),
    ("multiprocessing", "from multiprocessing import Queue"),
    ("multiprocessing", "import torch.multiprocessing as mp"),
    ("marshal", "import marshal"),
    ("torch.load", "import torch\nstate = torch.load(path)"),
    ("torch.load", "import torch as t\nt.load(path, weights_only=True)"),
    ("torch.load", "from torch import load"),
    ("torch.load", "import torch\ntorch.save(state, path)"),
    ("torch.load", "import torch\nload = torch.load"),
    ("torch.load", "import torch\ngetattr(torch, 'load')(path)"),
    ("torch.load", "import torch\ntorch.jit.load(path)"),
    ("torch.load", "import torch\ntorch.hub.load('a/b', 'c')"),
    ("weights_only", "load(path, weights_only=False)"),
    ("yaml.load", "import yaml\nyaml.load(text)"),
    ("yaml.load", "from yaml import unsafe_load"),
    ("eval", "eval(text)"),
    ("eval", "exec(text)"),
    ("eval", "run = eval"),
    ("eval", "import builtins\nbuiltins.exec(text)"),
    ("eval", "compile(text, name, 'exec')"),
    ("eval", "import runpy"),
    ("shell", "import os\nos.system('ls')"),
    ("shell", "from os import popen"),
    ("shell", "import subprocess\nsubprocess.run(['ls'], shell=True)"),
    ("shell", "import subprocess\nsubprocess.run(command, shell=use_shell)"),
    ("shell", "import subprocess\nsubprocess.run(f'ls {path}')"),
    ("shell", "from subprocess import getoutput"),
    ("shell", "import asyncio\nawait_me = asyncio.create_subprocess_shell(line)"),
    ("shell", "options = {'shell': True}"),
    ("allow_pickle", "import numpy\nnumpy.load(path, allow_pickle=True)"),
    ("allow_pickle", "import numpy\nnumpy.load(path, allow_pickle=flag)"),
    ("trust_remote_code", "load(folder, trust_remote_code=True)"),
    ("trust_remote_code", "def load(folder, trust_remote_code=True): ..."),
    ("trust_remote_code", "def load(folder, *, trust_remote_code: bool = True): ..."),
    ("trust_remote_code", "class Request:\n    trust_remote_code: bool = True"),
    ("source", "import importlib\nimportlib.import_module(name)"),
    ("source", "spec.loader.exec_module(module)"),
    ("source", "from importlib.machinery import SourceFileLoader"),
    ("archive", "archive.extractall(folder)"),
]

INNOCENT = [
    "network.eval()",
    "import safetensors.torch\nsafetensors.torch.load(data)",
    "# pickle.loads(data), eval(text)\nmessage = 'no pickle, no torch.load(), no shell=True'",
    "import torch\ncompiled = torch.compile(network)",
    "import re\nre.compile('x')",
    "import yaml\nyaml.safe_load(text)",
    "load(folder, trust_remote_code=trust)",
    "def load(folder, trust_remote_code=False): ...",
    "import subprocess\nsubprocess.run(['ls', path], shell=False)",
    "from .pickle import flavour",
    "UNet2DModel.from_pretrained(folder, use_safetensors=True)",
    "scheduler_class.from_pretrained(folder)",
    "import json\njson.load(file)",
]


def shipped() -> dict[str, str]:
    """Every Python source below py, ts and protocol, and what npm would pack. By path from the root."""
    patterns = ["py/**/*.py", "ts/**/*.py", "protocol/**/*.py"]
    patterns += [name for name in json.loads((ROOT / "package.json").read_text())["files"] if name.endswith(".py")]
    paths = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(paths)}


def test_nothing_that_is_shipped_is_unsafe() -> None:
    sources = shipped()
    assert len(sources) > 30
    found = [(name, hit) for name, source in sources.items() for hit in find_unsafe(source)]
    assert [f"{name}:{hit.line}: {hit.text}" for name, hit in found if (name, hit.rule) not in EXCEPTIONS] == []
    assert {(name, hit.rule) for name, hit in found} >= set(EXCEPTIONS), "an exception that nobody needs"


@pytest.mark.parametrize(("rule", "source"), CANARIES)
def test_a_canary_is_found(rule: str, source: str) -> None:
    assert rule in {hit.rule for hit in find_unsafe(source)}


@pytest.mark.parametrize("source", INNOCENT)
def test_what_only_looks_like_it_is_not(source: str) -> None:
    assert find_unsafe(source) == []
