"""The study: whether training on synthetic slices helps on patients whom nobody has seen."""
