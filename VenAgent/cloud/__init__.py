"""The broker's side: the paho thread, and the durable outbox between it and the agent."""
