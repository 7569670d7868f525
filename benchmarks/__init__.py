"""Side-by-side measurements: always ratios within one run, because the machine is noisy."""
