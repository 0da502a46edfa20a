"""What a site would have drawn without an event. Pure; the backend imports it too."""
