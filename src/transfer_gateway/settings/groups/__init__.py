"""The fields of `Settings`, a file for each group of them."""
