"""Every way in which a worker may fail: a code for the orchestrator, an exit code for the shell."""

EXIT_OTHER = 1
EXIT_USAGE = 64
EXIT_PROTOCOL = 70
EXIT_RETRYABLE = 75
EXIT_CONFIG = 78


class WorkerError(Exception):
    """One failure with its stable `code`; `is_retryable`: a new start from the last checkpoint may well succeed."""

    exit_code = EXIT_OTHER
    is_retryable = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UsageError(WorkerError):
    """The process was started wrongly: an environment variable or a tool's JSON is missing or malformed."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str) -> None:
        super().__init__("USAGE", message)


class ConfigError(WorkerError):
    """This worker cannot do what the config says, or belongs to another run. Starting it again cannot help."""

    exit_code = EXIT_CONFIG


class ProtocolError(WorkerError):
    """The other side said something that the protocol does not allow."""

    exit_code = EXIT_PROTOCOL

    def __init__(self, field: str, expected: object, got: object, code: str = "PROTOCOL") -> None:
        super().__init__(code, f"[immiscible] [worker:codec] {field}: expected {expected}, got {got}")
        self.field = field
        self.expected = expected
        self.got = got


class OrchestratorGoneError(WorkerError):
    """The orchestrator fell silent, or ended."""

    exit_code = EXIT_RETRYABLE
    is_retryable = True

    def __init__(self, message: str) -> None:
        super().__init__("ORCHESTRATOR_GONE", message)


class PairingError(WorkerError):
    """What entered the network or the loss is not made of what was received: it would be the same when retried."""

    def __init__(self, message: str) -> None:
        super().__init__("PAIRING", message)


class NonFiniteError(WorkerError):
    """The loss or the gradient is NaN or infinite; the step was not applied."""

    def __init__(self, message: str) -> None:
        super().__init__("NONFINITE", message)


class CheckpointError(WorkerError):
    """A checkpoint could not be written, or one that verifies could not be loaded."""

    def __init__(self, message: str, code: str = "CHECKPOINT_FAILED") -> None:
        super().__init__(code, message)


class SupersededError(WorkerError):
    """A later worker of the same run has begun: this one was given up, and writes nothing more."""

    def __init__(self, generation: int, latest: int) -> None:
        message = (
            f"this worker is generation {generation} of the run and generation {latest} has begun: it saves nothing"
        )
        super().__init__("SUPERSEDED", message)


class PipelineError(WorkerError):
    """The final pipeline could not be written."""

    def __init__(self, message: str) -> None:
        super().__init__("PIPELINE_FAILED", message)
