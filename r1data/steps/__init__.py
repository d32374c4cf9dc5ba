"""Pure steps: tables and params in, a table out. The same input gives the same output, always."""
