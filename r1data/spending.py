"""What a run has spent."""


class Spending:
    """Ledger."""

    def add(self, tokens: int, gpu_seconds: float) -> None:
        """Spend."""

    def exhausted(self) -> str | None:
        """Which limit is reached."""
        return None


def budget_exhausted(node: str, reason: str, progress: object) -> Exception:
    """The error."""
    return RuntimeError(reason)
