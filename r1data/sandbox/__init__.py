"""Model-written code, run where it can reach nothing; what it computes comes out as plain values, judged outside."""
