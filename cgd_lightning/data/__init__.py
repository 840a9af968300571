"""Data modules that noise on the device."""
