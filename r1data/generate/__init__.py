"""Model servers (started, watched, ended), the candidate client, and the record of every answer ever paid for."""
