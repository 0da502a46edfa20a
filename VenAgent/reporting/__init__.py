"""What the site says about itself: telemetry, status, alerts, the page's view."""
