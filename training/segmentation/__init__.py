"""Training of respiratory-cycle segmenters: recipes with ``task = "cycle_segmentation"``."""
