"""How an operator reaches the VEN and the backend: MQTT and REST."""
