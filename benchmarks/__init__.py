"""The benchmarks of a checkout: stored results and the pages made of them. What times is in `zfcore.bench`."""
