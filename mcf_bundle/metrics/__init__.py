"""How good images, masks and classes are, as numbers: pure functions, with metric classes on top."""
