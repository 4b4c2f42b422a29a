"""Forks workers: torch is imported once, so a worker starts in milliseconds. Ends when stdin does, and its workers too.

`server.py FOLDER`: listens on FOLDER/fork.sock (see launcher.py), prints a line when it is ready, and writes how each
worker ended to FOLDER/exits.jsonl.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

# One thread, from before torch is imported: a pool of threads would not survive the fork.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[3] / "py"))

import sitecustomize as hook
import torch


def main(folder: Path) -> None:
    """Serves until stdin ends."""
    import_worker()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "fork.sock"))
    listener.listen()
    poller = select.poll()
    for descriptor in (0, listener.fileno()):
        poller.register(descriptor, select.POLLIN)
    workers: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    launchers: dict[int, tuple[int, socket.socket]] = {}  # by the socket of whoever asked
    print("ready", flush=True)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == 0:
                for pid, _ in workers.values():
                    os.kill(pid, signal.SIGKILL)
                return
            if descriptor == listener.fileno():
                connection, _ = listener.accept()
                pid = start(connection, [listener, *(other for _, other in workers.values())])
                if pid is None:
                    continue
                watched = os.pidfd_open(pid)
                workers[watched] = launchers[connection.fileno()] = pid, connection
                poller.register(watched, select.POLLIN)
                poller.register(connection, select.POLLHUP)
            elif descriptor in workers:
                pid, connection = workers.pop(descriptor)
                poller.unregister(descriptor)
                os.close(descriptor)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with (folder / "exits.jsonl").open("a") as exits:
                    exits.write(json.dumps({"pid": pid, "code": code}) + "\n")
                if launchers.pop(connection.fileno(), None):
                    poller.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(code.to_bytes(4, "little", signed=True))
                connection.close()
            elif descriptor in launchers:  # killed: so is the process that it stands for
                pid, connection = launchers.pop(descriptor)
                poller.unregister(connection)
                os.kill(pid, signal.SIGKILL)


def import_worker() -> None:
    """All that a worker imports before its first step."""
    from diffusers.models.unets import unet_2d
    from diffusers.schedulers import scheduling_ddim

    from immiscible_worker import card, fingerprint, notice, sampler, tracking, worker

    modules = (unet_2d, scheduling_ddim, card, fingerprint, notice, sampler, tracking, worker)
    assert all(modules)
    torch.set_num_threads(1)
    threads = os.listdir("/proc/self/task")  # noqa: PTH208
    assert len(threads) == 1, f"expected one thread before a fork, got {len(threads)}"


def start(connection: socket.socket, others: list[socket.socket]) -> int | None:
    """Forks what a launcher asks for and answers its pid; None where the launcher is gone."""
    try:
        head, ancillary, *_ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4), socket.MSG_WAITALL)
        descriptors = array.array("i")
        descriptors.frombytes(ancillary[0][2])
        length, data = int.from_bytes(head, "little"), b""
        while len(data) < length:
            part = connection.recv(length - len(data))
            if not part:
                raise ConnectionError("the launcher is gone")
            data += part
    except (OSError, IndexError):
        connection.close()
        return None
    pid = os.fork()
    if pid == 0:
        for other in (*others, connection):
            other.close()
        become(json.loads(data), list(descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        connection.sendall(pid.to_bytes(4, "little"))
    return pid


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """In the forked process: does what the interpreter would, and ends. Never returns."""
    code = 1
    try:
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["variables"])
        os.chdir(request["cwd"])
        arguments: list[str] = request["arguments"]
        sys.executable = request["executable"]
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "-c", "exec"), {"__name__": "__main__"})
            code = 0
        else:
            assert arguments[:2] == ["-m", "immiscible_worker"], arguments
            hook.install()
            from immiscible_worker.__main__ import main as run

            code = run(arguments[2:])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


main(Path(sys.argv[1]))
