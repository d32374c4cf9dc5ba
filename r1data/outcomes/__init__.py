"""From candidates with verdicts to estimates: pass@k, majority votes and intervals."""
