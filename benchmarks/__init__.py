"""Speed and size, as ratios taken in one run: `make bench`."""
