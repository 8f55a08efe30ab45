"""Forms of a release that other tools read; the folder is the registry."""
