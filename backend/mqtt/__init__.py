"""MQTT 5 as all that speaks it needs it: packets, and the certificates of a connection."""
