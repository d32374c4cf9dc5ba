"""What people read: the evaluation table, training curves and the page of a run; built from the lake alone."""
