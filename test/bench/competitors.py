"""What people use today, timed on the arrays of the bench: one JSON request a line on stdin, one JSON answer a line on stdout.

Threads are set by the environment before NumPy and torch are imported (OMP_NUM_THREADS and its like).
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@cache
def load(path: str, dtype: str, columns: int) -> np.ndarray:
    return np.fromfile(path, dtype).reshape(-1, columns)


def randn(request: dict) -> object:
    return torch.randn(request["size"], request["dims"])


def numpy_randn(request: dict) -> object:
    return np.random.default_rng(0).standard_normal((request["size"], request["dims"]), dtype=np.float32)


def numpy_matmul(request: dict) -> object:
    return images(request) @ noise(request).T


def scipy_solver(request: dict) -> np.ndarray:
    return linear_sum_assignment(load(request["benefit"], "int32", request["size"]), maximize=True)[1]


def lapx_solver(request: dict) -> np.ndarray:
    import lap

    return lap.lapjv(-load(request["benefit"], "int32", request["size"]).astype(np.float64))[1]


def numpy_scipy(request: dict) -> np.ndarray:
    return linear_sum_assignment(images(request) @ noise(request).T, maximize=True)[1]


def cdist_scipy(request: dict) -> np.ndarray:
    cost = torch.cdist(torch.from_numpy(images(request)), torch.from_numpy(noise(request)))
    return linear_sum_assignment(cost.numpy())[1]


def paper(request: dict) -> np.ndarray:
    """The authors' formula: float16, both sides times 0.10, norms of the broadcast difference."""
    x = torch.from_numpy(images(request)).half() * 0.10
    n = torch.from_numpy(noise(request)).half() * 0.10
    rows = [torch.linalg.vector_norm(row.unsqueeze(0) - n, dim=1) for row in x] if request["size"] > 256 else None
    cost = torch.stack(rows) if rows else torch.linalg.vector_norm(x.unsqueeze(1) - n.unsqueeze(0), dim=2)
    return linear_sum_assignment(cost.numpy())[1]


def pot_emd(request: dict) -> np.ndarray:
    """What torchcfm calls: squared distances and POT's network simplex."""
    import ot

    cost = torch.cdist(torch.from_numpy(images(request)), torch.from_numpy(noise(request))) ** 2
    weights = np.full(request["size"], 1 / request["size"])
    return ot.emd(weights, weights, cost.numpy().astype(np.float64)).argmax(1)


def images(request: dict) -> np.ndarray:
    return load(request["images"], "float32", request["dims"])


def noise(request: dict) -> np.ndarray:
    return load(request["noise"], "float32", request["dims"])


COMPETITORS: dict[str, Callable[[dict], object]] = {
    "torch.randn": randn,
    "numpy standard_normal": numpy_randn,
    "numpy float32 matmul": numpy_matmul,
    "scipy linear_sum_assignment": scipy_solver,
    "lapx lapjv": lapx_solver,
    "numpy matmul + scipy": numpy_scipy,
    "torch.cdist + scipy": cdist_scipy,
    "paper: float16 broadcast + scipy": paper,
    "POT ot.emd": pot_emd,
}


def gain(request: dict, columns: np.ndarray) -> float:
    """Sum of products beyond that of the identity, in float64."""
    x, n = images(request), noise(request)
    return float(np.einsum("ij,ij->", x, n[columns], dtype=np.float64) - np.einsum("ij,ij->", x, n, dtype=np.float64))


def peak_mib() -> float:
    """Largest resident memory of this process so far (Linux counts KiB, macOS bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def timed(run: Callable[[dict], object], request: dict) -> tuple[object, float]:
    start = time.perf_counter()
    answer = run(request)
    return answer, (time.perf_counter() - start) * 1000


def main() -> None:
    before = peak_mib()
    for line in sys.stdin:
        request = json.loads(line)
        run = COMPETITORS[request["competitor"]]
        answer, first = timed(run, request)  # warm-up, and what the gain is taken of
        peak = peak_mib() - before
        times = [timed(run, request)[1] for _ in range(request["repeats"])]
        is_assignment = isinstance(answer, np.ndarray) and answer.ndim == 1 and "images" in request
        result = {
            "ms": statistics.median(times or [first]),
            "gain": gain(request, answer) if is_assignment else None,
            "peakMiB": peak,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
