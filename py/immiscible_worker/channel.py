"""The worker's side of both sockets: one I/O thread that speaks, listens, and ends an orphan."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import queue
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import zmq
from zmq.auth import load_certificate

from .codec import Batch, decode_batch, decode_command, encode_message
from .errors import EXIT_RETRYABLE, ConfigError, OrchestratorGoneError, ProtocolError, UsageError
from .protocol import PROTOCOL_VERSION, Attach, Event, Heartbeat, Hello, Ping, Reject, Stop, Welcome

Phase = Literal[
    "starting", "waiting", "compiling", "training", "validating", "sampling", "evaluating", "saving", "ending"
]

_HEARTBEAT_SECONDS = 1.0
_POLL_MS = 200
_LAST_WORDS_MS = 2000
_MAX_CONTROL_BYTES = 1 << 20
_MAX_FRAME_BYTES = 1 << 30
# High-water marks are no flow control here: credits are, and they bound what can be queued. A full queue to send would
# block this thread, which must go on listening and notice when its lease is over. What comes waits for this thread in
# libzmq's memory: beyond a few messages it had better wait in the sender's.
_WAITING_MESSAGES = 16
_UNLIMITED = 0
# Commands that may wait for the main thread beside the batches that it has given credits for.
_WAITING_COMMANDS = 64
_CLOSE = b""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Environment:
    """What the orchestrator hands to a worker before they can talk.

    server_key: public, where the orchestrator asks for keys; key_file: the worker's own NAME.key_secret.
    """

    control: str
    data: str
    token: str
    run_id: str
    generation: int
    config_hash: str
    rank: int
    lease_seconds: float
    server_key: str | None = None
    key_file: Path | None = None

    @property
    def identity(self) -> str:
        """The routing identity on both sockets, new with each generation."""
        return f"{self.run_id}.{self.generation}.{self.rank}"


def read_environment(variables: MutableMapping[str, str]) -> Environment:
    """Reads IMMISCIBLE_* and RANK, and takes the token out, so that no child inherits it. Raises UsageError."""
    run_id = _variable(variables, "IMMISCIBLE_RUN_ID")
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        raise UsageError(f"IMMISCIBLE_RUN_ID: expected 32 hex digits, got {run_id!r}")
    try:
        environment = Environment(
            control=_variable(variables, "IMMISCIBLE_CONTROL"),
            data=_variable(variables, "IMMISCIBLE_DATA"),
            token=_variable(variables, "IMMISCIBLE_TOKEN"),
            run_id=run_id,
            generation=int(_variable(variables, "IMMISCIBLE_GENERATION")),
            config_hash=_variable(variables, "IMMISCIBLE_CONFIG_HASH"),
            rank=int(variables.get("RANK", "0")),
            lease_seconds=float(_variable(variables, "IMMISCIBLE_LEASE_SECONDS")),
            server_key=variables.get("IMMISCIBLE_SERVER_KEY"),
            key_file=key_file_of(variables),
        )
    except ValueError as error:
        raise UsageError(f"IMMISCIBLE_GENERATION, IMMISCIBLE_LEASE_SECONDS and RANK are numbers: {error}") from error
    del variables["IMMISCIBLE_TOKEN"]
    return environment


def key_file_of(variables: Mapping[str, str]) -> Path | None:
    """Where this process finds its own key pair."""
    path = variables.get("IMMISCIBLE_KEY_FILE")
    return Path(path) if path else None


def read_key_pair(path: Path | None) -> tuple[bytes, bytes]:
    """(public, secret), from a file of `immiscible keys`. Raises UsageError."""
    if path is None:
        raise UsageError("IMMISCIBLE_KEY_FILE is not set: this orchestrator asks for a key, see `immiscible keys`")
    try:
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = f"{path.stat().st_mode & 0o777:o}"
            raise UsageError(f"{path}: expected a key file that only its owner can read (chmod 600), got mode {mode}")
        public, secret = load_certificate(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected a key file from `immiscible keys`: {error}") from error
    if secret is None:
        raise UsageError(f"{path}: expected a key pair (NAME.key_secret), got a file without a secret key")
    return public, secret


def _variable(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name)
    if not value:
        raise UsageError(f"{name} is not set: a worker is started by the orchestrator, see `immiscible train --help`")
    return value


class Channel:
    """Both sockets, owned by one thread. The main thread sends events and takes commands and batches from a queue.

    Nothing heard for a lease, stdin at its end, or another parent: the orchestrator is gone and the process ends with
    exit code 75, saving nothing, since the last checkpoint is the truth.
    """

    def __init__(self, environment: Environment, is_child: bool = True) -> None:
        """Connects, says hello and attach, and starts the thread.

        is_child: the orchestrator launched this process, which ends with it. Otherwise `receive` raises its silence.
        """
        self._environment = environment
        self._keys = read_key_pair(environment.key_file) if environment.server_key else None
        self._is_child = is_child
        self._lease_seconds = environment.lease_seconds
        self._parent = os.getppid()
        if is_child:
            _die_with_parent()
        self._inbox: queue.SimpleQueue[Batch | Welcome | Reject | Stop | Exception] = queue.SimpleQueue()
        # How long this process did not run: no time in which it could have made progress.
        self._asleep_seconds = 0.0
        self._progress: tuple[Phase, int, float] = ("starting", 0, self._awake_seconds())
        self._stop = threading.Event()
        self._is_broken = False
        self._max_waiting = _WAITING_COMMANDS
        self._context = zmq.Context()
        address = f"inproc://{environment.identity}"
        self._outbox = self._context.socket(zmq.PAIR)
        self._outbox.setsockopt(zmq.LINGER, 0)
        self._outbox.setsockopt(zmq.SNDTIMEO, _LAST_WORDS_MS)
        self._outbox.bind(address)
        self._thread = threading.Thread(target=self._run, args=(address,), name="channel", daemon=True)
        self._thread.start()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, event: Event) -> None:
        """Queues an event for the control channel. Order is kept. Where the thread has ended, `receive` raises why."""
        if self._thread.is_alive():
            self._outbox.send(encode_message(event))

    def set_progress(self, phase: Phase, step: int) -> None:
        """What the heartbeats say from now on."""
        if (phase, step) != self._progress[:2]:
            self._progress = (phase, step, self._awake_seconds())

    def _awake_seconds(self) -> float:
        return time.monotonic() - self._asleep_seconds

    def set_lease(self, seconds: float) -> None:
        """How long the orchestrator may be silent from now on."""
        self._lease_seconds = seconds

    @property
    def is_stopping(self) -> bool:
        """A stop command has arrived."""
        return self._stop.is_set()

    @property
    def is_closed(self) -> bool:
        """`close` was called."""
        return self._outbox.closed

    def receive(self, timeout_seconds: float | None = None) -> Batch | Welcome | Reject | Stop:
        """Blocks for the next batch or command. Raises what went wrong in the I/O thread (ProtocolError).

        Raises OrchestratorGoneError where nothing comes within timeout_seconds.
        """
        try:
            item = self._inbox.get(timeout=timeout_seconds)
        except queue.Empty as error:
            raise OrchestratorGoneError(f"nothing came within {timeout_seconds} s") from error
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Sends what is queued, then closes both sockets. Safe to call twice."""
        if self._outbox.closed:
            return
        if self._thread.is_alive():
            # A thread that ends just now takes nothing: a socket without a peer blocks.
            with contextlib.suppress(zmq.Again):
                self._outbox.send(_CLOSE)
        self._thread.join()
        self._outbox.close()
        self._context.term()

    def _run(self, address: str) -> None:
        """The I/O thread, from connecting to closing."""
        control = self._connect(self._environment.control, _MAX_CONTROL_BYTES)
        data = self._connect(self._environment.data, _MAX_FRAME_BYTES)
        events = self._context.socket(zmq.PAIR)
        events.connect(address)
        try:
            _send(control, encode_message(self._hello()))
            _send(data, encode_message(Attach(token=self._environment.token)))
            self._loop(control, data, events)
        except Exception as error:
            self._inbox.put(error)
        finally:
            control.setsockopt(zmq.LINGER, _LAST_WORDS_MS)
            for socket in (control, data, events):
                socket.close()

    def _connect(self, endpoint: str, max_bytes: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, self._environment.identity.encode())
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.SNDHWM, _UNLIMITED)
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        # Sending waits for nothing, see _send.
        socket.setsockopt(zmq.SNDTIMEO, 0)
        socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        if self._keys and self._environment.server_key:
            socket.curve_publickey, socket.curve_secretkey = self._keys
            socket.curve_serverkey = self._environment.server_key.encode()
        socket.connect(endpoint)
        return socket

    def _loop(self, control: zmq.Socket[bytes], data: zmq.Socket[bytes], events: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        for socket in (control, data, events):
            poller.register(socket, zmq.POLLIN)
        stdin = _lifeline() if self._is_child else None
        if stdin is not None:
            poller.register(stdin, zmq.POLLIN)
        heard_at = looked_at = time.monotonic()
        beat_at = 0.0
        while True:
            ready = dict(poller.poll(_POLL_MS))
            now = time.monotonic()
            # A process that was suspended itself has not listened, so that time does not count as silence.
            missed = max(0.0, now - looked_at - 2 * _POLL_MS / 1000)
            heard_at += missed
            self._asleep_seconds += missed
            looked_at = now
            if control in ready or data in ready:
                heard_at = now
            if control in ready:
                self._take_command(control.recv_multipart())
            if data in ready:
                self._take_batch([frame.buffer for frame in data.recv_multipart(copy=False)])
            if events in ready:
                message = events.recv()
                if message == _CLOSE:
                    return
                _send(control, message)
            if stdin is not None and stdin in ready and not os.read(stdin, 4096):
                _end_orphan("stdin is at its end")
            if self._is_child and os.getppid() != self._parent:
                _end_orphan("its process is gone")
            if now - heard_at > self._lease_seconds:
                if self._is_child:
                    _end_orphan(f"silent for {self._lease_seconds:g} s")
                raise OrchestratorGoneError(
                    f"nothing heard of the orchestrator for {self._lease_seconds:g} s: is it still running?"
                )
            if now - beat_at >= _HEARTBEAT_SECONDS:
                beat_at = now
                phase, step, since = self._progress
                # The main thread may have moved on since `now` was read.
                age_ms = max(0.0, now - self._asleep_seconds - since) * 1000
                _send(control, encode_message(Heartbeat(phase=phase, step=step, age_ms=age_ms)))

    def _take_command(self, parts: list[bytes]) -> None:
        if self._is_broken:
            return
        try:
            if len(parts) != 1:
                raise ProtocolError("command", "one frame", f"{len(parts)} frames")
            command = decode_command(parts[0])
        except ProtocolError as error:
            self._break_off(error)
            return
        if isinstance(command, Ping):
            return
        if isinstance(command, Stop):
            self._stop.set()
        self._put(command)

    def _take_batch(self, parts: list[memoryview]) -> None:
        if self._is_broken:
            return
        try:
            batch = decode_batch(parts, self._environment.run_id, self._environment.generation)
        except ProtocolError as error:
            self._break_off(error)
            return
        if batch is not None:
            self._put(batch)

    def _put(self, item: Batch | Welcome | Reject | Stop) -> None:
        """For the main thread, which may be busy for long: what it cannot have asked for is not kept."""
        if isinstance(item, Welcome):
            config = item.config
            held_out = math.ceil(config.validation.num_images / config.global_batch_size)
            self._max_waiting = config.pipeline.credits + held_out + _WAITING_COMMANDS
        if self._inbox.qsize() < self._max_waiting:
            self._inbox.put(item)
        else:
            self._break_off(ProtocolError("messages that wait", f"at most {self._max_waiting}", "one more"))

    def _break_off(self, error: ProtocolError) -> None:
        """The main thread hears of it, and of nothing that comes after it."""
        self._is_broken = True
        self._inbox.put(error)

    def _hello(self) -> Hello:
        environment = self._environment
        return Hello(
            protocol_version=PROTOCOL_VERSION,
            run_id=environment.run_id,
            generation=environment.generation,
            rank=environment.rank,
            token=environment.token,
            config_hash=environment.config_hash,
            pid=os.getpid(),
        )


def _send(socket: zmq.Socket[bytes], message: bytes) -> None:
    """Queues a message. Without a queue limit only one thing is in the way: libzmq gives a peer up that refuses us."""
    try:
        socket.send(message)
    except zmq.Again as error:
        raise ConfigError(
            "REFUSED", "the orchestrator refused this connection: is the key of this side on its list?"
        ) from error


def _lifeline() -> int | None:
    """The descriptor of stdin where its end means that the parent is gone: a pipe or a socket, no terminal or file."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return None
    return 0 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _die_with_parent() -> None:
    """Linux: the kernel ends this process with its parent, also while it is stopped or hangs with the GIL held."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_orphan(reason: str) -> None:
    """Ends the process at once. No socket lingers: there is nobody to hear the last words."""
    sys.stderr.write(f"[immiscible] [worker] the orchestrator is gone ({reason}): ending without saving\n")
    sys.stderr.flush()
    os._exit(EXIT_RETRYABLE)
