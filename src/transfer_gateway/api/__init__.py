"""The doors. What comes in is checked here once; what goes out is converted here, errors by one table."""
