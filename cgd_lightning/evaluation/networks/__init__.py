"""Feature networks: what each sees in images, and where its weights come from."""
