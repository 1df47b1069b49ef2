"""Arrays to pictures. Nothing here computes a result: what goes in is what is shown."""
