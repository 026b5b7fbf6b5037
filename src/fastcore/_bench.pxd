"""Nothing here is for others."""
