"""Judging samples: tensors in, numbers out."""
