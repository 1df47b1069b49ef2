"""The way from the naive loop to the shipped convolution: one step a file, all with the same function, each read after the last.

``conv2d(x, w, stride, padding) -> y``: x float32 (N, C, H, W), w float32 (O, C, KH, KW), y float32 (N, O, OH, OW), C-contiguous;
stride and padding are the same on both axes. `python -m benchmarks.ladder` times them.
"""
