"""Model formats: one file each; its function of the same name reads the format."""
