"""Benchmarks: cases as data, peers beside them, the machine's ceilings, and a report. `zfcore bench` is their command."""
