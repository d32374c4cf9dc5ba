"""Every error a user can meet, in two families.

R1Error                what is wrong, where, and `remedy`: what to do
  Terminal             a contract is broken: stop
    RecipeError        unknown key, wrong type, missing file, unknown stage
    LakeError          the lake holds something that it must not, or lacks what was asked for
      NoSuchObject     an object that is not there
      MissingManifest  a directory without a committed manifest
      CorruptShard     bytes that differ from their manifest
    StorageError       the store refuses: credentials, no space, no such bucket
    ModelError         a folder that is no model, or weights that do not fit
    CheckFailed        an expectation, canary or disjointness check says no
    ContextOverflow    a prompt and its completion do not fit the model's context
    RunStopped         somebody stopped the run
    StageFailed        a training process ended with an error
    ReviewNeeded       a person has to accept a dataset first, or has rejected it
    Refused            a server that lineage events were sent to takes none, or not this one
    BudgetExhausted    sampling has spent what the recipe allows one run
  Transient            a retry may help: network, a server that went away
    StoreUnavailable   the store did not answer, or asked for patience, for longer than its client waits
    ClusterUnavailable the Ray cluster did not answer, or lost the same work again and again
    LeaseHeld          another run works on the same
    EndpointError      an OpenAI-compatible server did not answer as it should
"""

from collections.abc import Iterator
from contextlib import contextmanager


class R1Error(Exception):
    """Base of all: the message says what and where, `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}\n  remedy: {self.remedy}" if self.remedy else str(self.args[0])


class Terminal(R1Error):
    """A contract is broken; running again changes nothing."""


class Transient(R1Error):
    """Running again may help."""


class RecipeError(Terminal):
    """The recipe names something that does not exist or has the wrong type."""


class LakeError(Terminal):
    """The lake does not hold what was asked for."""


class NoSuchObject(LakeError):
    """An object of that name is not in the lake."""


class MissingManifest(LakeError):
    """A directory without a committed manifest does not exist to readers."""


class CorruptShard(LakeError):
    """Bytes that differ from what their manifest says."""


class StorageError(Terminal):
    """The store refused to read or write."""


class ModelError(Terminal):
    """A folder that is no model, or weights that do not fit their config."""


class CheckFailed(Terminal):
    """An expectation, a canary or a disjointness check failed."""


class ContextOverflow(Terminal):
    """Prompt and completion together are longer than the server's model takes."""


class StageFailed(Terminal):
    """A process started for a stage ended with an error."""


class ReviewNeeded(Terminal):
    """A person has not accepted the dataset."""


class BudgetExhausted(Terminal):
    """Sampling has spent what the recipe allows one run; its answers are recorded."""


class Refused(Terminal):
    """A server that lineage events were sent to refuses one."""


class RunStopped(Terminal):
    """Somebody stopped the run."""


class StoreUnavailable(Transient):
    """The store is away or overloaded; nothing half-written can be seen."""


class ClusterUnavailable(Transient):
    """The Ray cluster is away, or too much of it died."""


class LeaseHeld(Transient):
    """Another run works on the same."""


class EndpointError(Transient):
    """An OpenAI-compatible server did not answer as it should."""


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of tasks failed of: the first of our errors, which says why, else the first of all."""
    leaves = [leaf for e in group.exceptions for leaf in _leaves(e)]
    return next((e for e in leaves if isinstance(e, R1Error)), leaves[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for e in error.exceptions for leaf in _leaves(e)]
    return [error]


@contextmanager
def boundary(kind: type[R1Error], what: str, remedy: str = "") -> Iterator[None]:
    """Foreign code runs inside: whatever it raises leaves as `kind`, with its own text and cause."""
    try:
        yield
    except R1Error:
        raise
    except Exception as e:
        raise kind(f"{what}: {type(e).__name__}: {e}", remedy) from e
