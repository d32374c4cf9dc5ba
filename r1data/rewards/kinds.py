"""What kinds of problem there are: those that rules can verify, and those that reward models judge."""

VERIFIED = ("math", "code", "choice", "logic")
JUDGED_BY_MODEL = ("general", "safety")
