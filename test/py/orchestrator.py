"""A stand-in orchestrator: the real protocol over real sockets, batches from digits with independent noise."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zmq

from example import make_dataset
from immiscible_worker.codec import decode_event, encode_batch, encode_message
from immiscible_worker.protocol import Command, Credit, Event, Heartbeat, Ping, Ready, TrainConfig, Welcome

E = TypeVar("E")
RUN_ID = "00112233445566778899aabbccddeeff"
CONFIG_HASH = "c" * 64
TOKEN = "a token"
PYTHON_FOLDER = Path(__file__).parents[2] / "py"

MakeBatch = Callable[[int], list[bytes]]


@dataclass
class Orchestrator:
    """Both routers and one worker process. variables: its environment. events: what it said, without heartbeats."""

    process: subprocess.Popen[bytes]
    control: zmq.Socket[bytes]
    data: zmq.Socket[bytes]
    identity: bytes
    stderr: Path
    variables: dict[str, str]
    events: list[Event] = field(default_factory=list[Event])
    heartbeats: list[Heartbeat] = field(default_factory=list[Heartbeat])
    heard: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    pinged_at: float = 0.0

    def send(self, command: Command) -> None:
        """On the control channel."""
        self.control.send_multipart([self.identity, encode_message(command)])

    def send_batch(self, frames: list[bytes]) -> None:
        """On the data channel."""
        self.data.send_multipart([self.identity, *frames])

    def next_event(self, timeout: float = 60, is_pinging: bool = True) -> Event | None:
        """The next event that is no heartbeat; None where the worker ends or time is up."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if is_pinging and time.monotonic() - self.pinged_at > 0.5:
                self.pinged_at = time.monotonic()
                self.try_to_ping()
            if self.control.poll(100):
                identity, message = self.control.recv_multipart()
                self.heard.append((identity.decode(), message))
                event = decode_event(message)
                if isinstance(event, Heartbeat):
                    self.heartbeats.append(event)
                    continue
                self.events.append(event)
                return event
            if self.process.poll() is not None and not self.control.poll(0):
                return None
        return None

    def try_to_ping(self) -> None:
        """A ping, unless the worker is not there yet or any more."""
        try:
            self.send(Ping())
        except zmq.ZMQError:
            return

    def wait_for(self, kind: type[E], timeout: float = 60) -> E:
        """Skips events up to the next one of a kind. Fails with what the worker wrote where it never comes."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            event = self.next_event(max(0.1, deadline - time.monotonic()))
            if event is None:
                break
            if isinstance(event, kind):
                return event
        raise AssertionError(f"no {kind.__name__}; last: {self.events[-3:]}\n{self.stderr.read_text()}")

    def attach(self) -> None:
        """Waits for the first message on the data channel."""
        assert self.data.poll(20_000), self.stderr.read_text()
        identity, message = self.data.recv_multipart()
        self.heard.append((identity.decode(), message))

    def serve(self, ready: Ready, make_batch: MakeBatch, until: int, num_credits: int = 2) -> None:
        """Sends the batches of steps ready.step..until-1 for credits, and collects events until the worker ends."""
        sent = ready.step
        free = num_credits
        while True:
            while free > 0 and sent < until:
                self.send_batch(make_batch(sent))
                sent, free = sent + 1, free - 1
            event = self.next_event()
            if event is None:
                return
            free += isinstance(event, Credit)

    def of(self, kind: type[E]) -> list[E]:
        """All events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def exit_code(self, timeout: float = 30) -> int:
        """Waits for the worker to end."""
        return self.process.wait(timeout)


@contextmanager
def launch(
    variables: dict[str, str] | None = None, generation: int = 0, lease_seconds: float = 20
) -> Generator[Orchestrator]:
    """Binds both routers and starts a real worker process. Whatever happens, it is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        sockets: list[zmq.Socket[bytes]] = []
        for name in ("c", "d"):
            socket = context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            socket.bind(f"ipc://{folder}/{name}")
            sockets.append(socket)
        environment = {
            **os.environ,
            "PYTHONPATH": str(PYTHON_FOLDER),
            "IMMISCIBLE_CONTROL": f"ipc://{folder}/c",
            "IMMISCIBLE_DATA": f"ipc://{folder}/d",
            "IMMISCIBLE_TOKEN": TOKEN,
            "IMMISCIBLE_RUN_ID": RUN_ID,
            "IMMISCIBLE_GENERATION": str(generation),
            "IMMISCIBLE_CONFIG_HASH": CONFIG_HASH,
            "IMMISCIBLE_LEASE_SECONDS": str(lease_seconds),
            **(variables or {}),
        }
        stderr = Path(folder) / "stderr"
        with stderr.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "immiscible_worker"], env=environment, stdin=subprocess.PIPE, stderr=log
            )
        try:
            yield Orchestrator(
                process, sockets[0], sockets[1], f"{RUN_ID}.{generation}.0".encode(), stderr, environment
            )
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
            for socket in sockets:
                socket.close()


def make_digit_batches(config: TrainConfig, images: np.ndarray[Any, Any], generation: int = 0) -> MakeBatch:
    """batch(step) as a pure function: independent noise, images drawn with replacement. images: uint8 [N, C, H, W]."""

    def make(step: int) -> list[bytes]:
        return encode_batch(RUN_ID, generation, step, 0, draw_batch(config, images, step))

    return make


def draw_batch(config: TrainConfig, images: np.ndarray[Any, Any], step: int) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """The tensors of one step by name."""
    size = config.global_batch_size
    random = np.random.Generator(np.random.Philox(key=[config.seed, step]))
    rows = random.integers(len(images), size=size)
    noise = random.standard_normal((size, *images.shape[1:]), np.float32)
    return [
        ("images", images[rows]),
        ("noise", noise.astype(config.pipeline.noise_dtype)),
        ("labels", np.zeros(size, np.int32)),
        ("uniforms", random.random((size, 3), np.float32)),
    ]


def welcome_of(config: TrainConfig, folder: Path, images: np.ndarray[Any, Any]) -> Welcome:
    """The answer to hello."""
    return Welcome(
        run_folder=str(folder), config_hash=CONFIG_HASH, config=config, dataset=make_dataset(images), real_images=None
    )
