"""The building's side: readings from the platform driver, writes through the actuator."""
