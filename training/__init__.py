"""The GPU side: training mains started as processes, and what vLLM loads. Nothing else imports torch or vLLM."""
