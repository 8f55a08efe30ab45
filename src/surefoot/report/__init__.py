"""What a person reads, from verdicts and bundles alone."""
