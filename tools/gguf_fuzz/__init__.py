"""Makes damaged and hostile GGUF files of sound ones, loads them in child processes, and counts what happens."""
