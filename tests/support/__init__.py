"""What tests of several parts are made of."""
