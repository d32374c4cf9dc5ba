"""Great Expectations behind one function: suites are data in `schemas/expectations`, failures name rows."""
