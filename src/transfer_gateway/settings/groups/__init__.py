"""The fields of `Settings`, one file per group."""
