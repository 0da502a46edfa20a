"""A site's identity in AWS IoT Core: key, request, certificate and thing."""
