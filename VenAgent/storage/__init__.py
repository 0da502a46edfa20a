"""What is kept on disk: the journal of events, the power history, and files set aside."""
