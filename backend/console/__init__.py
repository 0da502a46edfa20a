"""The operators' console: one page, and a stream that keeps it up to date."""
