"""What sydd costs, beside running natively, a C supervisor and its peers: ``python -m benchmarks``."""
