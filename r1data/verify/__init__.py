"""Verdicts on candidates: the pure rules of `rewards`, and a computer algebra system in a killable process."""
