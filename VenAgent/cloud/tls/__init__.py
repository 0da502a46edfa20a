"""TLS to the broker: certificates, where they come from, and how they are kept fresh."""
