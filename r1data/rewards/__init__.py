"""Pure rewards and measures: text in, numbers out; rejection sampling and RL grade with the same functions."""
