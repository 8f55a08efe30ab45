"""One file per data source: `(*, options) -> Dataset`."""
