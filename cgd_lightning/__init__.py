"""Classifier-guided diffusion as PyTorch Lightning modules with one command line."""
