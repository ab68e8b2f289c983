"""What several methods are built of: trunks, heads, the naming of ImageNet files."""
