"""What sydd costs, beside running natively, a minimal C supervisor and its peers: ``python -m benchmarks``."""
