"""Detectors from labels of whole clips and from clips without any: pooling, mean teacher, balanced batches."""
