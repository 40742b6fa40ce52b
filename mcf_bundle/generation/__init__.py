"""From a plan to images: placement, gate, writers, manifest."""
