"""What there is: sources, datalist, splits, anatomy, training samples."""
