"""The mathematics of classifier-guided diffusion, on torch alone."""
