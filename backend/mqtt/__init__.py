"""MQTT 5 to the broker, once for the ingest and the dispatcher: connection, packets, TLS."""
