"""One module for each figure or table of the paper, and what they stand on."""
