"""Judgements by a language model: what it is asked, how its answer is read, and what several votes come to."""
