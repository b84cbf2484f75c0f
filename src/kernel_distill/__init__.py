"""Distil a data set into a handful of synthetic examples with neural kernels."""
