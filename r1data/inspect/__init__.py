"""Readers for people: scan and sample a dataset, trace a row to where it came from, show what a ref points to."""
