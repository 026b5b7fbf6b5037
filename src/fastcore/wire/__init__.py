"""Wire formats: bytes and lines of venues and vendors to 64-byte events, and back where we answer."""
